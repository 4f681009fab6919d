package redis

import (
	"strconv"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/zeebo/xxh3"

	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/redis/format"
)

// The hash of a row is that of its packed form, as the script takes it: what is
// read from Redis is packed again in the same order.

// Windowed reports whether blocks can be verified by themselves: not if a row of
// one replaces one of another. The Writer must be open.
func (w *Writer) Windowed() bool { return !w.target.Owned }

// DigestSource starts the digest of rows from the source; see [sink.Digester].
// If a row can replace one of another block it remembers about 100 bytes for
// each key. The Writer must be open.
func (w *Writer) DigestSource() sink.SourceDigest {
	return &sourceDigest{target: w.target, digests: make(sink.Digests), keyed: sink.NewKeyedDigests[xxh3.Uint128](w.Windowed())}
}

type sourceDigest struct {
	target  *format.Table
	digests sink.Digests                     // of rows without a name
	keyed   *sink.KeyedDigests[xxh3.Uint128] // by name
	buf     []byte
}

// Add hashes the rows of a record. The error of a row that cannot be written is what
// [Writer.Apply] would give.
func (d *sourceDigest) Add(rec arrow.RecordBatch) error {
	g := d.target
	b, err := g.Bind(sink.RowRange{Record: rec, To: int(rec.NumRows())})
	if err != nil {
		return err
	}
	for row := range b.To {
		n := b.Blocks.At(row)
		d.buf = g.AppendRow(d.buf[:0], &b, row)
		hash := xxh3.Hash(d.buf)
		if !g.Named() {
			d.digests.Add(n, hash)
			continue
		}
		d.buf = g.Pattern.Append(d.buf[:0], b.Cells, row)
		if g.Members() {
			d.buf = g.AppendDocument(append(strconv.AppendInt(d.buf, int64(len(d.buf)), 10), ':'), &b, row)
		}
		d.keyed.Add(n, xxh3.Hash128(d.buf), hash)
	}
	return nil
}

// Digests returns the digests of all rows added. It is called once, at the end.
func (d *sourceDigest) Digests() sink.Digests {
	if d.target.Named() {
		return d.keyed.Digests()
	}
	return d.digests
}
