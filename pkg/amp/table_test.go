package amp_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/amp/amptest"
	"github.com/ampipe/ampipe/pkg/block"
)

// table is the simplest consumer of a stream: rows by block, and the cursors to
// resume from. It complains about events that break their promises.
type table struct {
	rows       map[block.Number][]string
	cursors    []block.Cursor
	next       block.Number // where the next rows or watermark may begin
	beginning  *block.Number
	unfinished bool
	reorgs     int
}

func newTable() *table { return &table{rows: map[block.Number][]string{}} }

func (b *table) apply(e amp.Event) error {
	switch e := e.(type) {
	case amp.Rows:
		b.begin(e.Range.Numbers.Start)
		b.unfinished = true
		return amptest.EachBlock(e.Record, func(n block.Number, rows arrow.RecordBatch) error {
			if n < b.next || !e.Range.Numbers.Has(n) {
				return fmt.Errorf("rows of block %d in %v, where %d is next", n, e.Range.Numbers, b.next)
			}
			for row := range int(rows.NumRows()) {
				b.rows[n] = append(b.rows[n], rowText(rows, row))
			}
			return nil
		})
	case amp.Watermark:
		b.begin(e.Range.Numbers.Start)
		if e.Range.Numbers.Start != b.next {
			return fmt.Errorf("watermark %v, where %d is next", e.Range.Numbers, b.next)
		}
		b.unfinished = false
		b.next = e.Range.Numbers.End
		b.cursors = append(b.cursors, e.Range.Cursor())
	case amp.Undo:
		if e.From > b.next {
			return fmt.Errorf("%s, where %d is next", told(e), b.next)
		}
		if e.Reorg {
			b.reorgs++
		}
		b.undo(e.From)
		if e.Base != nil && (len(b.cursors) == 0 || b.cursors[len(b.cursors)-1] != *e.Base) {
			if e.Base.Number != e.From-1 {
				return fmt.Errorf("%s goes back to another block", told(e))
			}
			b.cursors = append(b.cursors, *e.Base)
		}
		if e.Base == nil {
			b.beginning = nil
		}
	}
	return nil
}

// begin notes where the stream begins.
func (b *table) begin(start block.Number) {
	if len(b.cursors) == 0 && !b.unfinished {
		b.next = start
		if b.beginning == nil {
			b.beginning = &start
		}
	}
}

// undo voids everything at or above a block.
func (b *table) undo(from block.Number) {
	maps.DeleteFunc(b.rows, func(n block.Number, _ []string) bool { return n >= from })
	b.cursors = slices.DeleteFunc(b.cursors, func(c block.Cursor) bool { return c.Number >= from })
	b.next, b.unfinished = from, false
}

// restart is what a consumer does that has crashed: it undoes what is unfinished
// and continues from its cursors.
func (b *table) restart() amp.FollowOptions {
	if len(b.cursors) == 0 {
		*b = *newTable()
		return amp.FollowOptions{}
	}
	b.undo(b.cursors[len(b.cursors)-1].Number + 1)
	return amp.FollowOptions{Resume: slices.Clone(b.cursors), Beginning: b.beginning}
}

// head is the last cursor.
func (b *table) head() block.Cursor {
	if len(b.cursors) == 0 {
		return block.Cursor{}
	}
	return b.cursors[len(b.cursors)-1]
}

// rowText writes every value of a row. Within a block, rows have no order.
func rowText(record arrow.RecordBatch, row int) string {
	var values []string
	for _, column := range record.Columns() {
		values = append(values, column.ValueStr(row))
	}
	return strings.Join(values, "|")
}

// content returns rows by block, in one order.
func content(rows map[block.Number][]string) map[block.Number][]string {
	for _, block := range rows {
		slices.Sort(block)
	}
	return rows
}

// checkRows compares the table with what it should be, in every value.
func (b *table) checkRows(t *testing.T, want map[block.Number][]string) {
	t.Helper()
	got, want := content(b.rows), content(want)
	for n := range want {
		if !slices.Equal(got[n], want[n]) {
			t.Errorf("block %d:\ngot  %q\nwant %q", n, got[n], want[n])
		}
	}
	for n := range got {
		if want[n] == nil {
			t.Errorf("block %d should have no rows: %q", n, got[n])
		}
	}
}
