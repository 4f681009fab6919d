package plan_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/plan"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/state"
)

// TestAnEpochBegins where every sink can continue, whatever has broken the lane for one
// of them.
func TestAnEpochBegins(t *testing.T) {
	for name, c := range map[string]struct {
		trouble func(d *liveEnv, marks []uint64)
		start   block.Number
		waits   string
	}{
		"a sink is ahead of the log": {func(d *liveEnv, marks []uint64) {
			d.reports("warehouse", d.mark(marks[2]+100, 800, 900))
			d.reports("cache", d.mark(marks[1], 800, 840))
		}, 841, ""},
		"the log has other entries where a sink's last was": {func(d *liveEnv, marks []uint64) {
			// The log had lost its end; a partition's entry took the place.
			must(d.t, d.Log.TrimLanes(d.t.Context(), queue.Live, marks[2]))
			p := part(700, 800, 1, state.PartitionOpen)
			e, err := d.encoder.Encode(entry.Header{Kind: entry.Data, Network: "mainnet", Epoch: 1, Range: p.Range(), End: p.End}, nil)
			must(d.t, err)
			seq, err := d.Log.Publish(d.t.Context(), p.Lane(), 0, "other", entry.Group{e})
			must(d.t, err)
			d.seq = 0
			d.publish(entry.Invalidate, block.Closed(800, 800))
			d.reports("warehouse", d.mark(seq, 800, 900))
			d.reports("cache", d.mark(marks[1], 800, 840))
		}, 841, ""},
		"a sink lacks what was trimmed": {func(d *liveEnv, marks []uint64) {
			d.reports("warehouse", d.mark(marks[2], 800, 900))
			d.reports("cache", d.mark(marks[0], 800, 820))
			must(d.t, d.Log.TrimLanes(d.t.Context(), queue.Live, marks[1]))
		}, 821, ""},
		"a sink lacks what came before a lane that began again": {func(d *liveEnv, marks []uint64) {
			must(d.t, d.Log.TrimLanes(d.t.Context(), queue.Live, marks[2]))
			d.seq = 0
			again := d.publish(entry.Invalidate, block.Closed(800, 800))
			d.reports("warehouse", d.mark(again, 800, 900))
			d.reports("cache", d.mark(marks[1], 800, 840))
		}, 841, ""},
		"the lane is lost": {func(d *liveEnv, marks []uint64) {
			d.reached(state.LiveLost, marks[2], 901)
			d.reports("warehouse", d.mark(marks[2], 800, 900))
			d.reports("cache", d.mark(marks[2], 800, 900))
		}, 901, ""},
		"the lane is lost, and everything has left the chain": {func(d *liveEnv, marks []uint64) {
			d.reports("warehouse", d.mark(marks[2], 800, 900))
			d.reports("cache", d.mark(marks[2], 800, 900))
			d.chain.reorg(650)
			d.reached(state.LiveLost, marks[2], 901)
		}, 700, ""},
		"and no sink has begun": {func(d *liveEnv, marks []uint64) {
			d.reached(state.LiveLost, marks[2], 901)
			d.reports("warehouse", state.LiveState{})
			d.reports("cache", state.LiveState{})
		}, 800, ""},
		"and a sink has no watermark yet": {func(d *liveEnv, marks []uint64) {
			d.reached(state.LiveLost, marks[2], 901)
			d.reports("warehouse", d.mark(marks[2], 800, 900))
			d.reports("cache", state.LiveState{Started: true, Epoch: 1, Seq: marks[0] - 1, Start: 790})
		}, 790, ""},
		"and a sink was taken back to the first block of the chain": {func(d *liveEnv, marks []uint64) {
			d.reached(state.LiveLost, marks[2], 901)
			mark := d.mark(marks[2], 800, 799)
			mark.Cursor.Hash = block.Hash{}
			d.reports("warehouse", mark)
			d.reports("cache", d.mark(marks[2], 800, 900))
		}, 800, ""},
		"and a sink is far behind": {func(d *liveEnv, marks []uint64) {
			d.chain.set(func(s *movingChain) { s.end = 20_000 })
			d.reached(state.LiveLost, marks[2], 15_001)
			d.reports("warehouse", d.mark(marks[2], 800, 15_000))
			d.reports("cache", d.mark(marks[0], 800, 820))
		}, 15_001, ""},
		"and a sink is far behind, but above where another has to begin": {func(d *liveEnv, marks []uint64) {
			d.chain.set(func(s *movingChain) { s.end = 20_000 })
			stray := d.mark(marks[2], 800, 15_000)
			d.chain.reorg(14_990)
			d.reached(state.LiveLost, marks[2], 15_001)
			d.reports("warehouse", stray)
			d.reports("cache", d.mark(marks[0], 790, 820))
		}, 800, ""},
		"and a sink is on a fork that is gone": {func(d *liveEnv, marks []uint64) {
			// cache is the lower one, and on the chain; warehouse has other blocks below
			// cache's cursor.
			stray := d.mark(marks[1], 800, 860)
			d.chain.reorg(830)
			d.reached(state.LiveLost, marks[2], 846)
			d.reports("warehouse", stray)
			d.reports("cache", d.mark(marks[2], 800, 845))
		}, 800, ""},
		"and the fork is deeper than the lane": {func(d *liveEnv, marks []uint64) {
			stray := d.mark(marks[1], 800, 860)
			d.chain.reorg(770)
			d.reached(state.LiveLost, marks[2], 846)
			d.reports("warehouse", stray)
			d.reports("cache", d.mark(marks[2], 770, 845))
		}, 736, ""},
		"and the chain is not as long as it was": {func(d *liveEnv, marks []uint64) {
			d.reached(state.LiveLost, marks[2], 901)
			d.reports("warehouse", d.mark(marks[2], 800, 900))
			d.reports("cache", d.mark(marks[2], 800, 900))
			d.chain.set(func(s *movingChain) { s.end = 890 })
		}, 901, "its head is block 889, and block"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newLiveEnv(t, "warehouse", "cache")
			marks := []uint64{}
			d.publish(entry.Invalidate, block.Closed(800, 800))
			for _, r := range []block.Range{block.Closed(800, 820), block.Closed(821, 840), block.Closed(841, 900)} {
				marks = append(marks, d.publish(entry.Watermark, r))
			}
			d.reached(state.LiveRunning, marks[2], 901)
			d.run()
			d.next()
			if s := d.stored(); s.Epoch != 1 {
				t.Fatalf("epoch %d before the sinks have said how far they are", s.Epoch)
			}
			c.trouble(d, marks)
			if c.waits != "" {
				d.until("it waits", func(s plan.Status) bool { return strings.Contains(s.Live.Waits, c.waits) })
				d.chain.set(func(s *movingChain) { s.end = 1000 })
			}
			d.until("an epoch begins", func(plan.Status) bool { return d.stored().Epoch == 2 })
			s := d.stored()
			if s.Live.Start != c.start || s.Live.Open {
				t.Errorf("the epoch begins at %d (open %v), want %d", s.Live.Start, s.Live.Open, c.start)
			}
			for i, p := range s.Live.Points {
				if p != d.chain.at(p.Number) || (i > 0 && p.Number <= s.Live.Points[i-1].Number) {
					t.Errorf("point %v is not in the chain, or not in order: %v", p, s.Live.Points)
				}
			}
			if n := len(s.Live.Points); n == 0 || s.Live.Points[n-1].Number != c.start-1 {
				t.Errorf("points %v, want one at %d", s.Live.Points, c.start-1)
			}
			if s.History.Start != 700 || s.History.End < min(800, c.start) {
				t.Errorf("history %v", s.History)
			}
			// The sinks as they are fit the epoch that has begun: there is no other one.
			d.until("the task is queued", func(plan.Status) bool { return d.queued() })
			d.next()
			if s := d.stored(); s.Epoch != 2 {
				t.Errorf("epoch %d", s.Epoch)
			}
		})
	}
}

