package fault

import (
	"context"
	"math/rand/v2"
	"time"
)

// Backoff is how an operation is repeated, and for how long. The zero value means
// the defaults.
type Backoff struct {
	// GiveUp is for how long an operation is repeated that gains nothing, from its
	// first failure on; default 30 minutes, never if it is [Forever]. Time in which
	// it was put off by [Later] does not count.
	GiveUp time.Duration
	// Attempts bounds the tries in all as well; default: no bound.
	Attempts int
	Min      time.Duration // first pause; default 200 ms
	Max      time.Duration // longest pause; default 30 s, and 5 s after an error marked [Later]
}

// Forever is the [Backoff.GiveUp] that never gives up.
const Forever time.Duration = -1

const defaultGiveUp = 30 * time.Minute

// Delay returns the pause after the given failed attempt (1, 2, …): it doubles each
// time and is jittered by half, so that many workers do not come back at once.
func (b Backoff) Delay(attempt int) time.Duration {
	low, high := b.Min, b.Max
	if low <= 0 {
		low = 200 * time.Millisecond
	}
	if high <= 0 {
		high = 30 * time.Second
	}
	d := low
	for i := 1; i < attempt && d < high; i++ {
		d *= 2
	}
	d = min(d, high)
	return d/2 + rand.N(d/2+1)
}

// Retry repeats op by the class of its error until it succeeds, fails for good,
// is given up or ctx ends, whose cause it then returns. Before each pause onWait, if not
// nil, is called with the error and the pause: what is waited for must be visible. See
// [Retrier] for when it gives up.
func Retry(ctx context.Context, b Backoff, op func(context.Context) error, onWait func(error, time.Duration)) error {
	for r := (Retrier{Backoff: b}); ; {
		err := op(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		pause, end := r.Pause(err)
		if end != nil {
			return end
		}
		if onWait != nil {
			onWait(err, pause)
		}
		if err := Sleep(ctx, pause); err != nil {
			return err
		}
	}
}

// Aligned returns how long to wait for what is done about every d: until the multiple of d by
// the clock that is next to d from now. What the parts of a process do from time to time is
// due at the same moments that way. A wake-up of a process that rests costs more than most of
// what it is woken for.
func Aligned(d time.Duration) time.Duration {
	now := time.Now()
	return now.Add(d).Round(d).Sub(now)
}

// Sleep pauses for d, or until ctx ends, whose cause it then returns.
func Sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
