package queue_test

import (
	"bytes"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/ampipe/ampipe/pkg/queue"
)

// TestASilentNodeIsLeft: the consumer with which the state is read may be of a node that
// was killed a moment ago, and then nobody answers. The next one is of another.
func TestASilentNodeIsLeft(t *testing.T) {
	t.Parallel()
	node := startServer(t, &server.Options{StoreDir: t.TempDir(), JetStreamMaxStore: 2 << 30})
	nc, err := nats.Connect(node.ClientURL())
	must(t, err)
	t.Cleanup(nc.Close)
	var silent atomic.Int64 // how many requests go to a node that was killed
	_, err = nc.Subscribe("$JS.API.CONSUMER.SILENT.>", func(*nats.Msg) { silent.Add(-1) })
	must(t, err)
	must(t, nc.Flush())
	w := newWire(t, node.ClientURL(), func(sent []byte) {
		if at := bytes.Index(sent, []byte("CONSUMER.CREATE.KV_")); at >= 0 && silent.Load() > 0 {
			copy(sent[at:], "CONSUMER.SILENT.KV_")
		}
	})
	ctx := testContext(t)
	s := mustState(t, mustOpen(t, queue.Config{URL: w.url()}), "pipe")
	_, err = s.Create(ctx, "a.b", 1)
	must(t, err)

	silent.Store(1)
	began := time.Now()
	all, err := queue.List[int](ctx, s, "a")
	if err != nil || len(all) != 1 || silent.Load() != 0 {
		t.Errorf("read %v after %v: %v", all, time.Since(began), err)
	}
	found := errors.New("found")
	silent.Store(1)
	if err := queue.Watch(ctx, s, "a.b", func(int, uint64) error { return found }); !errors.Is(err, found) || silent.Load() != 0 {
		t.Errorf("watched: %v", err)
	}
}
