package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
)

// waiting watches one transaction: whether it waits for a lock, and for whom.
type waiting struct {
	sessions *sessions
	pid      atomic.Uint32 // of the server's process
	cancel   context.CancelFunc

	mu    sync.Mutex
	found []blocker // the last that were found
	told  bool      // the caller knows of them
}

// watch looks every so often whether the session of a process of the server waits
// for a lock, until stop is called.
func (s *sessions) watch(ctx context.Context, pid uint32, every time.Duration) *waiting {
	ctx, cancel := context.WithCancel(ctx)
	w := &waiting{sessions: s, cancel: cancel}
	w.pid.Store(pid)
	go func() {
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			// A look that has begun is finished: cutting it off would cost the connection.
			found, err := s.lookFor(context.WithoutCancel(ctx), w.pid.Load())
			if err == nil && ctx.Err() == nil {
				w.tell(ctx, found)
			}
		}
	}()
	return w
}

func (w *waiting) stop() { w.cancel() }

// tell records who holds the lock, and reports it to the caller of the transaction before
// the lock has been waited for in vain.
func (w *waiting) tell(ctx context.Context, found []blocker) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case len(found) > 0:
		w.found, w.told = found, true
		sink.Waits(ctx, w.judge(fmt.Errorf("table %s: waits for a lock that is held by %s", w.sessions.table, w.holders())))
	case w.told:
		w.told = false
		sink.Waits(ctx, nil)
	}
}

// judge marks a reason that is in order: the lock is held by transactions of ampipe, one of
// which does its work. mu is held.
func (w *waiting) judge(reason error) error {
	works := func(b blocker) bool { return !b.queued }
	wrong := func(b blocker) bool { return !b.ours || b.isEnded || b.mayNot }
	if slices.ContainsFunc(w.found, works) && !slices.ContainsFunc(w.found, wrong) {
		return sink.InTurn(reason)
	}
	return reason
}

// holders returns who holds the lock; mu is held.
func (w *waiting) holders() string {
	if len(w.found) == 0 {
		return "a session that could not be identified"
	}
	return named(w.found)
}

// named returns who blockers are.
func named(found []blocker) string {
	all := make([]string, len(found))
	for i, b := range found {
		all[i] = b.String()
	}
	return strings.Join(all, "; and for ")
}

// again is the pause before a lock is asked for once more. Others that were in the
// queue behind this one go on meanwhile.
const again = 200 * time.Millisecond

// explain says in the error of a transaction that waited for a lock who holds it.
func (w *waiting) explain(err error) error {
	if sqlState(err) != lockNotAvailable {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	reason := w.judge(fmt.Errorf("table %s: waits for a lock that is held by %s (%w)", w.sessions.table, w.holders(), err))
	return fault.Later(reason, again)
}
