package fault

import (
	"cmp"
	"fmt"
	"math"
	"time"
)

// Retrier decides when an operation that fails is repeated, and when no more. Its
// zero value, with a [Backoff] or without, is ready. It is not safe for concurrent
// use.
type Retrier struct {
	Backoff

	failed int           // attempts since the last progress that count
	waited int           // and those that were put off
	spent  time.Duration // between failures that count
	last   time.Time     // of the last of them; zero: the one before was put off
}

// longestWait is the longest pause by default before something is asked for again that
// passes by itself.
const longestWait = 5 * time.Second

// leastTries is how many pauses fit into the time after which an operation is given up:
// a short one is not spent on a few long ones.
const leastTries = 64

// Progress forgets every failure: something has been gained since.
func (r *Retrier) Progress() { *r = Retrier{Backoff: r.Backoff} }

// Waited returns how many attempts were put off since the last progress.
func (r *Retrier) Waited() int { return r.waited }

// Pause returns how long to wait before the operation that failed with err is
// repeated, or the error that ends it, which is permanent: err, if it is so, or one
// that says for how long it was tried. A [ClassLater] error is waited for without
// end, and asked for again every few seconds unless [Backoff.Max] is set: what it waits
// for may be back any moment.
func (r *Retrier) Pause(err error) (time.Duration, error) {
	switch Of(err) {
	case ClassPermanent:
		return 0, err
	case ClassLater:
		r.waited++
		r.last = time.Time{}
		if after := After(err); after > 0 {
			return after, nil
		}
		b := r.Backoff
		b.Max = cmp.Or(b.Max, longestWait)
		return b.Delay(r.waited), nil
	}
	now := time.Now()
	if !r.last.IsZero() {
		r.spent += now.Sub(r.last)
	}
	r.last = now
	r.failed++
	if r.over() {
		return 0, Permanent(fmt.Errorf("gave up after %s: %w", r.effort(), err))
	}
	pause := r.Delay(r.failed)
	if limit := r.limit(); limit > 0 {
		pause = min(pause, limit/leastTries)
	}
	return pause, nil
}

func (r *Retrier) over() bool {
	if r.Attempts > 0 && r.failed >= r.Attempts {
		return true
	}
	limit := r.limit()
	return limit > 0 && r.spent >= limit
}

func (r *Retrier) limit() time.Duration { return cmp.Or(r.GiveUp, defaultGiveUp) }

// ToHalf returns how many more failures it takes until half of what is allowed is used
// up, if they come at the pace of those since the last progress.
func (r *Retrier) ToHalf() float64 {
	left := math.Inf(1)
	if limit := r.limit(); limit > 0 && r.spent > 0 {
		left = float64(limit/2-r.spent) / (float64(r.spent) / float64(r.failed-1))
	}
	if r.Attempts > 0 {
		left = min(left, float64(r.Attempts/2-r.failed))
	}
	return max(0, left)
}

// effort returns how often, and for how long, it was tried.
func (r *Retrier) effort() string {
	if r.failed == 1 {
		return "1 attempt"
	}
	if r.spent < time.Second {
		return fmt.Sprintf("%d attempts", r.failed)
	}
	return fmt.Sprintf("%d attempts in %v", r.failed, r.spent.Round(time.Second))
}
