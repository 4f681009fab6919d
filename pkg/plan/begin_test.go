package plan_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/plan"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/state"
)

// TestANewPlanAsksTheSinks: what NATS held was lost, and the new plan begins where the
// head of the chain would have it, which is not where the destinations end.
func TestANewPlanAsksTheSinks(t *testing.T) {
	for name, c := range map[string]struct {
		change  func(d *liveEnv) // of the chain and the plan, after the marks were taken
		sinks   func(d *liveEnv) (warehouse, cache state.LiveState)
		start   block.Number
		epoch   uint64
		history block.Number // end of it
		waits   string
	}{
		"nobody has anything": {
			sinks: func(*liveEnv) (state.LiveState, state.LiveState) { return state.LiveState{}, state.LiveState{} },
			start: 800, epoch: 5, history: 800,
		},
		"both have the chain beyond the plan's start": {
			sinks: func(d *liveEnv) (state.LiveState, state.LiveState) { return d.mark(9, 300, 900), d.mark(7, 300, 880) },
			start: 881, epoch: 5, history: 800,
		},
		"one has nothing": {
			sinks: func(d *liveEnv) (state.LiveState, state.LiveState) { return d.mark(9, 300, 900), state.LiveState{} },
			start: 901, epoch: 5, history: 901,
		},
		"both end below the plan's start": {
			sinks: func(d *liveEnv) (state.LiveState, state.LiveState) { return d.mark(9, 300, 780), d.mark(9, 300, 770) },
			start: 771, epoch: 5, history: 771,
		},
		"a block below the plan's start was replaced": {
			sinks:  func(d *liveEnv) (state.LiveState, state.LiveState) { return d.mark(9, 300, 799), d.mark(9, 500, 790) },
			change: func(d *liveEnv) { d.chain.set(func(s *movingChain) { s.from, s.fork, s.knows = 799, 1, true }) },
			start:  700, epoch: 5, history: 700, // whether the server knows the block cannot be seen
		},
		"several blocks were replaced, and the server knows them": {
			sinks:  func(d *liveEnv) (state.LiveState, state.LiveState) { return d.mark(9, 300, 799), d.mark(9, 500, 795) },
			change: func(d *liveEnv) { d.chain.set(func(s *movingChain) { s.from, s.fork, s.knows = 791, 1, true }) },
			start:  791, epoch: 5, history: 791,
		},
		"a reorg deeper than the live blocks, and the server knows it": {
			sinks:  func(d *liveEnv) (state.LiveState, state.LiveState) { return d.mark(9, 790, 799), d.mark(9, 780, 795) },
			change: func(d *liveEnv) { d.chain.set(func(s *movingChain) { s.from, s.fork, s.knows = 740, 1, true }) },
			start:  740, epoch: 5, history: 740,
		},
		"a reorg deeper than the blocks that are wanted": {
			sinks:  func(d *liveEnv) (state.LiveState, state.LiveState) { return d.mark(9, 790, 799), d.mark(9, 780, 795) },
			change: func(d *liveEnv) { d.chain.set(func(s *movingChain) { s.from, s.fork, s.knows = 640, 1, true }) },
			start:  700, epoch: 5, history: 700,
		},
		"cursors of two forks": {
			sinks: func(d *liveEnv) (state.LiveState, state.LiveState) {
				stray := d.mark(9, 750, 860)
				d.chain.reorg(830)
				return stray, d.mark(7, 760, 845)
			},
			start: 750, epoch: 5, history: 750,
		},
		"both were undone, and have no watermark since": {
			sinks: func(d *liveEnv) (state.LiveState, state.LiveState) {
				return state.LiveState{Started: true, Epoch: 1, Seq: 4, Start: 790}, state.LiveState{Started: true, Epoch: 1, Seq: 4, Start: 795}
			},
			start: 790, epoch: 5, history: 790,
		},
		"the server has less than the destinations": {
			sinks:  func(d *liveEnv) (state.LiveState, state.LiveState) { return d.mark(9, 300, 950), d.mark(9, 300, 950) },
			change: func(d *liveEnv) { d.chain.set(func(s *movingChain) { s.end = 940 }) },
			start:  951, epoch: 5, history: 800,
			waits: "its head is block 939, and block",
		},
		"a sink knows of a later epoch": {
			sinks: func(d *liveEnv) (state.LiveState, state.LiveState) {
				later := d.mark(9, 300, 900)
				later.Epoch = 8
				return later, d.mark(9, 300, 900)
			},
			start: 901, epoch: 9, history: 800,
		},
		"the log has a lane of a later epoch": {
			sinks: func(d *liveEnv) (state.LiveState, state.LiveState) {
				must(d.t, second(d.Log.Publish(d.t.Context(), queue.LiveLane, 0, "x", entry.Group{{Header: entry.Header{
					Kind: entry.Invalidate, Epoch: 6, Network: "mainnet", Range: block.Closed(800, 800),
				}}})))
				return state.LiveState{}, state.LiveState{}
			},
			start: 800, epoch: 7, history: 800,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newLiveEnv(t, "warehouse", "cache")
			d.spec.Epoch, d.spec.Live.Tentative = 5, true
			d.run()
			d.next()
			if s := d.stored(); !s.Live.Tentative || d.queued() {
				t.Fatalf("origin %+v, queued %v before the sinks have said how far they are", s.Live, d.queued())
			}
			warehouse, cache := c.sinks(d)
			if c.change != nil {
				c.change(d)
			}
			d.reports("warehouse", warehouse)
			d.next()
			if s := d.stored(); !s.Live.Tentative {
				t.Fatalf("origin %+v before cache has said how far it is", s.Live)
			}
			d.reports("cache", cache)
			if c.waits != "" {
				d.until("it waits", func(s plan.Status) bool { return strings.Contains(s.Live.Waits, c.waits) })
				d.chain.set(func(s *movingChain) { s.end = 1000 })
			}
			d.until("the lane may begin", func(plan.Status) bool { return !d.stored().Live.Tentative })
			s := d.stored()
			if s.Live.Start != c.start || s.Epoch != c.epoch || s.History.End != c.history {
				t.Errorf("epoch %d from %d, history %v; want epoch %d from %d, history to %d", s.Epoch, s.Live.Start, s.History, c.epoch, c.start, c.history)
			}
			if n := len(s.Live.Points); n == 0 || s.Live.Points[n-1] != d.chain.at(c.start-1) {
				t.Errorf("points %v, want one at %d", s.Live.Points, c.start-1)
			}
			d.until("the task is queued", func(plan.Status) bool { return d.queued() })
			d.next()
			if again := d.stored(); again.Epoch != s.Epoch || again.Live.Start != s.Live.Start {
				t.Errorf("epoch %d from %d", again.Epoch, again.Live.Start)
			}
		})
	}
}

