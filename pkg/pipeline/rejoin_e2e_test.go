package pipeline_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ampipe/ampipe/pkg/amp/amptest"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/sinktest/memsink"
)

// rejoining is a pipeline whose sinks but one are away until the log has been trimmed beyond
// what they need.
type rejoining struct {
	*healing
	away   []string
	had    []amptest.Block // the chain when they left
	backup memsink.Backup  // of cache, of some time before
}

// TestRejoining puts sinks back that the log has nothing for any more, while the chain moves.
// They become equal to it, and the destination that has been there all the time is left
// alone.
func TestRejoining(t *testing.T) {
	t.Parallel()
	var all sync.WaitGroup
	defer all.Wait()
	turns := make(chan struct{}, 4) // at once
	resume := func(r *rejoining) {
		for _, name := range r.away {
			r.resume(name)
		}
	}
	for name, c := range map[string]struct {
		others    []string           // away beside cache
		meanwhile func(r *rejoining) // while they are away
		back      func(r *rejoining)
	}{
		"a reorg below its live start": {nil, func(r *rejoining) { r.chain.reorg(90) }, resume},
		"two sinks at once":            {[]string{"lake"}, func(r *rejoining) { r.chain.reorg(12) }, resume},
		"reorgs of what it has, and two processes": {nil, func(r *rejoining) { r.chain.reorg(12); r.grow(20); r.chain.reorg(25) }, func(r *rejoining) {
			r.resume("cache")
			r.begin("another process of cache", r.applies("cache"))
		}},
		"set back to a backup":          {nil, func(r *rejoining) { r.stores["cache"].Restore(r.backup) }, resume},
		"killed before it has rejoined": {nil, func(r *rejoining) { r.chain.reorg(12) }, func(r *rejoining) { r.resumeKilled(false) }},
		"killed when it has rejoined":   {nil, func(r *rejoining) { r.chain.reorg(12) }, func(r *rejoining) { r.resumeKilled(true) }},
		"the log is trimmed again": {nil, func(*rejoining) {}, func(r *rejoining) {
			r.awaitRequest("cache")
			r.trimWithout(func() { r.chain.reorg(12) })
			r.resume("cache")
		}},
	} {
		all.Go(func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
				r := newRejoining(t, c.others)
				r.trimWithout(func() { c.meanwhile(r) })
				shared := r.shared()
				written, undone := map[string]int64{}, map[string]int64{}
				for name := range r.stores {
					written[name], undone[name] = r.written[name].Load(), r.undone[name].Load()
				}
				before, head := r.stores["warehouse"].CommitState().Live, r.chain.head()

				r.grow(1)
				c.back(r)
				for range 5 {
					r.grow(1)
				}
				r.settle(healed, append(r.away, "warehouse")...)
				r.grow(3)
				r.settle(healed, append(r.away, "warehouse")...)

				after := r.stores["warehouse"].CommitState().Live
				if name != "the log is trimmed again" { // where it has met a reorg meanwhile
					if n := r.undone["warehouse"].Load() - undone["warehouse"]; n != 0 {
						t.Errorf("%d changes took blocks back in the other destination", n)
					}
					if n, want := r.written["warehouse"].Load()-written["warehouse"], int64(r.rowsOf("warehouse", block.Range{Start: head + 1, End: block.Max})); n != want {
						t.Errorf("%d rows were written to the other destination, and %d are new", n, want)
					}
				}
				if after.Epoch != before.Epoch || after.Start != before.Start {
					t.Errorf("the live lane of the other destination was %+v, and is %+v", before, after)
				}
				for _, name := range r.away {
					live := r.stores[name].CommitState().Live
					if live.Epoch != after.Epoch || live.Start <= shared {
						t.Errorf("%s has not rejoined the lane: %+v", name, live)
					}
					if n, want := r.written[name].Load()-written[name], int64(r.rowsOf(name, block.Range{Start: shared, End: block.Max})); n != want {
						t.Errorf("%d rows were written to %s, and %d are above block %d, up to which it had the chain", n, name, want, shared)
					}
				}
			})
		})
	}
}

func newRejoining(t *testing.T, others []string) *rejoining {
	r := &rejoining{healing: newHealing(t, others...), away: append([]string{"cache"}, others...)}
	r.backup = r.stores["cache"].Backup()
	r.grow(20)
	r.settle(healed, append(r.away, "warehouse")...)
	for _, name := range r.away {
		r.halt(name)
	}
	r.had = slices.Clone(r.chain.blocks)
	return r
}

// configure restarts the planner with other sinks.
func (r *rejoining) configure(names ...string) {
	if p := r.procs["planner"]; p != nil {
		r.halt("planner")
	}
	changed := *r.config
	changed.Sinks = nil
	for _, name := range names {
		changed.Sinks = append(changed.Sinks, config.Sink{Name: name})
	}
	changed.Log.Replay = time.Millisecond
	r.config = &changed
	r.begin("planner", r.planner)
}

// trimWithout takes the sinks that are away out of the configuration, until nothing of what
// they need next is in the log, and puts them back into it.
func (r *rejoining) trimWithout(meanwhile func()) {
	r.t.Helper()
	r.configure("warehouse")
	meanwhile()
	r.grow(40)
	r.settle(healed, "warehouse")
	last := r.stores["warehouse"].CommitState().Live.Seq
	for limit := time.Now().Add(healed); slices.Min(r.log("live")) < last; <-time.After(150 * time.Millisecond) {
		if time.Now().After(limit) {
			r.t.Fatal("the log is not trimmed")
		}
		r.grow(1) // the end of the lane stays, as it is known from time to time
	}
	r.settle(healed, "warehouse")
	r.configure(append(r.away, "warehouse")...)
}

// shared returns the first block that cache does not have as the chain has it.
func (r *rejoining) shared() block.Number {
	next := r.stores["cache"].CommitState().Live.After()
	for n := range next {
		if r.had[n].Hash != r.chain.blocks[n].Hash {
			return n
		}
	}
	return next
}

// awaitRequest waits until the plan asks a sink to rejoin.
func (r *rejoining) awaitRequest(name string) {
	r.t.Helper()
	kv := r.state()
	for limit := time.Now().Add(healed); ; <-time.After(20 * time.Millisecond) {
		spec, _, err := kv.LoadSpec(r.t.Context())
		if _, asked := spec.Rejoin(name); asked && err == nil {
			return
		}
		if time.Now().After(limit) {
			r.t.Fatalf("the plan does not ask %s to rejoin: %v, %v", name, spec.Rejoins, err)
		}
	}
}

// resumeKilled starts cache, kills it when it is about to rejoin, or has just done so and
// does not know, and starts it again.
func (r *rejoining) resumeKilled(committed bool) {
	r.t.Helper()
	faults := &r.stores["cache"].Faults
	var rejoins, met atomic.Bool
	dies := make(chan struct{})
	die := func() error {
		if met.CompareAndSwap(false, true) {
			close(dies)
		}
		return errors.New("killed")
	}
	begin := faults.Begin
	faults.Begin = func(ctx context.Context, changes []sink.Change) error {
		if changes[0].Rejoin != nil && !met.Load() {
			rejoins.Store(true)
			if !committed {
				return die()
			}
		}
		return begin(ctx, changes)
	}
	faults.Committed = func() error {
		if committed && rejoins.Load() && !met.Load() {
			return die()
		}
		return nil
	}
	r.resume("cache")
	<-dies
	r.procs["cache"].kill()
	<-r.procs["cache"].done
	r.begin("cache", r.applies("cache"))
}