// TestNoEpochBegins where a sink is only slow.
func TestNoEpochBegins(t *testing.T) {
	d := newLiveEnv(t, "warehouse", "cache", "late")
	d.publish(entry.Invalidate, block.Closed(800, 800))
	first := d.publish(entry.Watermark, block.Closed(800, 820))
	other := d.publish(entry.Watermark, block.Closed(821, 840))
	last := d.publish(entry.Watermark, block.Closed(841, 900))
	must(t, d.Log.TrimLanes(t.Context(), queue.Live, first))
	d.reached(state.LiveRunning, last, 901)
	d.run()
	d.reports("warehouse", d.mark(first, 800, 820)) // needs the first that is left
	d.reports("cache", d.mark(other, 800, 840))
	d.reports("late", state.LiveState{})
	d.until("the live lane goes on", func(s plan.Status) bool { return s.Live.Follows && s.Live.Waits == "" })
	d.next()
	d.reports("cache", d.mark(last, 800, 900))
	d.next()
	if s := d.stored(); s.Epoch != 1 {
		t.Errorf("epoch %d", s.Epoch)
	}
}

// TestALaneThatFailed ends the run with its error; another run tries again.
func TestALaneThatFailed(t *testing.T) {
	d := newLiveEnv(t, "warehouse")
	ended, stop := d.run()
	d.reports("warehouse", state.LiveState{})
	d.until("the live lane begins", func(plan.Status) bool { return d.queued() })
	d.save(state.LivePosition{
		Epoch: 1, Next: 820, Phase: state.LiveFailed, Error: "the chain was reorganised deeper than is remembered", Reorgs: 7,
	})
	err := d.endsBy(ended)
	if fault.Of(err) != fault.ClassPermanent || !strings.Contains(err.Error(), "deeper than is remembered") {
		t.Errorf("the run ended with %v", err)
	}
	stop()
	task, err := d.Tasks.Next(t.Context(), queue.LiveTask)
	must(t, err)
	must(t, task.Done(t.Context()))

	ended, _ = d.run()
	d.reports("warehouse", state.LiveState{})
	d.until("it is tried again", func(plan.Status) bool { return d.queued() })
	if p, _, err := d.State.LivePosition(t.Context()); err != nil || p.Phase != state.LiveRunning || p.Next != 820 || p.Reorgs != 7 {
		t.Errorf("position %+v, %v", p, err)
	}
	d.next()
	select {
	case err := <-ended:
		t.Errorf("the new run ended with %v", err)
	default:
	}
}

