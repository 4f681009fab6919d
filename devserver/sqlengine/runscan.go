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
)

// run answers a scan from a snapshot of its table, in batches of a schema.
func (s *Scan) run(ctx context.Context, snapshot table.Snapshot, schema *arrow.Schema) iter.Seq2[arrow.RecordBatch, error] {
	read := slices.Clone(s.Columns)
	if s.where != nil {
		read = append(read, s.where.columns()...)
	}
	return func(yield func(arrow.RecordBatch, error) bool) {
		left := s.Limit
		if left == 0 {
			return
		}
		for whole, err := range snapshot.Scan(ctx, s.Blocks, read) {
			var batch arrow.RecordBatch
			if err == nil {
				batch, err = s.pick(ctx, whole, read, schema)
				whole.Release()
			}
			if err != nil {
				yield(nil, err)
				return
			}
			rows := min(batch.NumRows(), left)
			if rows == 0 {
				batch.Release()
				continue
			}
			if rows < batch.NumRows() {
				more := batch
				batch = more.NewSlice(0, rows)
				more.Release()
			}
			left -= rows
			if !yield(batch, nil) || left == 0 {
				return
			}
		}
	}
}

// pick returns the rows of a batch that are wanted, without the columns that only
// the condition needed.
func (s *Scan) pick(ctx context.Context, batch arrow.RecordBatch, read []int, schema *arrow.Schema) (arrow.RecordBatch, error) {
	all := array.NewRecordBatch(schema, batch.Columns()[:len(s.Columns)], batch.NumRows())
	if s.where == nil {
		return all, nil
	}
	defer all.Release()
	wanted, err := s.where.eval(ctx, func(index int) arrow.Array { return batch.Column(slices.Index(read, index)) })
	if err != nil {
		return nil, fmt.Errorf("pick rows: %w", err)
	}
	defer wanted.Release()
	mask := wanted.(*compute.ArrayDatum).MakeArray()
	defer mask.Release()
	picked, err := compute.FilterRecordBatch(ctx, all, mask, compute.DefaultFilterOptions())
	if err != nil {
		return nil, fmt.Errorf("pick rows: %w", err)
	}
	return picked, nil
}
