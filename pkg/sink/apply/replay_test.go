package apply_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/state"
)

// TestAReplayAfterADeepReorg: blocks that the live chain has rolled back since the replay
// was asked for are left to it; those below are removed and come again.
func TestAReplayAfterADeepReorg(t *testing.T) {
	for name, c := range map[string]struct {
		reorg  func(l *lane)
		blocks block.Range         // of the request
		rows   map[block.Range]int // at the end; nil: some are of open blocks
		start  block.Number        // of the live lane
	}{
		"they were rolled back": {
			func(l *lane) { l.invalidate(22) }, block.Range{End: 27},
			map[block.Range]int{block.Closed(0, 9): 3}, 22,
		},
		"some have come again": {
			func(l *lane) { l.invalidate(22); l.complete(22, 24, 2) }, block.Range{End: 27},
			map[block.Range]int{block.Closed(0, 9): 3}, 25,
		},
		"all were rolled back": {
			func(l *lane) { l.invalidate(22) }, block.Range{Start: 25, End: 27},
			map[block.Range]int{block.Closed(0, 9): 3, block.Closed(10, 21): 1}, 10,
		},
		"and are coming": {
			func(l *lane) { l.invalidate(22); l.data(22, 26, 2) }, block.Range{Start: 25, End: 27}, nil, 10,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				history := entries(t, 1, 3)
				r := &replayEnv{env: newEnv(t, history...), log: lanes{}, seqs: map[string]uint64{}, letters: &fakeLetters{}}
				r.runs(time.Minute)
				r.log["p.0.0"] = []queue.Message{{Entry: history[0], Seq: 1}}
				l := newLane(t)
				l.complete(10, 29, 1)
				c.reorg(l)
				r.apply(l.all...)
				r.request, r.rev = state.Replay{
					Blocks: block.NewSet(c.blocks), FromLog: block.NewSet(c.blocks.Intersect(block.Range{End: 10})), Step: state.ReplayRemoves,
				}, 1
				r.process("one", time.Minute)
				if r.request.Step != state.ReplayDone || r.request.Error != "" {
					t.Errorf("the request is %+v", r.request)
				}
				held := r.store.CommitState()
				if held.Live.Start != c.start {
					t.Errorf("the live lane begins at block %d, want %d", held.Live.Start, c.start)
				}
				if c.rows != nil {
					r.wantRows(c.rows)
				}
				if got := held.Live; got.Seq != l.seq {
					t.Errorf("the live lane is %+v, want it as it was", got)
				}
			})
		})
	}
}
