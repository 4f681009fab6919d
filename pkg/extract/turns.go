package extract

import (
	"sync"
	"time"

	"github.com/ampipe/ampipe/pkg/queue"
)

// turns decides which workers of a process split when somebody is idle: those that have the
// most left. If all did at once, most would break off an answer for nobody. It is safe for
// concurrent use.
type turns struct {
	mu   sync.Mutex
	left map[*partitionTask]time.Duration
}

func newTurns() *turns { return &turns{left: map[*partitionTask]time.Duration{}} }

// note remembers how much a worker has left.
func (t *turns) note(h *partitionTask, left time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.left[h] = left
}

// forget removes a worker that has ended.
func (t *turns) forget(h *partitionTask) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.left, h)
}

// has reports whether it is this worker's turn: one for each that waits, and of several
// processes each has its part of them, but one at least.
func (t *turns) has(h *partitionTask, load queue.Load) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	own := len(t.left)
	turns, before := max(1, load.Waiting*own/max(load.Held, own, 1)), 0
	for other, left := range t.left {
		if left > t.left[h] || left == t.left[h] && other.id < h.id {
			before++
		}
	}
	return before < turns
}
