package plan

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/state"
)

// TestWhatEndsAPause: any change that planning depends on, at once but not before the
// least pause; while a pipeline does nothing but follow the chain, the plan and partitions alone.
func TestWhatEndsAPause(t *testing.T) {
	const least, most = time.Second, time.Hour
	for name, c := range map[string]struct {
		key    string
		steady bool
		after  time.Duration // that the change comes after
		want   time.Duration
	}{
		"a report":                        {"sink.warehouse", false, 10 * time.Second, 10 * time.Second},
		"a report that comes early":       {"sink.warehouse", false, time.Millisecond, least},
		"the position of the live lane":   {"live", false, 10 * time.Second, 10 * time.Second},
		"a partition":                     {"partition.0.0", false, 10 * time.Second, 10 * time.Second},
		"the plan":                        {"spec", false, 10 * time.Second, 10 * time.Second},
		"a process":                       {"process.run.0", false, 10 * time.Second, most},
		"a pause":                         {"pause.warehouse", false, 10 * time.Second, most},
		"a report of a steady pipeline":   {"sink.warehouse", true, 10 * time.Second, most},
		"a position of a steady pipeline": {"live", true, 10 * time.Second, most},
		"a partition of a steady one":     {"partition.0.0", true, 10 * time.Second, 10 * time.Second},
		"the plan of a steady pipeline":   {"spec", true, 10 * time.Second, 10 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				changes := newChanges()
				changes.begun()
				changes.begin()
				time.AfterFunc(c.after, func() { changes.changed(queue.Change{Key: c.key, Rev: 1}) })
				begin := time.Now()
				if err := changes.wait(t.Context(), pause{least: least, most: most, steady: c.steady}); err != nil {
					t.Fatal(err)
				}
				if waited := time.Since(begin); waited != c.want {
					t.Errorf("waited for %v, want %v", waited, c.want)
				}
			})
		})
	}
}

// TestTheLastPartitionEndsAPause: a load ends with it, and a planner that rested until it looks
// would be what the load waits for.
func TestTheLastPartitionEndsAPause(t *testing.T) {
	const least, most = time.Second, time.Hour
	text := map[string]string{
		"0.0": `{"start":0,"end":5,"state":"%s"}`,
		"5.0": `{"start":5,"end":9,"state":"%s"}`,
		"7.1": `{"start":7,"end":9,"generation":1,"state":"%s"}`,
	}
	type change struct {
		id    string
		state state.PartitionState
	}
	done := func(id string) change { return change{id, state.PartitionDone} }
	for name, c := range map[string]struct {
		open          []string
		before, while []change // during the round, and during the pause, one every 100 ms
		want          time.Duration
	}{
		"it is done":                  {[]string{"0.0"}, nil, []change{done("0.0")}, 100 * time.Millisecond},
		"it has failed":               {[]string{"0.0"}, nil, []change{{"0.0", state.PartitionFailed}}, 100 * time.Millisecond},
		"it is removed":               {[]string{"0.0"}, nil, []change{{"0.0", ""}}, 100 * time.Millisecond},
		"it was done in the round":    {[]string{"0.0"}, []change{done("0.0")}, nil, 0},
		"two are done":                {[]string{"0.0", "5.0"}, nil, []change{done("0.0"), done("5.0")}, 200 * time.Millisecond},
		"one each time":               {[]string{"0.0", "5.0"}, []change{done("5.0")}, []change{done("0.0")}, 100 * time.Millisecond},
		"one of two":                  {[]string{"0.0", "5.0"}, nil, []change{done("0.0")}, least},
		"a part is left to others":    {[]string{"5.0"}, nil, []change{{"7.1", state.PartitionOpen}, done("5.0")}, least},
		"and that is done":            {[]string{"5.0"}, nil, []change{{"7.1", state.PartitionOpen}, done("5.0"), done("7.1")}, 300 * time.Millisecond},
		"it has come forward":         {[]string{"0.0"}, nil, []change{{"0.0", state.PartitionOpen}}, least},
		"another is done":             {[]string{"0.0"}, nil, []change{done("5.0")}, least},
		"there are many, or none yet": {nil, nil, []change{done("0.0")}, least},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				changes := newChanges()
				changes.begun()
				changes.begin()
				write := func(rev int, c change) {
					written := queue.Change{Key: "partition." + c.id, Rev: uint64(rev), Removed: c.state == ""}
					if !written.Removed {
						written.Text = fmt.Appendf(nil, text[c.id], c.state)
					}
					changes.changed(written)
				}
				for i, c := range c.before {
					write(i+1, c)
				}
				before := len(c.before)
				for i, c := range c.while {
					time.AfterFunc(time.Duration(i+1)*100*time.Millisecond, func() { write(before+i+1, c) })
				}
				begin := time.Now()
				if err := changes.wait(t.Context(), pause{least: least, most: most, open: c.open}); err != nil {
					t.Fatal(err)
				}
				if waited := time.Since(begin); waited != c.want {
					t.Errorf("waited for %v, want %v", waited, c.want)
				}
			})
		})
	}
}

