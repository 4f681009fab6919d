package sink

import (
	"github.com/apache/arrow-go/v18/arrow"

	"github.com/ampipe/ampipe/pkg/block"
)

// RowRange is a range of rows of a record, [From, To). It borrows the record.
type RowRange struct {
	Record arrow.RecordBatch
	From   int
	To     int
	Entry  int // position of row From in its entry, for [BadRowError]
}

// Len returns the number of rows.
func (r RowRange) Len() int { return r.To - r.From }

// Slice returns the rows as a record of their own, without copying. The caller
// releases it.
func (r RowRange) Slice() arrow.RecordBatch { return r.Record.NewSlice(int64(r.From), int64(r.To)) }

// Trim returns the rows of a change whose blocks are not covered yet and lie below
// liveStart, if there is one, and these blocks, both ascending. Blocks without rows are
// among the latter.
//
// The rows have to ascend by block and to lie inside the range of the change
// ([CheckRows]). An error is permanent and says that the block column cannot be
// read.
func Trim(c Change, column int, covered block.Set, liveStart *block.Number) ([]RowRange, []block.Range, error) {
	want := c.Range
	if liveStart != nil {
		want.End = min(want.End, *liveStart)
	}
	fresh := covered.Missing(want)
	if len(fresh) == 0 {
		return nil, nil, nil
	}
	var runs []RowRange
	entry := 0
	for _, rec := range c.Records {
		rows := int(rec.NumRows())
		if rows == 0 {
			continue
		}
		if len(fresh) == 1 && fresh[0] == c.Range { // nothing to cut
			runs = append(runs, RowRange{Record: rec, To: rows, Entry: entry})
			entry += rows
			continue
		}
		blocks, err := BlocksOf(rec, column)
		if err != nil {
			return nil, nil, err
		}
		for _, r := range fresh {
			if from, to := blocks.Search(r.Start), blocks.Search(r.End); from < to {
				runs = append(runs, RowRange{Record: rec, From: from, To: to, Entry: entry + from})
			}
		}
		entry += rows
	}
	return runs, fresh, nil
}

// CountRows returns the number of rows in all runs.
func CountRows(runs []RowRange) uint64 {
	var n uint64
	for _, r := range runs {
		n += uint64(r.Len())
	}
	return n
}
