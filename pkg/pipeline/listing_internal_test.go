package pipeline

import (
	"strings"
	"testing"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/progress"
	"github.com/ampipe/ampipe/pkg/state"
	"github.com/ampipe/ampipe/pkg/status"
)

// TestListingsFitTheTerminal and lose nothing there; elsewhere each row is one line.
func TestListingsFitTheTerminal(t *testing.T) {
	t.Parallel()
	const cause = "gave up after 57 attempts in 2s: DoGet: object store: 503 Slow Down (Internal); the server's log says more"
	parts := []state.Partition{
		{Start: 19_000_000, End: 19_010_000, State: state.PartitionDone, Rows: 1_234_567, Seconds: 12.5, Attempts: 1},
		{Start: 19_010_000, End: 19_020_000, State: state.PartitionFailed, Attempts: 57, Error: cause},
	}
	letters := deadGroup{
		Sink: "warehouse", Rows: 12_345, Blocks: []block.Range{{Start: 19_000_000, End: 19_999_999}}, blocks: block.NewSet(block.Range{Start: 19_000_000, End: 19_999_999}),
		Column: "log_index", Error: cause, Newest: time.Unix(0, 0),
	}
	for name, c := range map[string]struct {
		print func(o Options)
		lines int // where there is no terminal
	}{
		"results": {func(o Options) { _ = printResults(o, "eth-logs", parts) }, 3},
		"failed":  {func(o Options) { sayFailures(o, "eth-logs", status.FailedPartitions(parts)) }, 2},
		"letters": {func(o Options) { _ = printGroups(o, "eth-logs", []*deadGroup{&letters}) }, 2},
	} {
		var terminal, file strings.Builder
		c.print(Options{Out: &terminal, Columns: 80})
		c.print(Options{Out: &file})
		for line := range strings.Lines(terminal.String()) {
			if progress.Columns(strings.TrimSuffix(line, "\n")) > 80 {
				t.Errorf("%s: a terminal has 80 columns: %s", name, line)
			}
		}
		if !strings.Contains(strings.Join(strings.Fields(terminal.String()), " "), cause) {
			t.Errorf("%s: the terminal lacks the error:\n%s", name, terminal.String())
		}
		lines := strings.Split(strings.TrimSpace(file.String()), "\n")
		if len(lines) != c.lines || !strings.Contains(file.String(), cause) || !strings.HasPrefix(lines[1], "eth-logs") {
			t.Errorf("%s: a file has\n%s", name, file.String())
		}
	}
}