// TestPausesNearTheEnd: what may be the last partitions of a load that ends are waited for, and
// when all are done nothing but the sinks.
func TestPausesNearTheEnd(t *testing.T) {
	t.Parallel()
	last := block.Number(9)
	follows := state.Spec{Live: &state.Origin{Start: 9}}
	ends := state.Spec{Live: &state.Origin{Start: 9}, MaxBlock: &last}
	parts := func(states ...state.PartitionState) (parts []state.Partition) {
		for i, s := range states {
			parts = append(parts, state.Partition{Start: block.Number(i), End: block.Number(i + 1), State: s})
		}
		return parts
	}
	open, done := state.PartitionOpen, state.PartitionDone
	for name, c := range map[string]struct {
		spec  state.Spec
		parts []state.Partition
		rest  block.Set // not planned yet
		open  []string
		least time.Duration
	}{
		"some are open":                 {state.Spec{}, parts(done, open, open), block.Set{}, []string{"1.0", "2.0"}, time.Second},
		"none is":                       {state.Spec{}, parts(done, done), block.Set{}, nil, shortestPause},
		"the chain is followed, and on": {follows, parts(done, open), block.Set{}, nil, time.Second},
		"and nothing is open":           {follows, parts(done), block.Set{}, nil, time.Second},
		"the chain is followed to some": {ends, parts(done, open), block.Set{}, []string{"1.0"}, time.Second},
		"many are open":                 {state.Spec{}, parts(slices.Repeat([]state.PartitionState{open}, mostLast+1)...), block.Set{}, nil, time.Second},
		"others are to be made":         {state.Spec{}, parts(done, open), block.NewSet(block.Range{Start: 5, End: 9}), nil, time.Second},
		"others are, and none is open":  {state.Spec{}, parts(done), block.NewSet(block.Range{Start: 5, End: 9}), nil, time.Second},
		"nothing is planned yet":        {state.Spec{}, nil, block.Set{}, nil, time.Second},
	} {
		r := newReconciler(&Planner{Every: time.Second}, c.spec, 1)
		r.held.asking = time.Now().Add(-time.Hour)
		r.fill.unplanned = c.rest
		got := r.nextPause(&round{parts: c.parts})
		if !slices.Equal(got.open, c.open) || got.least != c.least {
			t.Errorf("%s: waits for %v, at least %v; want %v and %v", name, got.open, got.least, c.open, c.least)
		}
	}
}

// TestAPauseWithoutAWatch is short: changes are not noticed.
func TestAPauseWithoutAWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		changes := newChanges()
		begin := time.Now()
		if err := changes.wait(t.Context(), pause{least: time.Second, most: time.Hour}); err != nil || time.Since(begin) != time.Second {
			t.Errorf("waited for %v (%v)", time.Since(begin), err)
		}
		stop := errors.New("told to stop")
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(stop)
		changes.begun()
		if err := changes.wait(ctx, pause{least: time.Second, most: time.Hour}); !errors.Is(err, stop) {
			t.Errorf("told to stop: %v", err)
		}
	})
}

// TestWhenPartitionsAreRead: whenever some may have changed that the watch has not brought, and
// from time to time.
func TestWhenPartitionsAreRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		changes := newChanges()
		want := func(what string, want bool) {
			t.Helper()
			if got := changes.list(time.Now()); got != want {
				t.Errorf("%s: read %v, want %v", what, got, want)
			}
		}
		want("nothing is watched", true)
		changes.have(0, nil)
		want("nothing is watched yet", true)
		changes.begun()
		want("the watch has begun", true)
		changes.have(0, nil)
		want("nothing has changed", false)
		changes.changed(queue.Change{Key: "sink.warehouse", Rev: 11})
		want("a report has", false)
		changes.changed(queue.Change{Key: "partition.0.0", Rev: 12, Text: []byte(`{"start":0,"end":5,"state":"done"}`)})
		want("a partition has, and the watch has brought it", false)
		changes.changed(queue.Change{Key: "partition.0.0", Rev: 13, Text: []byte(`5`)})
		want("a partition has that cannot be read", true)
		changes.have(0, errors.New("no answer"))
		want("they could not be read", true)
		changes.have(0, nil)
		time.Sleep(listEvery)
		want("some seconds later", true)
		changes.have(time.Second, nil)
		time.Sleep(listEvery)
		want("reading takes long", false)
		time.Sleep(listShare * time.Second)
		want("reading takes long, and was long ago", true)
		changes.have(0, nil)
		changes.lost()
		want("the watch has ended", true)
		changes.have(0, nil)
		changes.begun()
		want("it has begun again", true)
		changes.have(0, nil)
		changes.forget()
		want("the state was deleted", true)
	})
}

