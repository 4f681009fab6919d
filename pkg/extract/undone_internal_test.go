package extract

import (
	"testing"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/state"
)

// TestRowsOfAReorgAreCounted as long as it is known which entries had them, and not guessed.
func TestRowsOfAReorgAreCounted(t *testing.T) {
	t.Parallel()
	add := func(c *rowCounts, from, to block.Number, rows int) {
		c.add(entry.Header{Kind: entry.Data, Range: block.Closed(from, to), Rows: rows})
	}
	cut := func(c *rowCounts, n block.Number, want int) {
		t.Helper()
		switch got := c.cut(n); {
		case (got == nil) != (want < 0):
			t.Errorf("from block %d on: known is %v", n, got != nil)
		case got != nil && *got != uint64(want):
			t.Errorf("from block %d on: %d rows, want %d", n, *got, want)
		}
	}
	var c rowCounts
	cut(&c, 5, -1) // a process that has just taken over
	add(&c, 10, 10, 3)
	add(&c, 11, 11, 0)
	add(&c, 12, 12, 4)
	add(&c, 12, 12, 2) // parts of a large block
	c.add(entry.Header{Kind: entry.Watermark, Range: block.Closed(12, 12)})
	cut(&c, 13, 0)
	cut(&c, 12, 6)
	cut(&c, 12, 0) // they are gone
	add(&c, 12, 12, 1)
	cut(&c, 11, 1)
	add(&c, 11, 14, 8)
	cut(&c, 13, -1) // in the middle of an entry
	add(&c, 13, 13, 1)
	cut(&c, 9, -1) // below what this process has published
	add(&c, 9, 9, 5)
	cut(&c, 9, 5)
	for n := range block.Number(3 * keptCounts) {
		add(&c, n, n, 1)
	}
	if len(c.entries) > 2*keptCounts {
		t.Errorf("%d entries are remembered", len(c.entries))
	}
	cut(&c, 2*keptCounts, keptCounts)
	cut(&c, 0, -1)
}

func TestReorgsAreRemembered(t *testing.T) {
	t.Parallel()
	l := &lane{}
	for n := range block.Number(state.KeptReorgs + 5) {
		l.noteReorg(n, 2)
	}
	if len(l.recent) != state.KeptReorgs || l.recent[0].From != 5 || l.recent[0].Blocks != 2 || l.recent[0].At.IsZero() {
		t.Errorf("%+v", l.recent)
	}
}
