package apply_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/state"
)

// TestWhatACallWaitsForIsShown while it runs, in place of what the call before has met.
func TestWhatACallWaitsForIsShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEnv(t, entries(t, 1, 10)...)
		calls := 0
		r.store.Faults.Begin = func(ctx context.Context, _ []sink.Change) error {
			calls++
			if calls == 1 {
				return fault.Later(errors.New("connection refused"), 0)
			}
			sink.Waits(ctx, errors.New("waits for a lock"))
			time.Sleep(10 * time.Second)
			sink.Waits(ctx, nil)
			time.Sleep(10 * time.Second)
			return nil
		}
		stop := r.start()
		time.Sleep(8 * time.Second)
		synctest.Wait()
		if got, want := r.watch.paused(), []string{"connection refused", "waits for a lock"}; !slices.Equal(got, want) || r.watch.resumed() != 0 {
			t.Errorf("while the lock is held: shown were %q and %d resumes", got, r.watch.resumed())
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if r.watch.resumed() != 1 || len(r.log.acked()) > 0 {
			t.Errorf("it has the lock: %d resumes", r.watch.resumed())
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if r.watch.resumed() != 1 || len(r.log.acked()) != 1 {
			t.Errorf("it is committed: %d resumes", r.watch.resumed())
		}
		r.stopped(stop, r.log)
	})
}

// TestASinkThatWaitsItsTurnIsNotPaused: its observer hears of it, and it is reported as one
// that runs, unless something is wrong as well.
func TestASinkThatWaitsItsTurnIsNotPaused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEnv(t, entries(t, 1, 10)...)
		asked := make(chan struct{}, 1)
		r.loop.Asked = asked
		calls := 0
		r.store.Faults.Begin = func(ctx context.Context, _ []sink.Change) error {
			calls++
			switch calls {
			case 1:
				sink.Waits(ctx, sink.InTurn(errors.New("waits for a lock of its own")))
				time.Sleep(10 * time.Second)
				return fault.Later(sink.InTurn(errors.New("has waited for a lock of its own")), 10*time.Second)
			case 2:
				sink.Waits(ctx, errors.New("waits for a lock of others"))
				time.Sleep(10 * time.Second)
			}
			return nil
		}
		stop := r.start()
		for _, c := range []struct {
			last   string // reason that was shown
			state  state.SinkState
			reason string
		}{
			{"waits for a lock of its own", state.SinkRunning, ""},
			{"has waited for a lock of its own", state.SinkRunning, ""},
			{"waits for a lock of others", state.SinkPaused, "waits for a lock of others"},
		} {
			asked <- struct{}{}
			time.Sleep(5 * time.Second)
			synctest.Wait()
			shown, reports := r.watch.paused(), r.watch.reported()
			if last := reports[len(reports)-1]; shown[len(shown)-1] != c.last || last.State != c.state || last.Reason != c.reason {
				t.Errorf("shown was %q, reported %v (%s), want %q and %v", shown, last.State, last.Reason, c.last, c.state)
			}
			time.Sleep(5 * time.Second)
		}
		r.stopped(stop, r.log)
	})
}

// TestWhatIsSaidAfterACallIsNotShown: nothing would end it.
func TestWhatIsSaidAfterACallIsNotShown(t *testing.T) {
	heard := 0
	ctx, returned := sink.WithWaits(t.Context(), func(error) { heard++ })
	sink.Waits(ctx, errors.New("waits for a lock"))
	returned()
	sink.Waits(ctx, errors.New("waits for a lock"))
	sink.Waits(t.Context(), errors.New("nobody asks"))
	if heard != 1 {
		t.Errorf("heard %d times", heard)
	}
}

// TestASinkThatWaitsResumesSoon after what it waits for is back, however long it was away.
func TestASinkThatWaitsResumesSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEnv(t, entries(t, 1, 10)...)
		back := time.Now().Add(time.Hour)
		r.loop.Backoff = fault.Backoff{}
		r.store.Faults.Begin = func(context.Context, []sink.Change) error {
			if time.Now().Before(back) {
				return fault.Later(errors.New("connection refused"), 0)
			}
			return nil
		}
		stop := r.start()
		time.Sleep(time.Hour + 6*time.Second)
		synctest.Wait()
		if len(r.log.acked()) != 1 {
			t.Error("nothing is committed 6 s after the destination is back")
		}
		r.stopped(stop, r.log)
	})
}

// TestASinkThatGivesUpHasNotResumed.
func TestASinkThatGivesUpHasNotResumed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEnv(t, entries(t, 1, 10)...)
		r.loop.Backoff = fault.Backoff{}
		r.store.Faults.Begin = func(context.Context, []sink.Change) error { return errors.New("internal error") }
		began := time.Now()
		if err := r.fails(); fault.Of(err) != fault.ClassPermanent || time.Since(began) < 30*time.Minute || time.Since(began) > 35*time.Minute {
			t.Errorf("gave up after %v: %v", time.Since(began), err)
		}
		if r.watch.resumed() != 0 {
			t.Error("it says that it has resumed")
		}
	})
}

// TestASinkReportsWhenItIsAsked, though nothing has changed.
func TestASinkReportsWhenItIsAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEnv(t)
		asked := make(chan struct{}, 1)
		r.loop.Asked = asked
		stop := r.start()
		time.Sleep(5 * time.Second)
		synctest.Wait()
		before := len(r.watch.reported())
		asked <- struct{}{}
		time.Sleep(10 * time.Millisecond)
		synctest.Wait()
		reports := r.watch.reported()
		if before != 1 || len(reports) != 1 || reports[0].State != state.SinkRunning {
			t.Errorf("%d reports before it was asked, then %+v", before, reports)
		}
		r.stopped(stop, r.log)
	})
}
