package plan_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/plan"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/state"
)

// says plays a sink that reports what it has, and that it can rejoin the lane.
func (d *liveEnv) says(sink string, mark state.LiveState, coverage ...block.Range) {
	d.t.Helper()
	must(d.t, d.State.PutReport(d.t.Context(), state.SinkReport{
		Name: sink, Coverage: block.NewSet(coverage...), Live: mark, State: state.SinkRunning, Rejoins: true, Updated: time.Now(),
	}))
}

// requested lets the planner run until the plan asks cache to rejoin, as the request is
// wanted.
func (d *lane) requested(cache state.LiveState, wanted func(state.Rejoin) bool) state.Rejoin {
	d.t.Helper()
	for limit := time.Now().Add(20 * time.Second); ; {
		request, asked := d.stored().Rejoin("cache")
		if asked && wanted(request) {
			return request
		}
		if time.Now().After(limit) {
			d.t.Fatalf("it is not asked to rejoin: %+v", d.stored().Rejoins)
		}
		d.says("warehouse", d.has(2, d.marks[2], 900), block.Range{Start: 700, End: 901})
		d.says("cache", cache, block.Range{Start: 700, End: cache.After()})
		d.next()
	}
}

func anyRequest(state.Rejoin) bool { return true }

// place is the state behind the watermark of a block.
func (d *lane) place(seq uint64, last block.Number) state.LiveState {
	return state.LiveState{Started: true, Epoch: 2, Seq: seq, Start: last + 1, Cursor: d.chain.at(last)}
}

// TestASinkRejoinsAlone: what the log has no more for one of them is no reason to take back
// the others.
func TestASinkRejoinsAlone(t *testing.T) {
	for name, c := range map[string]struct {
		acknowledged int // entries, by cache
		trouble      func(d *lane) (cache state.LiveState)
		keep         block.Number
		at           int // mark
		last         block.Number
	}{
		"what it needs was trimmed": {0, func(d *lane) state.LiveState {
			must(d.t, d.Log.TrimLanes(d.t.Context(), queue.Live, d.marks[0]))
			return state.LiveState{Started: true, Epoch: 2, Seq: d.first, Start: 800, Cursor: d.chain.at(799)}
		}, 800, 1, 840},
		"an entry is lost": {0, func(d *lane) state.LiveState {
			d.delete(d.marks[1])
			return d.has(2, d.marks[0], 820)
		}, 821, 2, 900},
		"set back": {4, func(d *lane) state.LiveState { return d.has(2, d.marks[0], 820) }, 821, 2, 900},
		"set back to an epoch before": {4, func(d *lane) state.LiveState {
			return d.has(1, 7, 830)
		}, 831, 2, 900},
		"in an epoch before, and the beginning of this one was trimmed": {0, func(d *lane) state.LiveState {
			must(d.t, d.Log.TrimLanes(d.t.Context(), queue.Live, d.first))
			return d.has(1, 1007, 830) // beyond the place
		}, 821, 0, 820},
		"it ends on a fork": {4, func(d *lane) state.LiveState {
			stray := d.has(2, d.marks[1], 840)
			d.chain.reorg(833)
			d.chain.set(func(s *movingChain) { s.knows = true })
			return stray
		}, 833, 2, 900},
		"it ends on a fork that the server has forgotten": {4, func(d *lane) state.LiveState {
			stray := d.has(2, d.marks[1], 840)
			d.chain.reorg(833)
			return stray
		}, 800, 2, 900},
		"the fork is below its live start": {4, func(d *lane) state.LiveState {
			consumer, err := d.Log.Consume(d.t.Context(), "cache", queue.ConsumeOptions{}) // it has read the history
			must(d.t, err)
			consumer.Close()
			stray := d.has(2, d.marks[1], 840)
			d.chain.reorg(760)
			return stray
		}, 736, 2, 900},
		"it has no watermark": {4, func(d *lane) state.LiveState {
			return state.LiveState{Started: true, Epoch: 2, Seq: d.marks[0] - 1, Start: 815}
		}, 800, 2, 900},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newLane(t, 2)
			d.acknowledge("warehouse", 4)
			d.acknowledge("cache", c.acknowledged)
			d.run()
			cache := c.trouble(d)
			request := d.requested(cache, anyRequest)
			want := state.Rejoin{Sink: "cache", From: cache, Keep: c.keep, To: d.place(d.marks[c.at], c.last), Asked: request.Asked}
			if at := want.To.Cursor; at.Number >= d.chain.from && d.chain.fork > 0 { // the lane has not heard of the reorg
				want.To.Cursor = request.To.Cursor
				want.To.Cursor.Number = at.Number
			}
			if request != want {
				t.Errorf("it is asked\n%+v, want\n%+v", request, want)
			}

			// It follows.
			for limit := time.Now().Add(20 * time.Second); len(d.stored().Rejoins) > 0; {
				if time.Now().After(limit) {
					t.Fatal("the request stays in the plan")
				}
				d.says("cache", request.To, block.Range{Start: 700, End: c.keep})
				d.next()
			}
			stored, err := d.State.Partitions(t.Context())
			must(t, err)
			var queued block.Set
			for _, p := range stored {
				if p.Value.State == state.PartitionOpen {
					queued.Add(p.Value.Range())
				}
			}
			if want := block.NewSet(block.Range{Start: c.keep, End: c.last + 1}); !queued.Equal(want) {
				t.Errorf("blocks %v come as history, want %v", queued, want)
			}
			d.says("cache", request.To, block.Range{Start: 700, End: c.keep})
			d.next()
			d.next()
			if s := d.stored(); s.Epoch != 2 || len(s.Rejoins) > 0 {
				t.Errorf("epoch %d, requests %+v", s.Epoch, s.Rejoins)
			}
		})
	}
}

