package plan

import (
	"bytes"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/state"
)

// TestOnlyWhatWasLoadedBeforeIsLost: what a sink lacks of a live lane that it joined late
// was never to be in its destination.
func TestOnlyWhatWasLoadedBeforeIsLost(t *testing.T) {
	parts := []state.Partition{{Start: 0, End: 100, State: state.PartitionDone}}
	for _, c := range []struct {
		lost block.Set
		want []string
	}{
		{block.NewSet(block.Range{Start: 10, End: 20}), []string{"[10, 20)", "loaded again"}},
		{block.NewSet(block.Range{Start: 100, End: 120}), []string{"[100, 120)", "joined the live lane"}},
		{block.NewSet(block.Range{Start: 90, End: 120}), []string{"[100, 120)", "joined the live lane", "[90, 100)", "loaded again"}},
	} {
		var log bytes.Buffer
		r := newReconciler(&Planner{Logger: zerolog.New(&log)}, state.Spec{}, 1)
		r.sinks.logMissing(c.lost, parts)
		rest := log.String()
		for _, want := range c.want {
			_, after, found := strings.Cut(rest, want)
			if !found {
				t.Errorf("%v: %q does not follow in\n%s", c.lost, want, &log)
			}
			rest = after
		}
		if lines := strings.Count(log.String(), "\n"); lines != len(c.want)/2 {
			t.Errorf("%v: %d lines\n%s", c.lost, lines, &log)
		}
	}
}
