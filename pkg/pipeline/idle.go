package pipeline

import (
	"sync"
	"time"
)

// idleClock knows when each worker had nothing to do. What counts is the time
// while there was anything to read: from the first task that a worker took to
// the end of the partition that was finished last.
type idleClock struct {
	mu      sync.Mutex
	started time.Time // zero until a worker has taken a task
	last    time.Time
	spans   map[int][]span // by worker
}

type span struct{ from, to time.Time }

func newIdleClock() *idleClock { return &idleClock{spans: map[int][]span{}} }

// add notes that a worker had nothing to do.
func (c *idleClock) add(worker int, from, to time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.started.IsZero() {
		c.started = to
	}
	c.spans[worker] = append(c.spans[worker], span{from, to})
}

// finished notes that a partition is finished now.
func (c *idleClock) finished() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = time.Now()
}

// worst is the largest share of the time that any worker had nothing to do.
func (c *idleClock) worst() float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	whole := c.last.Sub(c.started)
	if whole <= 0 {
		return 0
	}
	var worst time.Duration
	for _, spans := range c.spans {
		var idle time.Duration
		for _, s := range spans {
			if s.from.Before(c.started) {
				s.from = c.started
			}
			if s.to.After(c.last) {
				s.to = c.last
			}
			idle += max(0, s.to.Sub(s.from))
		}
		worst = max(worst, idle)
	}
	return float64(worst) / float64(whole)
}
