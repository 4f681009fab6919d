package plan

import (
	"context"
	"errors"
	"maps"
	"reflect"
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
