package postgres

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ampipe/ampipe/pkg/fault"
)

// waiting watches one transaction: whether it waits for a lock, and for whom.
type waiting struct {
	sessions *sessions
	pid      atomic.Uint32 // of the server's process
	cancel   context.CancelFunc

	mu    sync.Mutex
	found []blocker // the last that were found
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
			if err == nil && len(found) > 0 {
				w.mu.Lock()
				w.found = found
				w.mu.Unlock()
			}
		}
	}()
	return w
}

func (w *waiting) stop() { w.cancel() }

// again is the pause before a lock is asked for once more. Others that were in the
// queue behind this one go on meanwhile.
const again = 200 * time.Millisecond

// explain says in the error of a transaction that waited for a lock who holds it.
func (w *waiting) explain(err error) error {
	if state(err) != lockNotAvailable {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	who := "a session that could not be identified"
	if len(w.found) > 0 {
		all := make([]string, len(w.found))
		for i, b := range w.found {
			all[i] = b.String()
		}
		who = strings.Join(all, "; and for ")
	}
	return fault.Later(fmt.Errorf("table %s: waits for a lock that is held by %s (%w)", w.sessions.table, who, err), again)
}
