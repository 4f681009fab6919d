package state_test

import (
	"testing"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/state"
)

// TestTakenBlocks are noted with the mark of their request, beside what a request before has
// left, and a copy of the request does not change.
func TestTakenBlocks(t *testing.T) {
	t.Parallel()
	span := func(start, end block.Number) block.Set { return block.NewSet(block.Range{Start: start, End: end}) }
	stream := time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC)
	var none state.Replay
	none.Take(block.Range{End: 5})
	if !none.Removed.Equal(span(0, 5)) || none.Past != nil {
		t.Errorf("without letters: %+v", none)
	}
	r := state.Replay{
		Before: &state.LettersMark{Stream: stream, Seq: 9},
		Past:   []state.PastLetters{{Blocks: span(100, 101), Before: state.LettersMark{Stream: stream, Seq: 4}}},
	}
	earlier := r
	r.Take(block.Range{Start: 10, End: 20})
	before := r
	r.Take(block.Range{Start: 20, End: 30})
	if len(earlier.Past) != 1 || !before.Past[1].Blocks.Equal(span(10, 20)) || !before.Removed.Equal(span(10, 20)) {
		t.Errorf("a copy has changed: %+v, %+v", earlier, before)
	}
	if len(r.Past) != 2 || !r.Past[0].Blocks.Equal(span(100, 101)) || !r.Past[1].Blocks.Equal(span(10, 30)) || r.Past[1].Before.Seq != 9 {
		t.Errorf("past letters are %+v", r.Past)
	}
}
