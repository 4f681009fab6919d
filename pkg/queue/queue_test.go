package queue_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/queue"
)

func TestMain(m *testing.M) {
	// The server forgets one of its own goroutines if a stream is deleted while a batch
	// is published to it.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/nats-io/nats-server/v2/server.(*msgBlock).flushLoop"))
}

// patience is how long anything may take on a busy machine.
const patience = time.Minute

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func mustServer(t testing.TB, cfg queue.ServerConfig) *queue.Server {
	t.Helper()
	if cfg.Dir == "" {
		cfg.Dir = filepath.Join(t.TempDir(), "store")
	}
	s, err := queue.StartServer(testContext(t), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func mustOpen(t testing.TB, cfg queue.Config) *queue.Conn {
	t.Helper()
	c, err := queue.Open(testContext(t), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// mustConn starts a server and connects to it.
func mustConn(t testing.TB) *queue.Conn {
	t.Helper()
	return mustOpen(t, queue.Config{Server: mustServer(t, queue.ServerConfig{})})
}

func mustLog(t testing.TB, c *queue.Conn, maxBytes int64) *queue.Log {
	t.Helper()
	if maxBytes == 0 {
		maxBytes = 1 << 30 // less than any disk has
	}
	l, err := c.Log(testContext(t), "pipe", queue.LogConfig{MaxBytes: maxBytes})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func mustConsume(t testing.TB, l *queue.Log, o queue.ConsumeOptions) *queue.Consumer {
	t.Helper()
	c, err := l.Consume(testContext(t), "warehouse", o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// data is an entry with a payload of that many bytes, none of them Arrow: the
// queue does not look into it.
func data(r block.Range, size int) entry.Entry {
	payload := make([]byte, size)
	for i := 0; i < size; i += 512 {
		payload[i] = byte(rand.Uint32())
	}
	return entry.Entry{
		Header:  entry.Header{Kind: entry.Data, Codec: entry.None, Network: "mainnet", Range: r, Schema: "s", End: 1000},
		Payload: payload,
	}
}

func group(from, to block.Number, size int) []entry.Entry {
	return []entry.Entry{data(block.Closed(from, to), size)}
}

// parts is one block in n messages.
func parts(at block.Number, n, size int) []entry.Entry {
	out := make([]entry.Entry, n)
	for i := range out {
		out[i] = data(block.Closed(at, at), size)
		out[i].Part, out[i].Parts, out[i].Batch = i, n, "ab"
	}
	return out
}

func mustPublish(t testing.TB, l *queue.Log, lane string, after uint64, id string, g []entry.Entry) uint64 {
	t.Helper()
	seq, err := l.Publish(testContext(t), lane, after, id, g)
	if err != nil {
		t.Fatal(err)
	}
	return seq
}

// mustFill publishes n entries of one block each.
func mustFill(t testing.TB, l *queue.Log, lane string, n, size int) {
	t.Helper()
	after := uint64(0)
	for i := range n {
		after = mustPublish(t, l, lane, after, fmt.Sprint(lane, i), group(block.Number(i), block.Number(i), size))
	}
}

func mustNext(t testing.TB, c *queue.Consumer) *queue.Message {
	t.Helper()
	m, err := c.Next(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	return m
}
