package memsink

import (
	"context"
	"fmt"
	"hash/fnv"
	"slices"

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
	return len(w.store.Key) == 0 || slices.Contains(w.store.Key, w.table.Schema.Field(w.table.BlockColumn).Name)
}

// DigestSource starts a digest of records.
func (w *Writer) DigestSource() sink.SourceDigest {
	return &sourceDigest{writer: w, plain: sink.Digests{}, keyed: sink.NewKeyedDigests[string](false)}
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
	writer *Writer
	plain  sink.Digests
	keyed  *sink.KeyedDigests[string] // if there is a key
}

// Add counts the rows of a record.
func (d *sourceDigest) Add(rec arrow.RecordBatch) error {
	rows, err := d.writer.read([]sink.RowRange{{Record: rec, To: int(rec.NumRows())}}, nil)
	if err != nil {
		return err
	}
	for _, row := range rows {
		if len(d.writer.store.Key) > 0 {
			d.keyed.Add(row.Block, d.writer.store.keyOf(row), hashOf(row))
		} else {
			d.plain.Add(row.Block, hashOf(row))
		}
	}
	return nil
}

// Digests returns what was added.
func (d *sourceDigest) Digests() sink.Digests {
	if len(d.writer.store.Key) > 0 {
		return d.keyed.Digests()
	}
	return d.plain
}

func hashOf(row Row) uint64 {
	h := fnv.New64a()
	for _, v := range row.Values {
		fmt.Fprintf(h, "%T %q\x00", v, fmt.Sprint(v))
	}
	return h.Sum64()
}
