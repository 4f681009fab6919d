package apply

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/fault"
)

const (
	// stallAfter is how long entries may wait with nothing committed, and no other
	// reason told, before that is a reason.
	stallAfter = 30 * time.Second
	// stallEvery is how often that is looked at.
	stallEvery = time.Second
	// backSoon is the time within which an entry that was returned to the log is taken
	// again, unless another process has it.
	backSoon = 5 * time.Second
)

// stall notices that entries of some lanes wait while nothing is committed, and says
// what is known of it, until something is. It is safe for concurrent use.
type stall struct {
	run    *run
	pauser *pauser // of watch

	mu      sync.Mutex
	count   int       // entries that were taken and not answered yet
	since   time.Time // nothing was committed since then, though entries have waited
	back    time.Time // an entry was returned to the log last
	running map[*worker]transaction
	gap     *gap // what the live lane's order waits for; nil: nothing
	broken  broken
}

// transaction is a call of the Writer.
type transaction struct {
	began   time.Time
	entries int
	from    block.Number
}

// gap is a live entry whose predecessor has not come.
type gap struct {
	next, after uint64 // the entry and its predecessor
	started     bool   // the destination has something of the live lane
	epoch, last uint64 // the last that it has
}

// broken is a live entry that was dropped because it is damaged.
type broken struct {
	seq    uint64
	at     time.Time
	reason error
}

// stalledError says what is seen of a stall. Its cause is not known.
type stalledError struct{ error }

// Unwrap leads to what is seen.
func (e *stalledError) Unwrap() error { return e.error }

func (r *run) newStall() *stall {
	return &stall{run: r, pauser: r.status.pauser(), running: make(map[*worker]transaction)}
}

// taken notes that an entry was.
func (s *stall) taken() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.waits() {
		s.since = time.Now() // what was returned before is not waited for here any more
	}
	s.count++
}

// waits reports whether entries wait, or were returned to the log and will come again.
func (s *stall) waits() bool { return s.count > 0 || time.Since(s.back) <= backSoon }

// committed notes that entries were, here or by another process of the sink.
func (s *stall) committed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.since = time.Now()
}

// returned notes that an entry goes back to the log.
func (s *stall) returned() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.back = time.Now()
}

// answered notes that an entry was.
func (s *stall) answered() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count--
}

// watch checks every second until ctx ends.
func (s *stall) watch(ctx context.Context) {
	for fault.Sleep(ctx, fault.Aligned(stallEvery)) == nil {
		reason := s.reason()
		if reason == nil || s.pauser.othersWait() {
			s.pauser.Resume()
			continue
		}
		s.pauser.Pause(&stalledError{reason})
	}
}

// reason returns why nothing is committed; nil if something is, or nothing waits.
func (s *stall) reason() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken.reason != nil && time.Since(s.broken.at) < 2*stallAfter {
		return s.broken.reason
	}
	patience := stallAfter
	if s.run.stages {
		patience += s.run.StageTime
	}
	if !s.waits() || s.since.IsZero() || time.Since(s.since) < patience {
		return nil
	}
	at := s.since.UTC().Format(time.TimeOnly)
	for _, t := range s.running {
		return fmt.Errorf("a transaction of %d entries from block %d on has been running since %s UTC",
			t.entries, t.from, t.began.UTC().Format(time.TimeOnly))
	}
	switch g := s.gap; {
	case g == nil:
		return fmt.Errorf("entries wait, and none has been committed since %s UTC", at)
	case !g.started:
		return fmt.Errorf("live entry %d follows entry %d, which has not come since %s UTC; the destination has none of the live lane",
			g.next, g.after, at)
	default:
		return fmt.Errorf("live entry %d follows entry %d, which the destination lacks: its last, since %s UTC, is entry %d of epoch %d",
			g.next, g.after, at, g.last, g.epoch)
	}
}

// calls notes that the Writer is called with some entries, until the function that it
// returns is called.
func (w *worker) calls(entries int, from block.Number) (end func()) {
	t := transaction{began: time.Now(), entries: entries, from: from}
	for _, s := range w.stalls {
		s.mu.Lock()
		s.running[w] = t
		s.mu.Unlock()
	}
	return func() {
		for _, s := range w.stalls {
			s.mu.Lock()
			delete(s.running, w)
			s.mu.Unlock()
		}
	}
}

// lacks notes what the live lane's order waits for.
func (s *stall) lacks(g *gap) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gap = g
}

// damaged notes that a live entry was dropped. Nothing can follow it in its epoch, so
// that it is told at once.
func (s *stall) damaged(seq uint64, reason error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken = broken{seq, time.Now(), reason}
}

// applied notes the last live entry that the destination has.
func (s *stall) applied(seq uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if seq > s.broken.seq {
		s.broken = broken{}
	}
}
