package sinktest

import (
	"fmt"
	"math/rand/v2"
	"sync/atomic"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/sink"
)

// Schema is the suite's table. The block column is not the first one.
var Schema = arrow.NewSchema([]arrow.Field{
	{Name: "key", Type: arrow.BinaryTypes.String},
	{Name: "block_num", Type: arrow.PrimitiveTypes.Uint64},
	{Name: "log_index", Type: arrow.PrimitiveTypes.Int32},
	{Name: "value", Type: arrow.PrimitiveTypes.Int64},
}, nil)

const blockColumn = 1

func table() sink.Table {
	return sink.Table{Pipeline: "suite", Sink: "warehouse", Schema: Schema, BlockColumn: blockColumn, Epoch: 1, Network: "suitenet"}
}

// records returns rows as a few records, one of them empty. The caller releases
// them.
func records(mem memory.Allocator, rows []Row) []arrow.RecordBatch {
	b := array.NewRecordBuilder(mem, Schema)
	defer b.Release()
	cut := len(rows) / 3
	var recs []arrow.RecordBatch
	for _, some := range [][]Row{rows[:cut], nil, rows[cut:]} {
		b.Reserve(len(some))
		for _, r := range some {
			b.Field(0).(*array.StringBuilder).Append(r.Key)
			b.Field(1).(*array.Uint64Builder).Append(uint64(r.Block))
			b.Field(2).(*array.Int32Builder).Append(r.Index)
			b.Field(3).(*array.Int64Builder).Append(r.Value)
		}
		recs = append(recs, b.NewRecordBatch())
	}
	return recs
}

// rowsOf returns the rows of a block, from none to four. Forks of a block differ
// in number and content.
func rowsOf(n block.Number, fork int) []Row {
	rnd := rand.New(rand.NewPCG(uint64(n), uint64(fork)))
	rows := make([]Row, rnd.IntN(5))
	for i := range rows {
		rows[i] = Row{Key: fmt.Sprintf("k%d.%d.%d", n, fork, i), Block: n, Index: int32(i), Value: rnd.Int64()}
	}
	return rows
}

// chain returns the rows of a range of blocks of one fork.
func chain(r block.Range, fork int) []Row {
	var rows []Row
	for n := r.Start; n < r.End; n++ {
		rows = append(rows, rowsOf(n, fork)...)
	}
	return rows
}

// lender is memory that is overwritten when it is given back, so that a Writer
// that looks at a record after Apply has returned sees something else.
type lender struct{ lent atomic.Int64 } // bytes

// Allocate lends size bytes.
func (l *lender) Allocate(size int) []byte {
	l.lent.Add(int64(size))
	return memory.DefaultAllocator.Allocate(size)
}

// Reallocate lends more bytes for fewer. The ones before are overwritten.
func (l *lender) Reallocate(size int, b []byte) []byte {
	grown := l.Allocate(size)
	copy(grown, b)
	l.Free(b)
	return grown
}

// Free takes bytes back.
func (l *lender) Free(b []byte) {
	l.lent.Add(-int64(len(b)))
	for i := range b {
		b[i] = 0x5a
	}
}
