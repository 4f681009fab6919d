package postgres

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/jackc/pgx/v5"
	"github.com/zeebo/xxh3"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/postgres/pgcopy"
)

// The hash of a row is that of its fields in COPY BINARY. PostgreSQL sends them
// in the same normal form in which they are written here.

// Windowed reports whether blocks can be verified by themselves: not if a row of
// one replaces one of another. The Writer must be open.
func (w *Writer) Windowed() bool { return !w.spec.replaces() }

// DigestSource starts the digest of rows from the source; see [sink.Digester].
// If a row can replace one of another block it remembers about 80 bytes for
// each key. The Writer must be open.
func (w *Writer) DigestSource() sink.SourceDigest {
	return &sourceDigest{target: w.spec, scales: w.spec.looseScales(), digests: make(sink.Digests),
		keyed: sink.NewKeyedDigests[key](w.Windowed())}
}

// sourceDigest hashes rows.
type sourceDigest struct {
	target  *tableSpec
	scales  looseScales
	digests sink.Digests            // of rows without a key
	keyed   *sink.KeyedDigests[key] // upsert only
	buf     []byte
}

// Add hashes the rows of a record. The error of a row that the table cannot hold is what
// [Writer.Apply] would give; other errors are permanent.
func (d *sourceDigest) Add(rec arrow.RecordBatch) error {
	portions, err := d.target.prepare([]sink.RowRange{{Record: rec, To: int(rec.NumRows())}})
	if err != nil {
		return err
	}
	p := portions[0]
	blocks, err := sink.BlocksOf(rec, d.target.block)
	if err != nil {
		return err
	}
	for row := range blocks.Len() {
		n := blocks.At(row)
		d.buf, _ = p.Encode(d.buf[:0], row, 1)
		d.scales.hide(d.buf)
		hash := xxh3.Hash(d.buf)
		if !d.target.upsert() {
			d.digests.Add(n, hash)
			continue
		}
		d.buf = p.appendKey(d.buf[:0], d.target.key, row)
		d.keyed.Add(n, xxh3.Hash128(d.buf), hash)
	}
	return nil
}

// Digests returns the digests of all rows added. It is called once, at the end.
func (d *sourceDigest) Digests() sink.Digests {
	if d.target.upsert() {
		return d.keyed.Digests()
	}
	return d.digests
}

// DigestStored reads the rows of the blocks of r; see [sink.Digester]. It keeps
// one row in memory at a time. What rows of later blocks have replaced counts, as
// far as it is kept: so a table can be verified up to a block while the chain goes
// on.
func (w *Writer) DigestStored(ctx context.Context, r block.Range, into sink.Digests) error {
	if w.pool == nil {
		return errNotOpen
	}
	err := w.inTx(ctx, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error { return w.digestStored(ctx, tx, r, into) })
	if err != nil {
		return w.classed(ctx, "read rows", err)
	}
	return nil
}

// digestStored does it in a transaction.
func (w *Writer) digestStored(ctx context.Context, tx pgx.Tx, r block.Range, into sink.Digests) error {
	if r.Empty() {
		return nil
	}
	g := w.spec
	column := quoted(g.columns[g.block].name)
	where := fmt.Sprintf("%s >= %d", column, r.Start)
	if r.End <= block.Max {
		where += fmt.Sprintf(" AND %s < %d", column, r.End)
	}
	scales := g.looseScales()
	numeric := g.columns[g.block].Base == "numeric"
	var buf []byte
	splitter := &pgcopy.Splitter{Columns: len(g.columns), Field: g.block, Row: func(row, field []byte) error {
		n, err := pgcopy.Integer(field, numeric)
		if err != nil {
			return err
		}
		if len(scales) > 0 {
			buf = append(buf[:0], row...) // the row is the driver's
			row = buf
			scales.hide(row)
		}
		into.Add(block.Number(n), xxh3.Hash(row))
		return nil
	}}
	rows := fmt.Sprintf("SELECT %s FROM %s WHERE %s", g.list(), g.quoted(), where)
	if g.replaces() && w.hasReplaced && r.End <= block.Max {
		rows += " UNION ALL (" + g.replacedSince(w.id, r) + ")"
	}
	_, err := tx.Conn().PgConn().CopyTo(ctx, splitter, fmt.Sprintf("COPY (%s) TO STDOUT (FORMAT binary)", rows))
	if err != nil {
		return err
	}
	return splitter.Complete()
}

// looseScales says of which columns values have a scale each. It ends with the last of
// them.
type looseScales []bool

func (g *tableSpec) looseScales() looseScales {
	var loose looseScales
	for i, c := range g.columns {
		if c.Loose {
			loose = append(loose, make([]bool, i+1-len(loose))...)
			loose[i] = true
		}
	}
	return loose
}

// hide sets the decimal places that are shown of such values to none, in a row of COPY
// BINARY: 1.5 and 1.50 are the same number, and a column that had a scale keeps it in the
// rows that were there before it lost it.
func (s looseScales) hide(row []byte) {
	at := 2
	for _, loose := range s {
		size := int(int32(binary.BigEndian.Uint32(row[at:])))
		at += 4
		if size < 0 {
			continue
		}
		if loose {
			row[at+6], row[at+7] = 0, 0
		}
		at += size
	}
}
