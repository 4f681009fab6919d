package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/sink"
)

// Windowed reports whether a range of blocks can be compared by itself.
func (w *Writer) Windowed() bool { return w.table.windowed() }

// CheckRows returns the error that Apply would have for the values of some rows.
func (w *Writer) CheckRows(rec arrow.RecordBatch) error {
	return w.table.each(rec, func(block.Number, []any) {})
}

// DigestSource starts the digest of rows as the table would show them.
func (w *Writer) DigestSource() sink.SourceDigest {
	if w.table.key == nil {
		return &plainDigest{w.table, sink.Digests{}}
	}
	return &keyedDigest{w.table, sink.NewKeyedDigests[string](w.table.windowed())}
}

// DigestStored adds the rows that the table shows for the blocks of r.
func (w *Writer) DigestStored(ctx context.Context, r block.Range, into sink.Digests) error {
	if w.db == nil {
		return errNotOpen
	}
	from, to := between(r)
	rows, err := w.db.QueryContext(ctx, w.table.read(), from, to)
	if err != nil {
		return classed("read rows", err)
	}
	defer func() { _ = rows.Close() }() // its error is that of rows.Err
	values, places := make([]any, len(w.table.columns)), make([]any, len(w.table.columns))
	for i := range values {
		places[i] = &values[i]
	}
	for rows.Next() {
		err := rows.Scan(places...)
		if err != nil {
			return classed("read rows", err)
		}
		n, _ := values[w.table.BlockColumn].(int64) // the table is STRICT
		into.Add(block.Number(n), hashOf(values))
	}
	return classed("read rows", rows.Err())
}

// plainDigest is of rows that all stay.
type plainDigest struct {
	table   *table
	digests sink.Digests
}

func (d *plainDigest) Digests() sink.Digests { return d.digests }

func (d *plainDigest) Add(rec arrow.RecordBatch) error {
	return d.table.each(rec, func(n block.Number, values []any) { d.digests.Add(n, hashOf(values)) })
}

// keyedDigest is of rows of which the newest of each key stays.
type keyedDigest struct {
	table *table
	*sink.KeyedDigests[string]
}

func (d *keyedDigest) Add(rec arrow.RecordBatch) error {
	return d.table.each(rec, func(n block.Number, values []any) {
		var key []byte
		for _, c := range d.table.key {
			key = appendValue(key, values[c])
		}
		d.KeyedDigests.Add(n, string(key), hashOf(values))
	})
}

// each calls f for every row of a record.
func (g *table) each(rec arrow.RecordBatch, f func(n block.Number, values []any)) error {
	rows, err := g.reader(rec)
	if err != nil {
		return err
	}
	for i := range rows.blocks.Len() {
		values, err := rows.row(i, i)
		if err != nil {
			return err
		}
		f(rows.blocks.At(i), values)
	}
	return nil
}

// hashOf hashes a row: one that SQLite returns as the one that was given to it.
func hashOf(values []any) uint64 {
	var text []byte
	for _, v := range values {
		text = appendValue(text, v)
	}
	h := fnv.New64a()
	_, _ = h.Write(text) // it never fails
	return h.Sum64()
}

// appendValue appends a value so that no two rows become the same bytes.
func appendValue(to []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return append(to, 'n')
	case int64:
		return binary.LittleEndian.AppendUint64(append(to, 'i'), uint64(v))
	case float64:
		return binary.LittleEndian.AppendUint64(append(to, 'f'), math.Float64bits(v))
	case string:
		return append(binary.LittleEndian.AppendUint64(append(to, 's'), uint64(len(v))), v...)
	case []byte:
		return append(binary.LittleEndian.AppendUint64(append(to, 'b'), uint64(len(v))), v...)
	default:
		panic(fmt.Sprintf("a value of type %T, which SQLite does not have", v))
	}
}
