package pipeline

import (
	"sync"
	"time"
)

// idleClock measures when each worker had nothing to do. What counts is the time
// while there was anything to read: from the first task that a worker took to
// the end of the partition that was finished last. It remembers two sums for each
// worker, however long it runs.
type idleClock struct {
	mu      sync.Mutex
	started time.Time // zero until a worker has taken a task
	last    time.Time // end of the partition that was finished last
	workers map[int]*idleness
}

// idleness is how long a worker had nothing to do.
type idleness struct {
	counted time.Duration // up to last
	later   time.Duration // after it: it counts once another partition is finished
}

func newIdleClock() *idleClock { return &idleClock{workers: map[int]*idleness{}} }

// add records that a worker had nothing to do. The span is over.
func (c *idleClock) add(worker int, from, to time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.started.IsZero() {
		c.started = to
	}
	w := c.workers[worker]
	if w == nil {
		w = &idleness{}
		c.workers[worker] = w
	}
	if from.Before(c.started) {
		from = c.started
	}
	span := max(0, to.Sub(from))
	later := min(span, max(0, to.Sub(c.last)))
	w.counted += span - later
	w.later += later
}

// finished records that a partition is finished now.
func (c *idleClock) finished() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = time.Now()
	for _, w := range c.workers {
		w.counted, w.later = w.counted+w.later, 0
	}
}

// worst returns the largest share of the time that any worker had nothing to do.
func (c *idleClock) worst() float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	whole := c.last.Sub(c.started)
	if whole <= 0 {
		return 0
	}
	var worst time.Duration
	for _, w := range c.workers {
		worst = max(worst, w.counted)
	}
	return float64(worst) / float64(whole)
}
