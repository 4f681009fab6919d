package queue_test

import (
	"context"
	"errors"
	"testing"

	"github.com/ampipe/ampipe/pkg/queue"
)

// TestWatchAll: every document of the pipeline that is written or removed once the watch has
// begun, and none of another pipeline. A connection that is lost ends it: nobody knows then
// what was missed.
func TestWatchAll(t *testing.T) {
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
	begun, seen := make(chan struct{}), make(chan queue.Change, 10)
	ended := make(chan error, 1)
	go func() {
		ended <- s.WatchAll(ctx, func() { close(begun) }, func(c queue.Change) { seen <- c })
	}()
	<-begun
	put(other, "spec")
	var rev uint64
	for _, key := range []string{"sink.warehouse", "partition.0.0", "partition.0.0"} {
		rev = put(s, key)
		var text string
		switch got := <-seen; {
		case got.Key != key || got.Rev != rev || got.Removed:
			t.Errorf("saw %+v, want %s at %d", got, key, rev)
		case got.Decode(&text) != nil || text != key:
			t.Errorf("%s holds %s", key, got.Text)
		}
	}
	rev, err := s.Remove(ctx, "partition.0.0", rev)
	must(t, err)
	if got := <-seen; got.Key != "partition.0.0" || got.Rev != rev || !got.Removed {
		t.Errorf("saw %+v, want partition.0.0 removed at %d", got, rev)
	}
	stop := errors.New("told to stop")
	cancel(stop)
	if err := <-ended; !errors.Is(err, stop) {
		t.Errorf("it ended with %v", err)
	}
}

func TestWatchAllEndsWithTheConnection(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	server := mustServer(t, queue.ServerConfig{})
	s := mustState(t, mustOpen(t, queue.Config{Server: server}), "pipe")
	err := s.WatchAll(ctx, func() { must(t, server.Close()) }, func(c queue.Change) { t.Errorf("saw %s", c.Key) })
	if err == nil || ctx.Err() != nil {
		t.Errorf("it ended with %v", err)
	}
}