// TestPartitionsOfASteadyPipelineAreReadSeldom, and as often as others once it has something to
// do again.
func TestPartitionsOfASteadyPipelineAreReadSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		changes := newChanges()
		changes.begun()
		rest := func(steady bool, times int) (read int) {
			for range times {
				if err := changes.wait(t.Context(), pause{least: time.Second, most: time.Second, steady: steady}); err != nil {
					t.Fatal(err)
				}
				if changes.list(time.Now()) {
					read++
					changes.have(time.Millisecond, nil)
				}
			}
			return read
		}
		rest(true, 30)
		if n := rest(true, 120); n != 4 {
			t.Errorf("read %d times in two minutes of a steady pipeline, want 4", n)
		}
		if n := rest(false, 30); n != 6 {
			t.Errorf("read %d times in the half minute after that, want 6", n)
		}
	})
}

// TestWhatChangesMakeOfPartitions: the newest of what was read, watched and written, also if
// it was read from a replica that lags.
func TestWhatChangesMakeOfPartitions(t *testing.T) {
	t.Parallel()
	stored := func(start block.Number, end block.Number, rev uint64) queue.Stored[state.Partition] {
		p := state.Partition{Start: start, End: end}
		return queue.Stored[state.Partition]{Key: "partition." + p.ID(), Value: p, Rev: rev}
	}
	written := func(s queue.Stored[state.Partition]) changed { return changed{part: s.Value, rev: s.Rev} }
	gone := func(rev uint64) changed { return changed{rev: rev, removed: true} }
	type list = []queue.Stored[state.Partition]
	for name, c := range map[string]struct {
		before, listed list // listed nil: none was read
		changes        map[string]changed
		again          map[uint64]bool
		want           list
	}{
		"nothing":                {before: list{stored(0, 5, 1)}, want: list{stored(0, 5, 1)}},
		"a new one":              {before: list{stored(0, 5, 1)}, changes: map[string]changed{"5.0": written(stored(5, 9, 2))}, want: list{stored(0, 5, 1), stored(5, 9, 2)}},
		"a change":               {before: list{stored(0, 5, 1), stored(5, 9, 2)}, changes: map[string]changed{"0.0": written(stored(0, 3, 3))}, want: list{stored(5, 9, 2), stored(0, 3, 3)}},
		"what is known":          {before: list{stored(0, 3, 3)}, changes: map[string]changed{"0.0": written(stored(0, 5, 1))}, want: list{stored(0, 3, 3)}},
		"a removal":              {before: list{stored(0, 5, 1), stored(5, 9, 2)}, changes: map[string]changed{"0.0": gone(3)}, want: list{stored(5, 9, 2)}},
		"a removal before":       {before: list{stored(0, 5, 4)}, changes: map[string]changed{"0.0": gone(3)}, want: list{stored(0, 5, 4)}},
		"a list":                 {before: list{stored(0, 5, 1)}, listed: list{stored(5, 9, 2)}, want: list{stored(5, 9, 2)}},
		"a list that lags":       {before: list{stored(0, 5, 1), stored(5, 9, 2)}, listed: list{stored(0, 5, 1)}, want: list{stored(0, 5, 1), stored(5, 9, 2)}},
		"a list that lags twice": {before: list{stored(0, 5, 1), stored(5, 9, 2)}, listed: list{stored(0, 5, 1)}, again: map[uint64]bool{2: true}, want: list{stored(0, 5, 1)}},
		"a list without what was removed": {
			before: list{stored(0, 5, 1), stored(5, 9, 2)}, listed: list{stored(0, 5, 1)}, changes: map[string]changed{"5.0": gone(3)}, want: list{stored(0, 5, 1)},
		},
	} {
		have, changes := c.before, maps.Clone(c.changes)
		if c.listed != nil {
			if changes == nil {
				changes = map[string]changed{}
			}
			have = c.listed
			unlisted(c.before, c.listed, c.again, changes)
		}
		if got := apply(have, changes); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// TestAReportEndsThePauseOfAPlanThatAsksTheSinks, unless it would not be noticed.
func TestAReportEndsThePauseOfAPlanThatAsksTheSinks(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		watched, forSinks bool
		want              time.Duration
	}{
		"a report":                      {true, true, shortestPause},
		"changes are not noticed":       {false, true, 250 * time.Millisecond},
		"a round that failed meanwhile": {true, false, 250 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newReconciler(&Planner{}, state.Spec{}, 1)
				if c.watched {
					r.changes.begun()
				}
				time.Sleep(5 * time.Second)
				r.changes.begin()
				r.changes.changed(queue.Change{Key: "sink.warehouse", Rev: 1})
				begin := time.Now()
				if err := r.changes.wait(t.Context(), r.heldPause(c.forSinks)); err != nil {
					t.Fatal(err)
				}
				if waited := time.Since(begin); waited != c.want {
					t.Errorf("waited for %v, want %v", waited, c.want)
				}
			})
		})
	}
}
