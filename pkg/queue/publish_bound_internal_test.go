package queue

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/entry"
)

// TestPublishBoundCounts: large messages go two at a time, small ones eight, and none is
// larger than what may be under way.
func TestPublishBoundCounts(t *testing.T) {
	t.Parallel()
	for size, want := range map[int]int32{0: 8, 100: 8, 300 << 10: 6, 700 << 10: 2, 8 << 20: 2} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := &publishBound{semaphore.NewWeighted(2 * largestShare)}
				var under, done atomic.Int32
				answered := make(chan struct{})
				const calls = 20
				for range calls {
					go func() {
						release, err := b.acquire(t.Context(), size)
						if err != nil {
							t.Error(err)
							return
						}
						under.Add(1)
						<-answered
						under.Add(-1)
						done.Add(1)
						release()
					}()
				}
				synctest.Wait()
				if got := under.Load(); got != want {
					t.Errorf("%d are under way, want %d", got, want)
				}
				answered <- struct{}{}
				synctest.Wait()
				if got := under.Load(); got != want {
					t.Errorf("%d are under way after one has ended, want %d", got, want)
				}
				close(answered)
				synctest.Wait()
				if got := done.Load(); got != calls {
					t.Errorf("%d have ended, want %d", got, calls)
				}
			})
		})
	}
}

// limited returns a context that ends when something that is to be possible is not.
func limited(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func oneBlock(size int) []entry.Entry {
	return []entry.Entry{{
		Header:  entry.Header{Kind: entry.Data, Codec: entry.None, Network: "mainnet", Range: block.Closed(0, 0), Schema: "s", End: 1000},
		Payload: make([]byte, size),
	}}
}

// TestLiveEntriesPassTheBoundOfTheHistory: while as much of the history is under way as may
// be, more of it waits, for as long as its context lasts, and a live entry does not.
func TestLiveEntriesPassTheBoundOfTheHistory(t *testing.T) {
	t.Parallel()
	l := testLog(t, ServerConfig{}, Config{})
	l.BoundHistory()
	release, err := l.history.Load().acquire(t.Context(), largestShare)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Publish(limited(t), LiveLane, 0, "live", oneBlock(100)); err != nil {
		t.Errorf("a live entry: %v", err)
	}
	stopping := errors.New("stopping")
	ctx, cancel := context.WithCancelCause(limited(t))
	var waits sync.WaitGroup
	waits.Go(func() {
		if _, err := l.Publish(ctx, "p.0.0", 0, "a", oneBlock(100)); !errors.Is(err, stopping) {
			t.Errorf("an entry of the history that waits ends with %v, want %v", err, stopping)
		}
	})
	cancel(stopping)
	waits.Wait()
	waits.Go(func() {
		if _, err := l.Publish(limited(t), "p.0.0", 0, "b", oneBlock(100)); err != nil {
			t.Errorf("an entry of the history: %v", err)
		}
	})
	if tail, err := l.Tail(t.Context(), "p.0.0"); err != nil || tail.Found {
		t.Errorf("the history has %+v, %v; want nothing while its turn has not come", tail, err)
	}
	release()
	waits.Wait()
}

// TestFailedPublishesAreNotUnderWay: whatever a call ends with, the next one may follow.
func TestFailedPublishesAreNotUnderWay(t *testing.T) {
	t.Parallel()
	l := testLog(t, ServerConfig{}, Config{})
	l.BoundHistory()
	for range 5 {
		if _, err := l.Publish(limited(t), "p.0.0", 7, "a", oneBlock(2<<20)); !errors.Is(err, ErrFenced) {
			t.Fatalf("an entry behind one that is not there: %v, want %v", err, ErrFenced)
		}
		if _, err := l.Publish(limited(t), "p.0.0", 0, "a", oneBlock(9<<20)); err == nil {
			t.Fatal("an entry is stored that is larger than max_payload")
		}
	}
	if _, err := l.Publish(limited(t), "p.0.0", 0, "b", oneBlock(2<<20)); err != nil {
		t.Fatal(err)
	}
	large := append(oneBlock(2<<20), oneBlock(2<<20)...) // in an atomic batch
	if _, err := l.Publish(limited(t), "p.1.0", 0, "c", large); err != nil {
		t.Fatal(err)
	}
	if !l.history.Load().free.TryAcquire(largestShare) {
		t.Error("something is still under way")
	}
}

// TestOnlyOneServerIsBounded: the nodes of a cluster store at the same time.
func TestOnlyOneServerIsBounded(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		server   *Server
		replicas int
		large    int64
	}{{nil, 1, 2}, {&Server{}, 1, 1}, {nil, 3, 0}} {
		l := &Log{conn: &Conn{cfg: Config{Replicas: c.replicas}, server: c.server}}
		l.BoundHistory()
		b := l.history.Load()
		if b == nil {
			if c.large > 0 {
				t.Errorf("%+v: nothing is bounded", c)
			}
			continue
		}
		if !b.free.TryAcquire(c.large*largestShare) || b.free.TryAcquire(1) {
			t.Errorf("%+v: the bound is another", c)
		}
	}
}
