package queue_test

import (
	"context"
	"errors"
	"testing"

	"github.com/ampipe/ampipe/pkg/queue"
)

// TestWatchKeys: every document of the pipeline that is written once the watch has begun, and
// none of another pipeline. A connection that is lost ends it: nobody knows then what was missed.
func TestWatchKeys(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(testContext(t))
	defer cancel(nil)
	server := mustServer(t, queue.ServerConfig{})
	conn := mustOpen(t, queue.Config{Server: server})
	s, other := mustState(t, conn, "pipe"), mustState(t, conn, "other")
	put := func(s *queue.State, key string) uint64 {
		rev, err := s.Put(ctx, key, key)
		must(t, err)
		return rev
	}
	put(s, "partition.0.0")
	begun, seen := make(chan struct{}), make(chan string, 10)
	revs := make(chan uint64, 10)
	ended := make(chan error, 1)
	go func() {
		ended <- s.WatchKeys(ctx, func() { close(begun) }, func(key string, rev uint64) {
			seen <- key
			revs <- rev
		})
	}()
	<-begun
	put(other, "spec")
	for _, key := range []string{"sink.warehouse", "partition.0.0", "partition.0.0"} {
		rev := put(s, key)
		if got, at := <-seen, <-revs; got != key || at != rev {
			t.Errorf("saw %s at %d, want %s at %d", got, at, key, rev)
		}
	}
	stop := errors.New("told to stop")
	cancel(stop)
	if err := <-ended; !errors.Is(err, stop) {
		t.Errorf("it ended with %v", err)
	}
}

func TestWatchKeysEndsWithTheConnection(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	server := mustServer(t, queue.ServerConfig{})
	s := mustState(t, mustOpen(t, queue.Config{Server: server}), "pipe")
	err := s.WatchKeys(ctx, func() { must(t, server.Close()) }, func(key string, _ uint64) { t.Errorf("saw %s", key) })
	if err == nil || ctx.Err() != nil {
		t.Errorf("it ended with %v", err)
	}
}
