package pipeline

import (
	"errors"
	"sync"

	"github.com/ampipe/ampipe/pkg/config"
)

// stoppedSinks remembers the sinks of a run that have stopped for good, while
// others continue. It is safe for concurrent use.
type stoppedSinks struct {
	mu      sync.Mutex
	running int
	errs    []error
	names   map[string]bool
}

func newStoppedSinks(sinks []config.Sink) *stoppedSinks {
	return &stoppedSinks{running: len(sinks), names: map[string]bool{}}
}

// add records that a sink has stopped, and reports whether others still run.
func (s *stoppedSinks) add(sink string, err error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running--
	s.names[sink] = true
	s.errs = append(s.errs, err)
	return s.running > 0
}

// has reports whether a sink has stopped.
func (s *stoppedSinks) has(sink string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.names[sink]
}

// err returns what stopped them, joined.
func (s *stoppedSinks) err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(s.errs...)
}
