package apply

import (
	"slices"
	"sync"
	"time"

	"github.com/ampipe/ampipe/pkg/sink"
)

// status knows which parts of a loop wait, and why. It is safe for concurrent use.
type status struct {
	observer Observer

	mu      sync.Mutex // held while the observer is told, so that it hears things in order
	waiting []*pauser  // in the order in which their reasons began
	shown   string     // the reason that the observer knows; empty: none
	rows    uint64
	ending  bool          // some of the rows that were written last are of a lane that has an end
	endless bool          // none of them is
	written chan struct{} // holds a token when rows have been written, or when the end is known
	end     bool          // nothing more will come of the partitions' lanes, as far as is known
}

func newStatus(o Observer) *status {
	return &status{observer: o, written: make(chan struct{}, 1)}
}

// pauser is one part of the loop. It is not safe for concurrent use.
type pauser struct {
	status *status
	reason error // guarded by status.mu
}

func (s *status) pauser() *pauser { return &pauser{status: s} }

// Pause notes that the part waits, and why. The observer is shown the reason that began
// last: an older one may be of a part that is not asked for anything now. What is in order
// ([sink.IsInTurn]) is shown if nothing else is waited for.
func (p *pauser) Pause(reason error) {
	s := p.status
	s.mu.Lock()
	defer s.mu.Unlock()
	again := p.reason != nil && p.reason.Error() == reason.Error()
	p.reason = reason
	if again {
		return
	}
	s.remove(p)
	s.waiting = append(s.waiting, p)
	s.show()
}

// Resume notes that the part does not wait any more, if it did.
func (p *pauser) Resume() {
	s := p.status
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.reason == nil {
		return
	}
	p.reason = nil
	s.remove(p)
	s.show()
}

// othersWait reports whether other parts of the loop have told a reason.
func (p *pauser) othersWait() bool {
	s := p.status
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.waiting, func(one *pauser) bool { return one != p })
}

func (s *status) remove(p *pauser) {
	s.waiting = slices.DeleteFunc(s.waiting, func(one *pauser) bool { return one == p })
}

// show tells the observer what the loop waits for now, if that has changed.
func (s *status) show() {
	reason := s.reason()
	switch {
	case reason == nil && s.shown != "":
		s.shown = ""
		s.observer.OnResume()
	case reason != nil && reason.Error() != s.shown:
		s.shown = reason.Error()
		s.observer.OnPause(reason)
	}
}

// reason returns the reason that is shown; nil: nothing is waited for.
func (s *status) reason() (shown error) {
	for _, p := range slices.Backward(s.waiting) {
		if !sink.IsInTurn(p.reason) {
			return p.reason
		}
		if shown == nil {
			shown = p.reason
		}
	}
	return shown
}

// wrote counts rows. ending says that some are of a lane that has an end.
func (s *status) wrote(rows uint64, ending bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rows += rows
	s.ending = s.ending || ending
	if rows > 0 {
		s.endless = !s.ending
		s.signal()
	}
}

// more notes that something was taken from the log.
func (s *status) more() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end = false
}

// ended notes that nothing more will come of the partitions' lanes. Their last rows may have
// been written.
func (s *status) ended() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end = true
	s.signal()
}

func (s *status) signal() {
	select {
	case s.written <- struct{}{}:
	default:
	}
}

// atEnd reports whether the rows that were written last may be the last of all.
func (s *status) atEnd() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.end
}

// waitedFor reports whether rows were written, since a report was begun last, that somebody
// may wait for: of a lane that has an end.
func (s *status) waitedFor() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ending
}

// reportEvery returns how long there is between two reports that nothing hastens.
func (s *status) reportEvery() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.endless {
		return endlessEvery
	}
	return reportEvery
}

// begin begins a report, and returns the rows that were written until now.
func (s *status) begin() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ending = false
	select {
	case <-s.written:
	default:
	}
	return s.rows
}

// read returns the rows written and why the loop is paused; nil if it is not.
func (s *status) read() (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rows, s.reason()
}
