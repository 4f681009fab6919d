package pipeline

import (
	"testing"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/state"
	"github.com/ampipe/ampipe/pkg/status"
)

func blocks(pairs ...block.Number) (s block.Set) {
	for i := 0; i < len(pairs); i += 2 {
		s.Add(block.Range{Start: pairs[i], End: pairs[i+1]})
	}
	return s
}

// TestFewer closes the smallest gaps, and no more than it has to.
func TestFewer(t *testing.T) {
	t.Parallel()
	all := blocks(0, 1, 5, 6, 7, 8, 20, 21, 23, 24)
	for limit, want := range map[int]block.Set{
		9: all, 5: all, 4: blocks(0, 1, 5, 8, 20, 21, 23, 24), 3: blocks(0, 1, 5, 8, 20, 24), 2: blocks(0, 8, 20, 24), 1: blocks(0, 24),
	} {
		if got := fewer(all, limit); !got.Equal(want) {
			t.Errorf("at most %d ranges: %v, want %v", limit, got, want)
		}
	}
}

// TestReplayableBlocks are those that the destination holds and that no reorg reaches.
func TestReplayableBlocks(t *testing.T) {
	t.Parallel()
	t0 := time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC)
	p := &config.Pipeline{Name: "p", Range: config.Range{ReorgBuffer: 10}}
	letters := blocks(3, 4, 50, 51, 89, 90, 95, 96)
	live := state.LiveState{Started: true, Start: 60, Cursor: block.Cursor{Network: "testnet", Number: 99}}
	facts := status.Facts{Now: t0, Spec: &state.Spec{}, Sinks: []status.SinkFacts{{Name: "lake", Reported: t0,
		Report: state.SinkReport{Coverage: blocks(0, 40, 45, 100), Live: live}}}}
	ready, later := replayable(p, facts, "lake", letters)
	if want := blocks(3, 4, 50, 51, 89, 90); !ready.Equal(want) || !later.Equal(blocks(95, 96)) {
		t.Errorf("%v can be replayed and %v cannot yet", ready, later)
	}
	facts.Sinks[0].Report.Coverage.Remove(block.Range{Start: 50, End: 51}) // it was taken back
	ready, later = replayable(p, facts, "lake", letters)
	if !ready.Equal(blocks(3, 4, 89, 90)) || !later.Equal(blocks(50, 51, 95, 96)) {
		t.Errorf("%v can be replayed and %v cannot yet", ready, later)
	}
	ready, later = replayable(p, facts, "attic", letters) // it has never reported
	if ready.Len() > 0 || !later.Equal(letters) {
		t.Errorf("%v can be replayed and %v cannot yet", ready, later)
	}
}