// TestAnOpenOriginIsSettled when the chain arrives there.
func TestAnOpenOriginIsSettled(t *testing.T) {
	d := newLiveEnv(t, "warehouse")
	d.spec.History = block.Range{Start: 1100, End: 1100}
	d.spec.Live = &state.Origin{Start: 1100, Open: true}
	reasons := make(chan string, 1)
	d.OnWait = func(reason error) {
		if reason == nil {
			return
		}
		select {
		case reasons <- reason.Error():
		default: // one is enough
		}
	}
	d.run()
	d.reports("warehouse", state.LiveState{})
	d.until("it waits", func(s plan.Status) bool {
		return s.Live.Waits == "the chain has not reached block 1100; its head is block 999"
	})
	d.next()
	if s := d.stored(); !s.Live.Open || d.queued() {
		t.Errorf("origin %+v, queued %v", s.Live, d.queued())
	}
	// A server that is slow is not one that lacks the block.
	d.chain.set(func(s *movingChain) { s.end, s.slow = 1102, true })
	var text string
	for text == "" {
		select {
		case text = <-reasons:
		case <-d.status: // the planner runs again
		}
	}
	if !strings.Contains(text, "ask for the hash of block 1099: "+amp.ErrUnanswered.Error()) {
		t.Errorf("of a slow server it says %s", text)
	}
	// The rows of the block cannot be computed, and its hash is known all the same.
	d.chain.set(func(s *movingChain) { s.slow, s.fails = false, true })
	d.until("the live lane begins", func(plan.Status) bool { return d.queued() })
	if s := d.stored(); s.Live.Open || s.Live.Start != 1100 || !slices.Equal(s.Live.Points, []block.Cursor{d.chain.at(1099)}) || s.Epoch != 1 {
		t.Errorf("origin %+v", s.Live)
	}
}
