package sink

import (
	"errors"
	"fmt"
	"sort"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/fault"
)

var errBlockColumn = errors.New("the block column has to be an integer column without nulls; " +
	"name another one with source.block_column, or cast it in the query")

// Blocks reads the block column of a record. It borrows the record.
type Blocks struct {
	rows int
	at   func(i int) block.Number
}

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
	at := entry.NumbersOf(col)
	if at == nil {
		return Blocks{}, fault.Permanent(fmt.Errorf("read block numbers of column %q of type %s: %w",
			rec.ColumnName(column), col.DataType(), errBlockColumn))
	}
	return Blocks{col.Len(), at}, nil
}

// Len returns the number of rows.
func (b Blocks) Len() int { return b.rows }

// At returns the block of row i.
func (b Blocks) At(i int) block.Number { return b.at(i) }

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
