package sink

import (
	"sync"

	"github.com/rs/zerolog"
)

// status knows whether a loop is paused, and why. It is safe for concurrent use.
type status struct {
	observer Observer
	logger   zerolog.Logger

	mu     sync.Mutex // held while the observer is told, so that it hears things in order
	paused int        // parts of the loop that wait
	reason error      // of the last one that began to
	rows   uint64
}

// pauser is one part of the loop. It is not safe for concurrent use.
type pauser struct {
	status  *status
	waiting bool
}

func (s *status) pauser() *pauser { return &pauser{status: s} }

// because tells that the part waits. Only the first of a row of reasons is
// shown to the observer.
func (p *pauser) because(reason error) {
	s := p.status
	s.mu.Lock()
	defer s.mu.Unlock()
	first := s.paused == 0
	if !p.waiting {
		s.paused++
		p.waiting = true
	}
	s.reason = reason
	if first {
		s.logger.Warn().Err(reason).Msg("paused; trying again")
		s.observer.OnPause(reason)
	}
}

// over tells that the part goes on, if it waited.
func (p *pauser) over() {
	if !p.waiting {
		return
	}
	p.waiting = false
	s := p.status
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.paused--; s.paused == 0 {
		s.reason = nil
		s.logger.Info().Msg("goes on")
		s.observer.OnResume()
	}
}

// wrote counts rows.
func (s *status) wrote(rows uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rows += rows
}

// read gives the rows written and why the loop is paused; nil if it is not.
func (s *status) read() (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rows, s.reason
}
