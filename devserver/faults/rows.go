package faults

import (
	"fmt"
	"iter"
	"math/rand/v2"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// Rows is an answer on its way. The caller releases each batch.
type Rows = iter.Seq2[arrow.RecordBatch, error]

// Bend returns the rows of a query as the switches want them; ordered reports
// whether the query asks for an order.
func (s Switches) Bend(rows Rows, ordered bool) Rows {
	if s.Unsorted || (s.Shuffle && !ordered) {
		rows = shuffle(rows)
	}
	if s.Oversize > 0 {
		rows = coalesce(rows, s.Oversize)
	}
	if s.HoldBack && ordered {
		rows = holdBack(rows)
	}
	return rows
}

// holdBack reads everything before it returns the first batch.
func holdBack(rows Rows) Rows {
	return func(yield func(arrow.RecordBatch, error) bool) {
		var held []arrow.RecordBatch
		defer func() { release(held) }()
		for batch, err := range rows {
			if err != nil {
				yield(nil, err)
				return
			}
			held = append(held, batch)
		}
		for len(held) > 0 {
			batch := held[0]
			held = held[1:]
			if !yield(batch, nil) {
				return
			}
		}
	}
}

// coalesce joins batches until they have so many bytes.
func coalesce(rows Rows, bytes int64) Rows {
	return gather(rows, func(held []arrow.RecordBatch) bool {
		var size int64
		for _, b := range held {
			for _, c := range b.Columns() {
				size += int64(c.Data().SizeInBytes())
			}
		}
		return size >= bytes
	}, join)
}

// shuffle mixes the rows of a few batches at a time, in the same way whenever
// the same query runs.
func shuffle(rows Rows) Rows {
	const window, piece = 8, 16
	rnd := rand.New(rand.NewPCG(1, 2))
	return gather(rows, func(held []arrow.RecordBatch) bool { return len(held) == window },
		func(held []arrow.RecordBatch) (arrow.RecordBatch, error) {
			var pieces []arrow.RecordBatch
			defer func() { release(pieces) }()
			for _, b := range held {
				for at := int64(0); at < b.NumRows(); at += piece {
					pieces = append(pieces, b.NewSlice(at, min(at+piece, b.NumRows())))
				}
			}
			rnd.Shuffle(len(pieces), func(i, j int) { pieces[i], pieces[j] = pieces[j], pieces[i] })
			return join(pieces)
		})
}

// gather collects batches until they are enough and makes one of them.
func gather(rows Rows, enough func([]arrow.RecordBatch) bool, one func([]arrow.RecordBatch) (arrow.RecordBatch, error)) Rows {
	return func(yield func(arrow.RecordBatch, error) bool) {
		var held []arrow.RecordBatch
		defer func() { release(held) }()
		flush := func() bool {
			batch, err := one(held)
			release(held)
			held = held[:0]
			return yield(batch, err) && err == nil
		}
		for batch, err := range rows {
			if err != nil {
				yield(nil, err)
				return
			}
			if held = append(held, batch); enough(held) && !flush() {
				return
			}
		}
		if len(held) > 0 {
			flush()
		}
	}
}

func join(batches []arrow.RecordBatch) (arrow.RecordBatch, error) {
	schema := batches[0].Schema()
	columns := make([]arrow.Array, schema.NumFields())
	defer func() {
		for _, c := range columns {
			if c != nil {
				c.Release()
			}
		}
	}()
	var rows int64
	for _, b := range batches {
		rows += b.NumRows()
	}
	for i := range columns {
		parts := make([]arrow.Array, len(batches))
		for j, b := range batches {
			parts[j] = b.Column(i)
		}
		var err error
		if columns[i], err = array.Concatenate(parts, memory.DefaultAllocator); err != nil {
			return nil, fmt.Errorf("join batches: %w", err)
		}
	}
	return array.NewRecordBatch(schema, columns, rows), nil
}

func release(batches []arrow.RecordBatch) {
	for _, b := range batches {
		b.Release()
	}
}
