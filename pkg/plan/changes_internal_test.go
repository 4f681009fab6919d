package plan

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
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
				time.AfterFunc(c.after, func() { changes.changed(c.key, 1) })
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

// TestWhenPartitionsAreRead: whenever they may have changed, and from time to time.
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
		changes.have(10, 0, nil)
		want("nothing is watched yet", true)
		changes.begun()
		want("the watch has begun", true)
		changes.have(10, 0, nil)
		want("nothing has changed", false)
		changes.changed("sink.warehouse", 11)
		want("a report has", false)
		changes.changed("partition.0.0", 12)
		want("a partition has", true)
		changes.have(10, 0, nil)
		want("a replica that lags does not have it", true)
		changes.have(12, 0, nil)
		want("it was read", false)
		changes.wrote(13)
		want("this planner has written one", true)
		changes.have(0, 0, errors.New("no answer"))
		want("they could not be read", true)
		changes.have(13, 0, nil)
		time.Sleep(listEvery)
		want("some seconds later", true)
		changes.have(13, time.Second, nil)
		time.Sleep(listEvery)
		want("reading takes long", false)
		time.Sleep(listShare * time.Second)
		want("reading takes long, and was long ago", true)
		changes.have(13, 0, nil)
		changes.lost()
		want("the watch has ended", true)
		changes.have(13, 0, nil)
		changes.begun()
		want("it has begun again", true)
		changes.have(13, 0, nil)
		changes.forget()
		want("the state was deleted", true)
	})
}
