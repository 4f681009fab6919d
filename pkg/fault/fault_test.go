package fault_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ampipe/ampipe/pkg/fault"
)

var errBroken = errors.New("broken")

func TestOf(t *testing.T) {
	for _, c := range []struct {
		err  error
		want fault.Class
	}{
		{errBroken, fault.ClassAgain},
		{fault.Permanent(errBroken), fault.ClassPermanent},
		{fmt.Errorf("fetch: %w", fault.Permanent(errBroken)), fault.ClassPermanent},
		{fmt.Errorf("fetch: %w", fault.Later(errBroken, time.Second)), fault.ClassLater},
		{fault.Permanent(fault.Later(errBroken, time.Second)), fault.ClassPermanent},
	} {
		if got := fault.Of(c.err); got != c.want {
			t.Errorf("class of %v is %v, want %v", c.err, got, c.want)
		}
		if !errors.Is(c.err, errBroken) {
			t.Errorf("%v hides its cause", c.err)
		}
	}
	if fault.Permanent(nil) != nil || fault.Later(nil, 1) != nil {
		t.Error("marking nil gives an error")
	}
}

func TestRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls, waits := 0, 0
		err := fault.Retry(t.Context(), fault.Backoff{Attempts: 3}, func(context.Context) error {
			calls++
			if calls <= 10 {
				return fault.Later(errBroken, time.Minute) // never counted
			}
			return errBroken
		}, func(error, time.Duration) { waits++ })
		if calls != 13 || waits != 12 {
			t.Errorf("%d calls and %d waits, want 13 and 12", calls, waits)
		}
		if !errors.Is(err, errBroken) || fault.Of(err) != fault.ClassPermanent {
			t.Errorf("gave up with %v (%v)", err, fault.Of(err))
		}
	})
}

func TestRetryStopsAtOnce(t *testing.T) {
	calls := 0
	err := fault.Retry(t.Context(), fault.Backoff{}, func(context.Context) error {
		calls++
		return fault.Permanent(errBroken)
	}, nil)
	if calls != 1 || !errors.Is(err, errBroken) {
		t.Errorf("%d calls, %v", calls, err)
	}
	ctx, stop := context.WithCancelCause(t.Context())
	err = fault.Retry(ctx, fault.Backoff{}, func(context.Context) error {
		stop(errors.New("told to stop"))
		return errBroken
	}, nil)
	if err == nil || err.Error() != "told to stop" {
		t.Errorf("a cancelled retry returns %v, not the cause", err)
	}
}

func TestDelayGrowsAndIsBounded(t *testing.T) {
	b := fault.Backoff{Min: time.Second, Max: 10 * time.Second}
	for attempt := 1; attempt < 80; attempt++ {
		d := b.Delay(attempt)
		most := min(time.Second<<min(attempt-1, 10), 10*time.Second)
		if d < most/2 || d > most {
			t.Errorf("pause %d is %v, want %v to %v", attempt, d, most/2, most)
		}
	}
}

// TestRetrier gives up by time without progress; what is put off does not count.
func TestRetrier(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fail := func(r *fault.Retrier, err error, d time.Duration) error {
			for began := time.Now(); time.Since(began) < d; {
				pause, end := r.Pause(err)
				if end != nil {
					return end
				}
				time.Sleep(pause)
			}
			return nil
		}
		var r fault.Retrier
		for range 5 {
			if err := fail(&r, errBroken, 25*time.Minute); err != nil {
				t.Fatalf("gave up early: %v", err)
			}
			r.Progress()
		}
		if err := fail(&r, errBroken, 20*time.Minute); err != nil {
			t.Fatalf("gave up early: %v", err)
		}
		if err := fail(&r, fault.Later(errBroken, 0), 24*time.Hour); err != nil {
			t.Fatalf("what was put off counted: %v", err)
		}
		if err := fail(&r, errBroken, 5*time.Minute); err != nil {
			t.Fatalf("what was put off counted: %v", err)
		}
		err := fail(&r, errBroken, 10*time.Minute)
		if fault.Of(err) != fault.ClassPermanent || !errors.Is(err, errBroken) {
			t.Errorf("after half an hour: %v", err)
		}
		forever := fault.Retrier{Backoff: fault.Backoff{GiveUp: fault.Forever}}
		if err := fail(&forever, errBroken, 30*24*time.Hour); err != nil {
			t.Errorf("gave up: %v", err)
		}
	})
}

// TestWhatPassesIsAskedForSoon: its pauses stay short, and those after other errors grow.
func TestWhatPassesIsAskedForSoon(t *testing.T) {
	var away, unknown fault.Retrier
	longest := func(r *fault.Retrier, err error) (d time.Duration) {
		for range 40 {
			pause, end := r.Pause(err)
			if end != nil {
				t.Fatal(end)
			}
			d = max(d, pause)
		}
		return d
	}
	if d := longest(&away, fault.Later(errBroken, 0)); d > 5*time.Second || d < 2*time.Second {
		t.Errorf("what is away is asked for again after %v", d)
	}
	if d := longest(&unknown, errBroken); d > 30*time.Second || d < 10*time.Second {
		t.Errorf("what fails is tried again after %v", d)
	}
	own := fault.Retrier{Backoff: fault.Backoff{Max: time.Minute}}
	if d := longest(&own, fault.Later(errBroken, 0)); d < 20*time.Second {
		t.Errorf("the longest pause is %v, and a minute was asked for", d)
	}
}

// TestWatch reports each time another while has passed, until it is stopped.
func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var reports []time.Duration
		stop := fault.Watch(time.Minute, func(since time.Duration) { reports = append(reports, since) })
		time.Sleep(150 * time.Second)
		stop()
		time.Sleep(time.Hour)
		if len(reports) != 2 || reports[1] != 2*time.Minute {
			t.Errorf("reported %v", reports)
		}
	})
}

// TestToHalf estimates by the pace so far, within the time and within the attempts, and a
// short time is spent on many tries.
func TestToHalf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wants := func(r *fault.Retrier, want float64) {
			t.Helper()
			if got := r.ToHalf(); got != want {
				t.Errorf("%v failures to half, want %v", got, want)
			}
		}
		r := fault.Retrier{Backoff: fault.Backoff{GiveUp: time.Minute}}
		for range 4 {
			pause, end := r.Pause(errBroken)
			if end != nil || pause > time.Second {
				t.Fatalf("pauses for %v of a minute: %v", pause, end)
			}
			time.Sleep(5 * time.Second)
		}
		wants(&r, 3) // 15 s of 30 s are spent, and each takes 5 s
		r.Progress()
		wants(&r, math.Inf(1))
		tries := fault.Retrier{Backoff: fault.Backoff{Attempts: 8}}
		_, _ = tries.Pause(errBroken)
		wants(&tries, 3)
	})
}

// TestAgain is the class of what was put off before.
func TestAgain(t *testing.T) {
	err := fault.Again(fault.Later(errBroken, time.Second))
	if fault.Of(err) != fault.ClassAgain || !errors.Is(err, errBroken) || fault.Again(nil) != nil {
		t.Errorf("class of %v is %v", err, fault.Of(err))
	}
}
