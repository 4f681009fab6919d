package fault

import (
	"cmp"
	"fmt"
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

// Progress forgets every failure: something has been gained since.
func (r *Retrier) Progress() { *r = Retrier{Backoff: r.Backoff} }

// Waited is how many attempts were put off since the last progress.
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
	return r.Delay(r.failed), nil
}

func (r *Retrier) over() bool {
	if r.Attempts > 0 && r.failed >= r.Attempts {
		return true
	}
	limit := r.GiveUp
	if limit == 0 {
		limit = defaultGiveUp
	}
	return limit > 0 && r.spent >= limit
}

// effort says how often, and for how long, it was tried.
func (r *Retrier) effort() string {
	if r.failed == 1 {
		return "1 attempt"
	}
	if r.spent < time.Second {
		return fmt.Sprintf("%d attempts", r.failed)
	}
	return fmt.Sprintf("%d attempts in %v", r.failed, r.spent.Round(time.Second))
}
