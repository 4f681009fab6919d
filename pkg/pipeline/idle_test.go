package pipeline

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
)

func TestIdleClockCountsOnlyWhileThereIsWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newIdleClock()
		began := time.Now()
		if got := c.worst(); got != 0 {
			t.Errorf("before anything: %v", got)
		}
		time.Sleep(10 * time.Second) // everything is checked and planned
		c.add(0, began, time.Now())
		time.Sleep(time.Second)
		c.add(1, began, time.Now()) // one second without work
		time.Sleep(8 * time.Second)
		idle := time.Now()
		time.Sleep(time.Second)
		c.finished()
		time.Sleep(time.Hour) // the sinks catch up
		c.add(0, idle, time.Now())
		c.add(1, idle, time.Now())
		if got := c.worst(); got != 0.2 {
			t.Errorf("the second worker idled for 2 of 10 seconds, not %v", got)
		}
	})
}

// TestIdleClockAddsUp holds the sums against all spans, over random work of some
// workers, and that nothing is remembered for each span.
func TestIdleClockAddsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type span struct{ from, to time.Time }
		rnd := rand.New(rand.NewPCG(1, 2))
		c, spans, begun := newIdleClock(), map[int][]span{}, map[int]time.Time{}
		var started, last time.Time
		for range 5000 {
			time.Sleep(time.Duration(rnd.IntN(100)) * time.Second)
			worker := rnd.IntN(3)
			switch from, idle := begun[worker]; {
			case rnd.IntN(4) == 0:
				c.finished()
				last = time.Now()
			case idle:
				if started.IsZero() {
					started = time.Now()
				}
				c.add(worker, from, time.Now())
				spans[worker] = append(spans[worker], span{from, time.Now()})
				delete(begun, worker)
			default:
				begun[worker] = time.Now()
			}
			var worst time.Duration
			for _, all := range spans {
				var sum time.Duration
				for _, s := range all {
					if s.from.Before(started) {
						s.from = started
					}
					if s.to.After(last) {
						s.to = last
					}
					sum += max(0, s.to.Sub(s.from))
				}
				worst = max(worst, sum)
			}
			want := 0.0
			if whole := last.Sub(started); whole > 0 {
				want = float64(worst) / float64(whole)
			}
			if got := c.worst(); got != want {
				t.Fatalf("idle for %v of the time, want %v", got, want)
			}
		}
		if len(c.workers) != 3 {
			t.Errorf("%d workers are remembered", len(c.workers))
		}
	})
}