// TestARequestIsMadeAgain when the log no longer holds what follows the place, and is kept
// while it does.
func TestARequestIsMadeAgain(t *testing.T) {
	t.Parallel()
	d := newLane(t, 2)
	d.run()
	must(t, d.Log.TrimLanes(t.Context(), queue.Live, d.marks[0]))
	cache := state.LiveState{Started: true, Epoch: 2, Seq: d.first, Start: 800, Cursor: d.chain.at(799)}
	first := d.requested(cache, anyRequest)
	d.says("cache", cache)
	d.next()
	d.next()
	if now, _ := d.stored().Rejoin("cache"); now != first {
		t.Errorf("the request %+v has become %+v", first, now)
	}
	must(t, d.Log.TrimLanes(t.Context(), queue.Live, d.marks[1]))
	d.next() // of the place itself, what follows is there
	if now, _ := d.stored().Rejoin("cache"); now != first {
		t.Errorf("the request %+v has become %+v, and the log has what follows", first, now)
	}
	d.publish(entry.Watermark, block.Closed(901, 910))
	must(t, d.Log.TrimLanes(t.Context(), queue.Live, d.marks[2]))
	d.requested(cache, func(r state.Rejoin) bool { return r.To == d.place(d.seq, 910) })
}

// TestWhatRejoiningWaitsFor, and says so.
func TestWhatRejoiningWaitsFor(t *testing.T) {
	for name, c := range map[string]struct {
		begin func(d *lane)
		waits string
		end   func(d *lane)
	}{
		"a replay": {func(d *lane) {
			must(d.t, second(d.State.SaveReplay(d.t.Context(), "cache", state.Replay{Step: state.ReplayReads}, 0)))
		}, "it rejoins when its replay is done", func(d *lane) {
			r, rev, err := d.State.Replay(d.t.Context(), "cache")
			must(d.t, err)
			r.Step = state.ReplayDone
			must(d.t, second(d.State.SaveReplay(d.t.Context(), "cache", r, rev)))
		}},
		"history of blocks above its live start": {func(d *lane) {
			p := part(700, 850, 1, state.PartitionDone)
			must(d.t, second(d.State.CreatePartition(d.t.Context(), p)))
			e, err := d.encoder.Encode(entry.Header{Kind: entry.Data, Network: "mainnet", Epoch: 2, Range: p.Range(), End: p.End}, nil)
			must(d.t, err)
			must(d.t, second(d.Log.Publish(d.t.Context(), p.Lane(), 0, "other", entry.Group{e})))
			consumer, err := d.Log.Consume(d.t.Context(), "cache", queue.ConsumeOptions{})
			must(d.t, err)
			consumer.Close()
		}, "it rejoins when it has applied the history that the log holds", func(d *lane) {
			consumer, err := d.Log.Consume(d.t.Context(), "cache", queue.ConsumeOptions{})
			must(d.t, err)
			m, err := consumer.Next(d.t.Context())
			must(d.t, err)
			must(d.t, m.Ack())
			consumer.Close()
		}},
		"a server that is behind": {func(d *lane) {
			d.chain.set(func(s *movingChain) { s.end = 810 })
		}, "its head is block 809", func(d *lane) {
			d.chain.set(func(s *movingChain) { s.end = 1000 })
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newLane(t, 2)
			c.begin(d)
			d.run()
			d.delete(d.marks[1])
			cache := d.has(2, d.marks[0], 820)
			waits := func(s plan.Status) bool {
				return slices.ContainsFunc(s.Sinks, func(s plan.SinkStatus) bool { return strings.Contains(s.Waits, c.waits) })
			}
			d.says("warehouse", d.has(2, d.marks[2], 900))
			d.says("cache", cache)
			d.until("it waits", waits)
			d.next()
			if s := d.stored(); s.Epoch != 2 || len(s.Rejoins) > 0 {
				t.Errorf("epoch %d, requests %+v", s.Epoch, s.Rejoins)
			}
			c.end(d)
			d.requested(cache, anyRequest)
		})
	}
}
