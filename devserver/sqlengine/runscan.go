package sqlengine

import (
	"context"
	"fmt"
	"iter"
	"slices"

	"github.com/ampipe/ampipe/devserver/table"
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/compute"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// run answers a scan from a snapshot of its table.
func (s *Scan) run(ctx context.Context, snapshot table.Snapshot) iter.Seq2[arrow.RecordBatch, error] {
	return func(yield func(arrow.RecordBatch, error) bool) {
		left := s.Limit
		if left == 0 {
			return
		}
		for batch, err := range s.picked(ctx, snapshot) {
			if err != nil {
				yield(nil, err)
				return
			}
			if batch.NumRows() > left {
				whole := batch
				batch = whole.NewSlice(0, left)
				whole.Release()
			}
			left -= batch.NumRows()
			if !yield(batch, nil) || left == 0 {
				return
			}
		}
	}
}

// picked returns the rows for which every condition holds.
func (s *Scan) picked(ctx context.Context, snapshot table.Snapshot) iter.Seq2[arrow.RecordBatch, error] {
	if len(s.conditions) == 0 {
		return snapshot.Scan(ctx, s.Blocks, s.Columns)
	}
	read := slices.Clone(s.Columns)
	for _, c := range s.conditions {
		for _, index := range c.columns {
			if !slices.Contains(read, index) {
				read = append(read, index)
			}
		}
	}
	keep := make([]int, len(s.Columns))
	for i := range keep {
		keep[i] = i
	}
	return func(yield func(arrow.RecordBatch, error) bool) {
		for batch, err := range snapshot.Scan(ctx, s.Blocks, read) {
			if err != nil {
				yield(nil, err)
				return
			}
			picked, err := s.pick(ctx, batch, read, keep)
			batch.Release()
			if err != nil {
				yield(nil, err)
				return
			}
			if picked.NumRows() == 0 {
				picked.Release()
				continue
			}
			if !yield(picked, nil) {
				return
			}
		}
	}
}

// pick returns the rows of a batch that are wanted, without the columns that only
// the conditions needed.
func (s *Scan) pick(ctx context.Context, batch arrow.RecordBatch, read, keep []int) (arrow.RecordBatch, error) {
	var hold []func(row int) truth
	for _, c := range s.conditions {
		hold = append(hold, c.bind(func(index int) arrow.Array { return batch.Column(slices.Index(read, index)) }))
	}
	rows := int(batch.NumRows())
	mask := array.NewBooleanBuilder(memory.DefaultAllocator)
	defer mask.Release()
	mask.Reserve(rows)
	for row := range rows {
		wanted := true
		for _, is := range hold {
			wanted = wanted && is(row) == yes
		}
		mask.UnsafeAppend(wanted)
	}
	selection := mask.NewBooleanArray()
	defer selection.Release()
	all := table.Project(batch, keep)
	defer all.Release()
	picked, err := compute.FilterRecordBatch(ctx, all, selection, compute.DefaultFilterOptions())
	if err != nil {
		return nil, fmt.Errorf("pick rows: %w", err)
	}
	return picked, nil
}
