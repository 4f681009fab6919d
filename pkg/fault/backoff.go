package fault

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// Backoff is how an operation is repeated. The zero value means the defaults.
type Backoff struct {
	Attempts int           // tries in all before giving up; default 8
	Min      time.Duration // first pause; default 200 ms
	Max      time.Duration // longest pause; default 30 s
}

// Tries is the number of attempts in all, with the default filled in.
func (b Backoff) Tries() int {
	if b.Attempts <= 0 {
		return 8
	}
	return b.Attempts
}

// Delay is the pause after the given failed attempt (1, 2, …): it doubles each
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
// has used up its attempts or ctx ends. [ClassLater] errors are not counted.
// Before each pause onWait, if not nil, is told the error and the pause: what
// somebody waits for must be visible. The error returned after the last attempt
// says how many there were, and is permanent.
func Retry(ctx context.Context, b Backoff, op func(context.Context) error, onWait func(error, time.Duration)) error {
	for failed, waited := 0, 0; ; {
		err := op(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		var pause time.Duration
		switch Of(err) {
		case ClassPermanent:
			return err
		case ClassLater:
			waited++
			if pause = After(err); pause <= 0 {
				pause = b.Delay(waited)
			}
		default:
			if failed++; failed >= b.Tries() {
				return Permanent(fmt.Errorf("gave up after %d attempts: %w", failed, err))
			}
			pause = b.Delay(failed)
		}
		if onWait != nil {
			onWait(err, pause)
		}
		if err := Sleep(ctx, pause); err != nil {
			return err
		}
	}
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
