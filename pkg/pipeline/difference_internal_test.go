package pipeline

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/sink"
)

// Few differences are named block by block, many as ranges, and no more than a hundred
// lines are written.
func TestDifferencesAreBounded(t *testing.T) {
	t.Parallel()
	missing := func(n block.Number) Difference {
		return Difference{Blocks: block.Closed(n, n), Source: sink.BlockDigest{Rows: 4}}
	}
	changed := func(n block.Number) Difference {
		return Difference{Blocks: block.Closed(n, n), Source: sink.BlockDigest{Rows: 2}, Destination: sink.BlockDigest{Rows: 2, Sum: 1}}
	}
	refused := func(n block.Number) Difference {
		return Difference{Blocks: block.Closed(n, n), Reason: errors.New("no\nnumber " + strings.Repeat("x", 1000))}
	}
	for name, c := range map[string]struct {
		each  func(block.Number) Difference
		n     block.Number
		step  block.Number
		lines int
		first string
		last  string
	}{
		"a few":               {missing, 3, 1, 3, "pg: block 0: 4 rows in the source, 0 in the destination", "pg: block 2: 4 rows"},
		"a whole chain":       {missing, 3 * mostKept, 1, 1, "pg: blocks [0, 30000): 120,000 rows in the source, 0 in the destination", "pg: blocks [0, 30000)"},
		"changed rows":        {changed, 200, 1, 1, "pg: blocks [0, 200): 400 rows in both, but their content differs", "pg: blocks"},
		"every second block":  {missing, 1000, 2, maxDifferences + 1, "pg: block 0: 4 rows", "pg: and 900 more blocks that differ"},
		"a reason, and again": {refused, 300, 1, 1, "pg: blocks [0, 300): cannot be compared: no number xxx", "pg: blocks"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out strings.Builder
			v := &verification{options: Options{Out: &out}, config: &config.Pipeline{}, sink: config.Sink{Name: "pg"}, all: block.Range{End: 100_000}}
			for i := range c.n {
				v.found.add(Comparison{Differences: []Difference{c.each(i * c.step)}})
			}
			v.report(true)
			lines := strings.Split(strings.TrimSpace(out.String()), "\n")
			if len(lines) != c.lines || !strings.HasPrefix(lines[0], c.first) || !strings.HasPrefix(lines[len(lines)-1], c.last) {
				t.Errorf("%d lines, want %d: from %q to %q", len(lines), c.lines, lines[0], lines[len(lines)-1])
			}
			for _, line := range lines {
				if len(line) > longestReason+100 {
					t.Errorf("a line of %d bytes", len(line))
				}
			}
			if differ, _ := v.found.differing(); differ != uint64(c.n) {
				t.Errorf("%d blocks differ, want %d", differ, c.n)
			}
		})
	}
}

// A block that neither side can read is left out of both, and named once.
func TestLeaveOut(t *testing.T) {
	t.Parallel()
	want, have := sink.Digests{}, sink.Digests{}
	for n := range block.Number(10) {
		want.Add(n, 1)
		have.Add(n, 1)
	}
	first, second := errors.New("first"), errors.New("second")
	left := leaveOut(want, have, []sink.Unreadable{{Blocks: block.Closed(3, 4), Err: first}}, []sink.Unreadable{{Blocks: block.Closed(4, 6), Err: second}})
	if got := fmt.Sprint(left); got != "[blocks [3, 5): cannot be compared: first blocks [5, 7): cannot be compared: second]" {
		t.Error(got)
	}
	if len(want) != 6 || len(have) != 6 {
		t.Errorf("%d and %d blocks are compared, want 6", len(want), len(have))
	}
}
