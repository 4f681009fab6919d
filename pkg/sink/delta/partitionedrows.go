package delta

import (
	"errors"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
)

// stepRows is a step with its rows as the table has them.
type stepRows struct {
	sink.Step
	partitioned []partitionedRows
}

// partitionedRows is rows of one partition.
type partitionedRows struct {
	record    arrow.RecordBatch
	blocks    arrow.RecordBatch // of one column, the block numbers
	partition partition
}

func (s stepRows) release() {
	for _, p := range s.partitioned {
		p.record.Release()
		p.blocks.Release()
	}
}

// rowsOf converts the rows that a step writes.
func (g *target) rowsOf(step sink.Step) (rows stepRows, err error) {
	rows.Step = step
	defer func() {
		if err != nil {
			rows.release()
		}
	}()
	for _, run := range step.Write {
		some := run.Slice()
		portions, err := g.partitionRows(some)
		rows.partitioned = append(rows.partitioned, portions...)
		if err != nil {
			err = g.place(err, run, some)
		}
		some.Release()
		if err != nil {
			return rows, err
		}
	}
	return rows, nil
}

// place names block and row of a refused value.
func (g *target) place(err error, run sink.RowRange, rows arrow.RecordBatch) error {
	bad, ok := errors.AsType[*refusedValue](err)
	if !ok {
		return err
	}
	blocks, cannot := sink.BlocksOf(rows, g.table.BlockColumn)
	if cannot != nil {
		return cannot
	}
	return fault.Permanent(&sink.BadRowError{Block: blocks.At(bad.row), Row: run.Entry + bad.row, Column: bad.column, Reason: bad.reason})
}

// partitionRows converts a record and divides it by partitions.
func (g *target) partitionRows(rec arrow.RecordBatch) ([]partitionedRows, error) {
	rows, by, err := g.converted(rec)
	if err != nil {
		return nil, err
	}
	defer rows.Release()
	defer releaseAll(by)
	numbers := numbersOf(rec, g.table.BlockColumn)
	defer numbers.Release()
	all := func(of partition) partitionedRows {
		rows.Retain()
		numbers.Retain()
		return partitionedRows{rows, numbers, of}
	}
	if len(by) == 0 {
		return []partitionedRows{all(nil)}, nil
	}
	found, err := groups(int(rec.NumRows()), by, g.names, g.longest)
	if err != nil {
		return nil, err
	}
	var portions []partitionedRows
	for _, one := range found {
		if one.rows == nil {
			return []partitionedRows{all(one.partition)}, nil
		}
		p := partitionedRows{partition: one.partition}
		if p.record, err = pick(rows, one.rows); err != nil {
			return portions, err
		}
		if p.blocks, err = pick(numbers, one.rows); err != nil {
			p.record.Release()
			return portions, err
		}
		portions = append(portions, p)
	}
	return portions, nil
}

// numbersOf returns the block column alone.
func numbersOf(rec arrow.RecordBatch, column int) arrow.RecordBatch {
	f := rec.Schema().Field(column)
	return array.NewRecordBatch(arrow.NewSchema([]arrow.Field{f}, nil), []arrow.Array{rec.Column(column)}, rec.NumRows())
}
