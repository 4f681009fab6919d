package pipeline

import (
	"sync"
	"time"
)

// idleClock adds up how long each worker had nothing to do while the history
// was being read: from the start to the last entry.
type idleClock struct {
	mu      sync.Mutex
	started time.Time
	idle    map[int]time.Duration
}

func newIdleClock() *idleClock {
	return &idleClock{started: time.Now(), idle: map[int]time.Duration{}}
}

func (c *idleClock) add(worker int, d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.idle[worker] += d
}

// worst is the largest share of the time since the start that a worker idled.
func (c *idleClock) worst() float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	var worst time.Duration
	for _, d := range c.idle {
		worst = max(worst, d)
	}
	if took := time.Since(c.started); took > 0 {
		return float64(worst) / float64(took)
	}
	return 0
}
