package queue_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/state"
)

// turn is a message and who got it.
type turn struct {
	*queue.Message
	by string
}

// readLive reads the live lane as one process of a sink, until it is stopped.
func readLive(t *testing.T, got chan<- turn, l *queue.Log, name string) (stop func()) {
	t.Helper()
	return readLiveOf(t, got, l, name, state.LiveState{})
}

// readLiveOf is readLive for a destination that has something of the lane.
func readLiveOf(t *testing.T, got chan<- turn, l *queue.Log, name string, has state.LiveState) (stop func()) {
	t.Helper()
	c := mustConsume(t, l, queue.ConsumeOptions{Lanes: queue.Live, AckWait: time.Second, Has: has})
	ctx, cancel := context.WithCancel(testContext(t))
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			m, err := c.Next(ctx)
			switch {
			case ctx.Err() != nil:
				return
			case errors.Is(err, queue.ErrClosed):
				return
			case err != nil:
				continue // its server is gone
			}
			select {
			case got <- turn{m, name}:
			case <-ctx.Done():
				return
			}
		}
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		<-done
		c.Close()
	})
	t.Cleanup(stop)
	return stop
}

func mustTurn(t *testing.T, got <-chan turn) turn {
	t.Helper()
	select {
	case m := <-got:
		return m
	case <-testContext(t).Done():
		t.Fatal("no process of the sink gets the live lane")
		return turn{}
	}
}

// TestOneProcessReadsTheLiveLane, and another takes over at once when it closes: in
// order, with what was in hand, without loss.
func TestOneProcessReadsTheLiveLane(t *testing.T) {
	t.Parallel()
	server := mustServer(t, queue.ServerConfig{})
	l := mustLog(t, mustOpen(t, queue.Config{Server: server}), 0)
	got := make(chan turn)
	stops := map[string]func(){}
	for _, name := range []string{"one", "other"} {
		stops[name] = readLive(t, got, mustLog(t, mustOpen(t, queue.Config{Server: server}), 0), name)
	}
	const n = 60
	after := uint64(0)
	var holder string
	for i := range uint64(n) {
		after = mustPublish(t, l, queue.LiveLane, after, fmt.Sprint(i), group(0, 0, 100))
		m := mustTurn(t, got)
		if holder == "" {
			holder = m.by
		}
		if m.Seq != i+1 || m.After != i || m.by != holder || m.Delivered != 1 {
			t.Fatalf("message %d went to %s as %d behind %d, delivered %d times; %s has the lane", i+1, m.by, m.Seq, m.After, m.Delivered, holder)
		}
		if i < n-2 {
			mustAck(t, m.Message)
		}
	}
	// Two are in the hands of the holder, and two more come while nobody reads.
	began := time.Now()
	stops[holder]()
	for i := range uint64(2) {
		after = mustPublish(t, l, queue.LiveLane, after, fmt.Sprint("more", i), group(0, 0, 100))
	}
	seen := map[uint64]bool{}
	for len(seen) < 4 {
		m := mustTurn(t, got)
		if m.by == holder || m.Seq <= n-2 {
			t.Fatalf("message %d went to %s", m.Seq, m.by)
		}
		seen[m.Seq] = true
		mustAck(t, m.Message)
	}
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("the lane was taken over after %s", took)
	}
	waitForLanes(t, l, queue.Live, queue.Position{Exists: true, AckFloor: after})
}

// TestTheLiveLaneOfADeadProcess goes to another one before long.
func TestTheLiveLaneOfADeadProcess(t *testing.T) {
	t.Parallel()
	server := mustServer(t, queue.ServerConfig{Listen: "127.0.0.1:0"})
	l := mustLog(t, mustOpen(t, queue.Config{Server: server}), 0)
	got := make(chan turn)
	wire := newWire(t, server.URL())
	readLive(t, got, mustLog(t, mustOpen(t, queue.Config{URL: wire.url()}), 0), "doomed")
	after := mustPublish(t, l, queue.LiveLane, 0, "first", group(0, 0, 100))
	if m := mustTurn(t, got); m.by != "doomed" {
		t.Fatalf("the first message went to %s", m.by)
	}
	readLive(t, got, mustLog(t, mustOpen(t, queue.Config{URL: server.URL()}), 0), "heir")
	after = mustPublish(t, l, queue.LiveLane, after, "second", group(0, 0, 100))
	if m := mustTurn(t, got); m.by != "doomed" {
		t.Fatalf("the second message went to %s while another had the lane", m.by)
	}
	began := time.Now()
	wire.cut()
	after = mustPublish(t, l, queue.LiveLane, after, "third", group(0, 0, 100))
	seen := map[uint64]bool{}
	for len(seen) < 3 {
		m := mustTurn(t, got)
		if m.by != "heir" {
			t.Fatalf("message %d went to %s", m.Seq, m.by)
		}
		seen[m.Seq] = true
		mustAck(t, m.Message)
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("the lane was taken over after %s", took)
	}
	waitForLanes(t, l, queue.Live, queue.Position{Exists: true, AckFloor: after})
}

// wire passes connections on to a server until it is cut; then it refuses new ones.
type wire struct {
	listener net.Listener
	stopped  sync.WaitGroup
	frozen   sync.RWMutex // while nothing comes from the server

	mu    sync.Mutex
	dead  bool
	conns []net.Conn
}

// newWire returns a wire to a server. edits change what clients send, in place.
func newWire(t *testing.T, url string, edits ...func([]byte)) *wire {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{listener: listener}
	t.Cleanup(func() {
		w.cut()
		w.stopped.Wait()
	})
	w.stopped.Go(func() {
		for {
			in, err := listener.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", strings.TrimPrefix(url, "nats://"))
			if err != nil || !w.keep(in, out) {
				_ = in.Close()
				continue
			}
			w.stopped.Go(func() { _, _ = io.Copy(edited{out, edits}, in) })
			w.stopped.Go(func() { _, _ = io.Copy(thawed{in, &w.frozen}, out) })
		}
	})
	return w
}

// edited is a writer of what was changed.
type edited struct {
	io.Writer
	edits []func([]byte)
}

func (e edited) Write(b []byte) (int, error) {
	for _, edit := range e.edits {
		edit(b)
	}
	return e.Writer.Write(b)
}

// thawed is a writer that waits while its wire is frozen.
type thawed struct {
	io.Writer
	frozen *sync.RWMutex
}

func (w thawed) Write(b []byte) (int, error) {
	w.frozen.RLock()
	defer w.frozen.RUnlock()
	return w.Writer.Write(b)
}

// freeze stops what comes from the server, until release.
func (w *wire) freeze(t *testing.T) (release func()) {
	w.frozen.Lock()
	release = sync.OnceFunc(w.frozen.Unlock)
	t.Cleanup(release)
	return release
}

func (w *wire) url() string { return "nats://" + w.listener.Addr().String() }

func (w *wire) keep(conns ...net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.conns = append(w.conns, conns...)
	if w.dead {
		for _, c := range conns {
			_ = c.Close()
		}
	}
	return !w.dead
}

func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dead = true
	_ = w.listener.Close()
	for _, c := range w.conns {
		_ = c.Close()
	}
}
