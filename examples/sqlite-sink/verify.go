package main

import (
	"context"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/sink"
)

// CheckRows returns the error that Apply would have for the values of some rows.
func (w *Writer) CheckRows(rec arrow.RecordBatch) error { return w.table.Check(rec) }

// Windowed reports whether a range of blocks can be compared by itself.
func (w *Writer) Windowed() bool { return w.table.Windowed() }

// DigestSource starts the digest of rows as the table would show them.
func (w *Writer) DigestSource() sink.SourceDigest { return w.table.Digest() }

// DigestStored adds the rows that the table shows for the blocks of r.
func (w *Writer) DigestStored(ctx context.Context, r block.Range, into sink.Digests) error {
	rows, err := w.db.QueryContext(ctx, w.table.ofBlocks("SELECT * FROM "+w.table.name), int64(r.Start), int64(r.Last()))
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
		n, _ := values[w.table.Table.BlockColumn].(int64) // the table is STRICT
		into.Add(block.Number(n), sink.HashValues(values))
	}
	return classed("read rows", rows.Err())
}
