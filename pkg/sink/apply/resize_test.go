package apply_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/ampipe/ampipe/pkg/pool"
	"github.com/ampipe/ampipe/pkg/sink"
)

// TestLoopResizes has a loop write with more and with fewer writers, while transactions run:
// those that run are committed, each once, and then only as many run as are wanted.
func TestLoopResizes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEnv(t, entries(t, 40, 10)...)
		r.loop.Rows = 1 // each entry is a transaction
		r.loop.Resize = pool.Of(1)
		var mu sync.Mutex
		running, cancelled, on := 0, 0, make(chan struct{})
		r.store.Faults.Begin = func(ctx context.Context, _ []sink.Change) error {
			mu.Lock()
			running++
			wait := on
			mu.Unlock()
			select {
			case <-wait:
			case <-ctx.Done():
			}
			mu.Lock()
			defer mu.Unlock()
			running--
			if ctx.Err() != nil {
				cancelled++
			}
			return ctx.Err()
		}
		want := func(what string, n int) {
			t.Helper()
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if running != n {
				t.Errorf("%s: %d transactions run, want %d", what, running, n)
			}
		}
		release := func() { // those that run; the next ones wait
			mu.Lock()
			defer mu.Unlock()
			close(on)
			on = make(chan struct{})
		}
		stop := r.start()
		want("at first", 1)
		r.loop.Resize.Set(4)
		want("grown", 4)
		r.loop.Resize.Set(2)
		want("shrunk: nothing that runs is broken", 4)
		release()
		want("fewer", 2)
		r.loop.Resize.Set(1)
		want("the two finish", 2)
		release()
		want("one", 1)
		r.loop.Resize.Set(3)
		want("grown again", 3)
		mu.Lock()
		close(on) // nothing waits any more
		mu.Unlock()
		synctest.Wait()
		r.wantBlocks(10, upTo(400))
		if err := stop(); err != nil || cancelled > 0 {
			t.Errorf("%v; %d transactions were broken off", err, cancelled)
		}
		for i, m := range r.log.all {
			if m.delivered != 1 || m.acked != 1 {
				t.Errorf("entry %d was delivered %d times and acknowledged %d times", i, m.delivered, m.acked)
			}
		}
	})
}
