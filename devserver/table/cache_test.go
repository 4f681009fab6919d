package table

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// TestCache counts loads: what was used last stays, what fails is tried again,
// and readers of one group wait for one load.
func TestCache(t *testing.T) {
	const size = 1000 // bytes of a group of a hundred numbers, at most
	c := newCache(2 * size)
	var mu sync.Mutex
	loads := map[int]int{}
	get := func(index int, failure error) error {
		batches, err := c.get(t.Context(), groupKey{"f", index}, []int{0}, func(context.Context) ([]arrow.RecordBatch, error) {
			mu.Lock()
			defer mu.Unlock()
			loads[index]++
			b := array.NewUint64Builder(memory.DefaultAllocator)
			b.AppendValues(make([]uint64, 100), nil)
			schema := arrow.NewSchema([]arrow.Field{{Name: BlockColumn, Type: arrow.PrimitiveTypes.Uint64}}, nil)
			return []arrow.RecordBatch{array.NewRecordBatch(schema, []arrow.Array{b.NewArray()}, 100)}, failure
		})
		for _, b := range batches {
			if b.NumRows() != 100 {
				t.Errorf("group %d has %d rows", index, b.NumRows())
			}
			b.Release()
		}
		return err
	}
	broken := errors.New("broken")
	if err := get(9, broken); !errors.Is(err, broken) {
		t.Errorf("a broken group gives %v", err)
	}
	for _, index := range []int{9, 1, 9, 2, 9, 1} { // 1 makes way for 2, 9 stays
		if err := get(index, nil); err != nil {
			t.Error(err)
		}
	}
	if loads[9] != 2 || loads[1] != 2 || loads[2] != 1 {
		t.Errorf("loads are %v", loads)
	}
	var readers sync.WaitGroup
	for range 10 {
		readers.Go(func() {
			if err := get(5, nil); err != nil {
				t.Error(err)
			}
		})
	}
	readers.Wait()
	if loads[5] != 1 {
		t.Errorf("ten readers loaded a group %d times", loads[5])
	}
}
