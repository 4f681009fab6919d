package sink

import (
	"errors"
	"fmt"
	"sort"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/fault"
)

var errBlockColumn = errors.New("the block column has to be an integer column without nulls; " +
	"name another one with source.block_column, or cast it in the query")

// Blocks reads the block column of a record. It borrows the record.
type Blocks struct{ values blockValues }

type blockValues interface {
	len() int
	at(i int) block.Number
}

type ints[T ~int8 | ~int16 | ~int32 | ~int64 | ~uint8 | ~uint16 | ~uint32 | ~uint64] []T

func (v ints[T]) len() int { return len(v) }

// at returns the block of row i. A negative number becomes one above [block.Max], which
// every check refuses.
func (v ints[T]) at(i int) block.Number { return block.Number(v[i]) }

// BlocksOf binds to a column of rec, which may be of any integer type. Anything
// else, and a column with nulls, is a permanent error.
func BlocksOf(rec arrow.RecordBatch, column int) (Blocks, error) {
	if column < 0 || column >= int(rec.NumCols()) {
		return Blocks{}, fault.Permanent(fmt.Errorf("read block numbers: a record of %d columns has none at index %d", rec.NumCols(), column))
	}
	col := rec.Column(column)
	if col.NullN() > 0 {
		return Blocks{}, fault.Permanent(fmt.Errorf("read block numbers of column %q: %d of %d are null: %w",
			rec.ColumnName(column), col.NullN(), col.Len(), errBlockColumn))
	}
	var values blockValues
	switch a := col.(type) {
	case *array.Uint64:
		values = ints[uint64](a.Uint64Values())
	case *array.Int64:
		values = ints[int64](a.Int64Values())
	case *array.Uint32:
		values = ints[uint32](a.Uint32Values())
	case *array.Int32:
		values = ints[int32](a.Int32Values())
	case *array.Uint16:
		values = ints[uint16](a.Uint16Values())
	case *array.Int16:
		values = ints[int16](a.Int16Values())
	case *array.Uint8:
		values = ints[uint8](a.Uint8Values())
	case *array.Int8:
		values = ints[int8](a.Int8Values())
	default:
		return Blocks{}, fault.Permanent(fmt.Errorf("read block numbers of column %q of type %s: %w",
			rec.ColumnName(column), col.DataType(), errBlockColumn))
	}
	return Blocks{values}, nil
}

// Len returns the number of rows.
func (b Blocks) Len() int { return b.values.len() }

// At returns the block of row i.
func (b Blocks) At(i int) block.Number { return b.values.at(i) }

// Search returns the first row whose block is n or higher, Len if there is none.
// The rows have to ascend by block.
func (b Blocks) Search(n block.Number) int {
	return sort.Search(b.Len(), func(i int) bool { return b.At(i) >= n })
}

// CheckRows looks at every row of a change: blocks have to ascend and to lie
// inside its range, and there have to be as many as its header says. An error is
// permanent: the log holds something that no destination may take.
func CheckRows(c Change, column int) error {
	row, last := 0, c.Range.Start
	for _, rec := range c.Records {
		blocks, err := BlocksOf(rec, column)
		if err != nil {
			return err
		}
		for i := range blocks.Len() {
			n := blocks.At(i)
			if n < last || !c.Range.Has(n) {
				return fault.Permanent(fmt.Errorf("entry of blocks %v: row %d is of block %d after block %d: "+
					"rows have to ascend inside the range; the log is damaged or was not written by ampipe", c.Range, row, n, last))
			}
			last = n
			row++
		}
	}
	if row != c.Rows {
		return fault.Permanent(fmt.Errorf("entry of blocks %v: its header says %d rows and it holds %d; "+
			"the log is damaged or was not written by ampipe", c.Range, c.Rows, row))
	}
	return nil
}
