package pipeline

import (
	"errors"
	"sync"

	"github.com/ampipe/ampipe/pkg/config"
)

// gone remembers the sinks of a run that have stopped for good. It is safe for
// concurrent use.
type gone struct {
	mu    sync.Mutex
	left  int
	errs  []error
	names map[string]bool
}

func newGone(sinks []config.Sink) *gone {
	return &gone{left: len(sinks), names: map[string]bool{}}
}

// add notes that a sink has stopped, and tells whether others still run.
func (g *gone) add(sink string, err error) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.left--
	if g.left == 0 {
		return false
	}
	g.names[sink] = true
	g.errs = append(g.errs, err)
	return true
}

// has tells whether a sink has stopped.
func (g *gone) has(sink string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.names[sink]
}

// err joins what stopped them.
func (g *gone) err() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return errors.Join(g.errs...)
}