// TestAServerThatIsBehindIsNotHurried: it may be so for hours, and is asked at every
// fourth round.
func TestAServerThatIsBehindIsNotHurried(t *testing.T) {
	t.Parallel()
	d := newLiveEnv(t, "warehouse")
	d.spec.Live.Tentative = true
	d.run()
	mark := d.mark(9, 300, 950)
	d.chain.set(func(s *movingChain) { s.end = 940 })
	d.reports("warehouse", mark)
	d.until("it waits", func(s plan.Status) bool { return strings.Contains(s.Live.Waits, "its head is block 939") })
	d.chain.set(func(s *movingChain) { s.asked = 0 })
	d.next()
	d.chain.set(func(s *movingChain) {
		if s.asked < 1 || s.asked > 3 {
			t.Errorf("in 9 rounds it was asked %d times", s.asked)
		}
	})
}

// TestAPlanThatIsGone is written again, and the lane begins only when the sinks were
// asked: what they hold may be of the plan that was lost.
func TestAPlanThatIsGone(t *testing.T) {
	t.Parallel()
	d := newLiveEnv(t, "warehouse")
	at := d.publish(entry.Invalidate, block.Closed(800, 800))
	d.reached(state.LiveRunning, at, 800)
	d.run()
	d.reports("warehouse", d.mark(at, 800, 799))
	d.until("the lane goes on", func(plan.Status) bool { return d.queued() })
	js, err := jetstream.New(d.nats())
	must(t, err)
	documents, err := js.KeyValue(t.Context(), "AMPIPE_STATE")
	must(t, err)
	must(t, documents.Delete(t.Context(), "test.spec"))
	var s state.Spec
	d.until("the plan is there again", func(plan.Status) bool { // the round may be one from before
		var err error
		s, _, err = d.State.LoadSpec(t.Context())
		if errors.Is(err, queue.ErrNotFound) {
			return false
		}
		must(t, err)
		return !s.Live.Tentative
	})
	if s.Epoch <= 1 || s.Live.Start != 800 || s.Query != d.spec.Query || s.History.Start != 700 {
		t.Errorf("plan %+v, origin %+v", s, s.Live)
	}
}

// TestAFinitePlanGoesOnWithALiveDestination: above its live start a destination takes
// nothing of the history, so that the rest of the range must come in a lane.
func TestAFinitePlanGoesOnWithALiveDestination(t *testing.T) {
	t.Parallel()
	d := newLiveEnv(t, "warehouse", "cache")
	end := block.Number(900)
	d.spec.Epoch, d.spec.Live, d.spec.MaxBlock, d.spec.History.End = 5, nil, &end, end
	d.run()
	d.reports("warehouse", d.mark(9, 800, 850), block.Range{Start: 700, End: 851})
	d.reports("cache", state.LiveState{}, block.Range{Start: 700, End: 900})
	d.until("the chain is followed", func(plan.Status) bool { return d.queued() })
	if s := d.stored(); s.Live.Start != 851 || s.Live.Tentative || !slices.Contains(s.Live.Points, d.chain.at(850)) {
		t.Errorf("plan %+v, origin %+v", s, s.Live)
	}
}

// TestAFinitePlanStaysHistory where every destination can take it.
func TestAFinitePlanStaysHistory(t *testing.T) {
	t.Parallel()
	d := newLiveEnv(t, "warehouse", "cache")
	end := block.Number(900)
	d.spec.Epoch, d.spec.Live, d.spec.MaxBlock, d.spec.History.End = 5, nil, &end, end
	d.run()
	d.reports("warehouse", d.mark(9, 800, 899), block.Range{Start: 750, End: 900})
	d.reports("cache", state.LiveState{}, block.Range{Start: 700, End: 720})
	d.next()
	d.next()
	if s := d.stored(); s.Live != nil {
		t.Errorf("origin %+v", s.Live)
	}
}
