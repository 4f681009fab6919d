package entry_test

import (
	"slices"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/entry"
)

// TestCutterFlush breaks a stream off after every batch: what is given out are
// whole blocks, and a second cutter that starts behind them brings the rest.
func TestCutterFlush(t *testing.T) {
	rnd := newRand(t)
	r := block.Range{Start: 0, End: 40}
	for range 50 {
		const limit = 1 << 20
		c := mustCutter(t, plain, 0, r, 1<<20, limit)
		if groups, err := c.Flush(); err != nil || len(groups) != 0 {
			t.Fatalf("flushed before any row: %v, %v", groups, err)
		}
		want := ascending(rnd, 1+rnd.IntN(200), r.Start, r.End)
		cut := 1 + rnd.IntN(len(want))
		push := func(c *entry.Cutter, blocks []block.Number) []entry.Group {
			groups, err := c.Push(record(rnd, memory.DefaultAllocator, plain, 0, blocks, 10))
			if err != nil {
				t.Fatal(err)
			}
			return groups
		}
		groups := push(c, want[:cut])
		flushed, err := c.Flush()
		if err != nil {
			t.Fatal(err)
		}
		groups = append(groups, flushed...)
		if last := want[cut-1]; c.Next() > last || (want[0] < last && c.Next() != last) {
			t.Fatalf("flushed up to %d; block %d is the first that may be incomplete", c.Next(), last)
		}
		rest := mustCutter(t, plain, 0, block.Range{Start: c.Next(), End: r.End}, 1<<20, limit)
		from := slices.IndexFunc(want, func(n block.Number) bool { return n >= c.Next() })
		groups = append(groups, push(rest, want[from:])...)
		finished, err := rest.Finish()
		if err != nil {
			t.Fatal(err)
		}
		var rows int64
		for _, rec := range mustCover(t, append(groups, finished...), r, 0, limit) {
			rows += rec.NumRows()
		}
		if rows != int64(len(want)) {
			t.Fatalf("%d rows came out of %d", rows, len(want))
		}
	}
}
