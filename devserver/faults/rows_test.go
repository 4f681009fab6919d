package faults_test

import (
	"errors"
	"iter"
	"slices"
	"testing"

	"github.com/ampipe/ampipe/devserver/faults"
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// source yields batches of ten numbers, counting the ones taken, and then fails
// if it should.
func source(mem memory.Allocator, batches int, taken *int, failure error) iter.Seq2[arrow.RecordBatch, error] {
	schema := arrow.NewSchema([]arrow.Field{{Name: "n", Type: arrow.PrimitiveTypes.Int64}}, nil)
	return func(yield func(arrow.RecordBatch, error) bool) {
		for i := range batches {
			b := array.NewInt64Builder(mem)
			for j := range 10 {
				b.Append(int64(10*i + j))
			}
			column := b.NewArray()
			b.Release()
			batch := array.NewRecordBatch(schema, []arrow.Array{column}, 10)
			column.Release()
			*taken++
			if !yield(batch, nil) {
				return
			}
		}
		if failure != nil {
			yield(nil, failure)
		}
	}
}

func TestBend(t *testing.T) {
	failure := errors.New("row 41 is bad")
	for name, switches := range map[string]faults.Switches{
		"nothing":   {},
		"shuffle":   {Shuffle: true},
		"unsorted":  {Unsorted: true},
		"oversize":  {Oversize: 1000},
		"hold back": {HoldBack: true},
		"all":       {Unsorted: true, Oversize: 1000, HoldBack: true},
	} {
		for _, ordered := range []bool{false, true} {
			for _, fails := range []error{nil, failure} {
				for _, stopAfter := range []int{1, 1000} {
					mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
					var numbers []int64
					var failed error
					taken, got := 0, 0
					for batch, err := range switches.Bend(source(mem, 40, &taken, fails), ordered) {
						if err != nil {
							failed = err
							break
						}
						if got == 0 && switches.HoldBack && ordered && taken != 40 {
							t.Errorf("%s: the first batch came after %d were read", name, taken)
						}
						got++
						numbers = append(numbers, batch.Column(0).(*array.Int64).Int64Values()...)
						batch.Release()
						if got == stopAfter {
							break
						}
					}
					mem.AssertSize(t, 0)
					if stopAfter == 1 {
						continue
					}
					if failed != fails {
						t.Errorf("%s: ends with %v", name, failed)
					}
					if fails != nil {
						continue
					}
					mixes := switches.Unsorted || (switches.Shuffle && !ordered)
					if slices.IsSorted(numbers) == mixes {
						t.Errorf("%s, ordered %v: rows are mixed: %v", name, ordered, !mixes)
					}
					slices.Sort(numbers)
					for i, n := range numbers {
						if n != int64(i) {
							t.Fatalf("%s: row %d is missing", name, i)
						}
					}
					if len(numbers) != 400 {
						t.Errorf("%s: %d rows", name, len(numbers))
					}
				}
			}
		}
	}
}
