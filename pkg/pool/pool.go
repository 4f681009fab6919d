// Package pool runs workers whose number may change while they work.
package pool

import "sync"

// Size is a number of workers. It is safe for concurrent use.
type Size struct {
	mu      sync.Mutex
	n       int
	changed chan struct{} // closed by the next change
}

// Of returns a size of n workers, at least one.
func Of(n int) *Size { return &Size{n: max(1, n), changed: make(chan struct{})} }

// Set changes the number of workers, of which there is at least one.
func (s *Size) Set(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n = max(1, n)
	if n == s.n {
		return
	}
	s.n = n
	close(s.changed)
	s.changed = make(chan struct{})
}

// Get returns the number of workers, and a channel that is closed when it changes.
func (s *Size) Get() (n int, changed <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.n, s.changed
}

// N returns the number of workers.
func (s *Size) N() int {
	n, _ := s.Get()
	return n
}

// Run calls work as many times at once as the size says, each with an index below the size,
// and returns the first error when all calls have returned. A call whose index is not below
// the size any more is told so: leave is closed, and it should finish what it has begun and
// return. A call that returns without being told so has no more work: none is started after it.
func (s *Size) Run(work func(leave <-chan struct{}, index int) error) error {
	type end struct {
		index int
		err   error
	}
	ends := make(chan end)
	leaves := map[int]chan struct{}{} // of the calls that run; closed ones are nil
	var first error
	over := false
	for {
		n, changed := s.Get()
		for i := 0; i < n && !over; i++ {
			if _, runs := leaves[i]; runs {
				continue
			}
			leave := make(chan struct{})
			leaves[i] = leave
			go func() { ends <- end{i, work(leave, i)} }()
		}
		for i, leave := range leaves {
			if i >= n && leave != nil {
				close(leave)
				leaves[i] = nil
			}
		}
		if len(leaves) == 0 {
			return first
		}
		select {
		case <-changed:
		case e := <-ends:
			told := leaves[e.index] == nil
			delete(leaves, e.index)
			over = over || !told || e.err != nil
			if first == nil {
				first = e.err
			}
		}
	}
}
