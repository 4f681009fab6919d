package memsink

import (
	"context"
	"fmt"
	"hash/fnv"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/sink"
)

var (
	_ sink.Writer   = (*Writer)(nil)
	_ sink.Digester = (*Writer)(nil)
)

// Windowed returns true unless a row can replace one of another block.
func (w *Writer) Windowed() bool {
	if len(w.store.Key) == 0 {
		return true
	}
	for _, name := range w.store.Key {
		if name == w.table.Schema.Field(w.table.BlockColumn).Name {
			return true
		}
	}
	return false
}

// DigestSource starts a digest of records.
func (w *Writer) DigestSource() sink.SourceDigest {
	d := &sourceDigest{writer: w, digests: sink.Digests{}}
	if len(w.store.Key) > 0 {
		d.winners = make(map[string]Row)
	}
	return d
}

// DigestStored adds the rows of the store that are of the blocks of r.
func (w *Writer) DigestStored(ctx context.Context, r block.Range, into sink.Digests) error {
	if err := w.ready(ctx); err != nil {
		return err
	}
	for _, row := range w.store.Rows() {
		if r.Has(row.Block) {
			into.Add(row.Block, hashOf(row))
		}
	}
	return nil
}

type sourceDigest struct {
	writer  *Writer
	digests sink.Digests
	winners map[string]Row // by key, if there is one
}

// Add counts the rows of a record.
func (d *sourceDigest) Add(rec arrow.RecordBatch) error {
	rows, err := d.writer.read([]sink.RowRange{{Record: rec, To: int(rec.NumRows())}}, nil)
	if err != nil {
		return err
	}
	for _, row := range rows {
		if d.winners != nil {
			key := d.writer.store.keyOf(row)
			if before, twice := d.winners[key]; !twice || before.Block <= row.Block {
				d.winners[key] = row
			}
			continue
		}
		d.digests.Add(row.Block, hashOf(row))
	}
	return nil
}

// Digests returns what was added.
func (d *sourceDigest) Digests() sink.Digests {
	for _, row := range d.winners {
		d.digests.Add(row.Block, hashOf(row))
	}
	clear(d.winners)
	return d.digests
}

func hashOf(row Row) uint64 {
	h := fnv.New64a()
	for _, v := range row.Values {
		fmt.Fprintf(h, "%T %q\x00", v, fmt.Sprint(v))
	}
	return h.Sum64()
}
