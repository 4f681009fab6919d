package queue_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/queue"
)

func mustAck(t testing.TB, m *queue.Message) {
	t.Helper()
	if err := m.Ack(); err != nil {
		t.Fatal(err)
	}
}

// TestConsumeInOrderOfTheLog reads what is there and what comes, and acks it.
func TestConsumeInOrderOfTheLog(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	l := mustLog(t, mustConn(t), 0)
	if p, err := l.Position(ctx, "warehouse", queue.History); err != nil || p.Exists {
		t.Fatalf("a new sink has position %+v (%v)", p, err)
	}
	mustFill(t, l, "p.0.0", 5, 100)
	c := mustConsume(t, l, queue.ConsumeOptions{})
	defer c.Close()
	for i := range 10 {
		if i == 5 {
			mustFill(t, l, "p.700.1", 5, 100)
		}
		m := mustNext(t, c)
		lane := "p.0.0"
		if i >= 5 {
			lane = "p.700.1"
		}
		if m.Seq != uint64(i+1) || m.Lane != lane || m.Delivered != 1 || m.ID != fmt.Sprint(lane, i%5) || len(m.Entry.Payload) != 100 ||
			m.Entry.Range != block.Closed(block.Number(i%5), block.Number(i%5)) {
			t.Errorf("message %d is %+v", i, m)
		}
		mustAck(t, m)
	}
	waitForPosition(t, l, queue.Position{Exists: true, AckFloor: 10})
	if err := l.RemoveConsumer(ctx, "warehouse"); err != nil {
		t.Fatal(err)
	}
	if p, err := l.Position(ctx, "warehouse", queue.History); err != nil || p.Exists {
		t.Errorf("a removed sink has position %+v (%v)", p, err)
	}
}

// waitForPosition polls: an acknowledgement is not answered.
func waitForPosition(t *testing.T, l *queue.Log, want queue.Position) {
	t.Helper()
	waitForLanes(t, l, queue.History, want)
}

func waitForLanes(t *testing.T, l *queue.Log, lanes queue.Lanes, want queue.Position) {
	t.Helper()
	ctx := testContext(t)
	for {
		p, err := l.Position(ctx, "warehouse", lanes)
		if err != nil {
			t.Fatalf("position is not %+v in time: %v", want, err)
		}
		if p == want {
			return
		}
		if err := fault.Sleep(ctx, 5*time.Millisecond); err != nil {
			t.Fatalf("position is %+v, want %+v", p, want)
		}
	}
}

// TestPositionPassesOtherLanes: a sink that has all of its own messages is not
// held back by those of other lanes.
func TestPositionPassesOtherLanes(t *testing.T) {
	t.Parallel()
	l := mustLog(t, mustConn(t), 0)
	mustFill(t, l, "p.0.0", 2, 10)
	mustFill(t, l, queue.LiveLane, 3, 10)
	history := mustConsume(t, l, queue.ConsumeOptions{})
	defer history.Close()
	mustAck(t, mustNext(t, history))
	waitForPosition(t, l, queue.Position{Exists: true, AckFloor: 1, AckPending: 1})
	mustAck(t, mustNext(t, history))
	waitForPosition(t, l, queue.Position{Exists: true, AckFloor: 5})
	live := mustConsume(t, l, queue.ConsumeOptions{Lanes: queue.Live})
	defer live.Close()
	for i := range 3 {
		m := mustNext(t, live)
		if m.Lane != queue.LiveLane || m.Seq != uint64(i+3) {
			t.Errorf("live message %d is %d of lane %s", i, m.Seq, m.Lane)
		}
		if i == 0 {
			waitForLanes(t, l, queue.Live, queue.Position{Exists: true, AckFloor: 0, AckPending: 3})
		}
		mustAck(t, m)
	}
	waitForLanes(t, l, queue.Live, queue.Position{Exists: true, AckFloor: 5})
}

// TestManyLargeMessages: pulls are bounded by bytes, so that the server never
// cuts the connection; nothing is delivered twice.
func TestManyLargeMessages(t *testing.T) {
	t.Parallel()
	l := mustLog(t, mustConn(t), 0)
	const n = 300
	mustFill(t, l, "p.0.0", n, 1<<20)
	const bound = 8 << 20
	c := mustConsume(t, l, queue.ConsumeOptions{Bytes: bound})
	defer c.Close()
	var held []*queue.Message
	for i := range n {
		m := mustNext(t, c)
		if m.Seq != uint64(i+1) || m.Delivered != 1 {
			t.Fatalf("message %d is %d, delivered %d times", i+1, m.Seq, m.Delivered)
		}
		// Some are held for a while, as a sink holds a batch.
		if held = append(held, m); len(held) == 5 {
			for _, m := range held {
				mustAck(t, m)
			}
			held = nil
		}
	}
	waitForPosition(t, l, queue.Position{Exists: true, AckFloor: n})
}

// TestHeldBytesAreBounded: with the bound reached, nothing more comes until
// something is answered.
func TestHeldBytesAreBounded(t *testing.T) {
	t.Parallel()
	l := mustLog(t, mustConn(t), 0)
	mustFill(t, l, "p.0.0", 8, 1<<20)
	c := mustConsume(t, l, queue.ConsumeOptions{Bytes: 3<<20 + 100<<10})
	defer c.Close()
	var held []*queue.Message
	for range 3 {
		held = append(held, mustNext(t, c))
	}
	waitForPosition(t, l, queue.Position{Exists: true, AckPending: 3, Pending: 5})
	mustAck(t, held[1])
	mustAck(t, mustNext(t, c))
}

// TestLargeMessageComesAlone: one over the bound still gets through.
func TestLargeMessageComesAlone(t *testing.T) {
	t.Parallel()
	l := mustLog(t, mustConn(t), 0)
	a := mustPublish(t, l, "p.0.0", 0, "a", group(0, 0, 1000))
	b := mustPublish(t, l, "p.0.0", a, "b", group(1, 1, 3<<20))
	mustPublish(t, l, "p.0.0", b, "c", group(2, 2, 1000))
	c := mustConsume(t, l, queue.ConsumeOptions{Bytes: 1 << 20})
	defer c.Close()
	for i := range 3 {
		m := mustNext(t, c)
		if m.Seq != uint64(i+1) {
			t.Errorf("message %d is %d", i+1, m.Seq)
		}
		mustAck(t, m)
	}
}

// TestRedelivery: what a dead process held goes to another after AckWait; what
// was given back, or not answered at Close, at once.
func TestRedelivery(t *testing.T) {
	t.Parallel()
	server := mustServer(t, queue.ServerConfig{})
	l := mustLog(t, mustOpen(t, queue.Config{Server: server}), 0)
	mustFill(t, l, "p.0.0", 3, 10)

	closed := mustConsume(t, l, queue.ConsumeOptions{})
	for range 3 {
		mustNext(t, closed)
	}
	began := time.Now()
	closed.Close()
	if _, err := closed.Next(testContext(t)); !errors.Is(err, queue.ErrClosed) {
		t.Errorf("a closed consumer gives %v", err)
	}
	c := mustConsume(t, l, queue.ConsumeOptions{})
	for range 3 {
		if m := mustNext(t, c); m.Delivered != 2 {
			t.Errorf("message %d was delivered %d times", m.Seq, m.Delivered)
		} else if m.Seq == 2 {
			if err := m.Nak(0); err != nil {
				t.Fatal(err)
			}
		}
	}
	if m := mustNext(t, c); m.Seq != 2 || m.Delivered != 3 {
		t.Errorf("given back: message %d, delivered %d times", m.Seq, m.Delivered)
	}
	if took := time.Since(began); took > 8*time.Second {
		t.Errorf("giving back took %v", took)
	}
	c.Close()
}

// TestHeldMessagesStay: a message that is held for several times AckWait is not
// delivered again while its process lives.
func TestHeldMessagesStay(t *testing.T) {
	t.Parallel()
	l := mustLog(t, mustConn(t), 0)
	mustFill(t, l, "p.0.0", 1, 10)
	const wait = time.Second
	c := mustConsume(t, l, queue.ConsumeOptions{AckWait: wait})
	defer c.Close()
	m := mustNext(t, c)
	ctx, cancel := context.WithTimeout(testContext(t), 3*wait)
	defer cancel()
	if again, err := c.Next(ctx); err == nil {
		t.Fatalf("message %d was delivered %d times", again.Seq, again.Delivered)
	}
	mustAck(t, m)
	waitForPosition(t, l, queue.Position{Exists: true, AckFloor: 1})
}

// TestTwoProcessesShareASink: each message goes to one of them.
func TestTwoProcessesShareASink(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	server := mustServer(t, queue.ServerConfig{})
	const n = 200
	seen := make(chan uint64, n)
	for range 2 {
		l := mustLog(t, mustOpen(t, queue.Config{Server: server}), 0)
		c := mustConsume(t, l, queue.ConsumeOptions{Bytes: 64 << 10})
		defer c.Close()
		run, stop := context.WithCancel(ctx)
		done := make(chan struct{})
		defer func() { stop(); <-done }()
		go func() {
			defer close(done)
			for {
				m, err := c.Next(run)
				if err != nil {
					return
				}
				seen <- m.Seq
				if err := m.Ack(); err != nil {
					t.Error(err)
				}
			}
		}()
	}
	mustFill(t, mustLog(t, mustOpen(t, queue.Config{Server: server}), 0), "p.0.0", n, 1000)
	got := map[uint64]bool{}
	for range n {
		select {
		case seq := <-seen:
			if got[seq] {
				t.Errorf("message %d came twice", seq)
			}
			got[seq] = true
		case <-ctx.Done():
			t.Fatalf("only %d of %d came", len(got), n)
		}
	}
}

// TestBadMessage: what is not an entry is named, and can be ended.
func TestBadMessage(t *testing.T) {
	t.Parallel()
	l := mustLog(t, mustConn(t), 0)
	bad := group(0, 0, 10)
	bad[0].Codec = "lz4"
	a := mustPublish(t, l, "p.0.0", 0, "a", bad)
	c := mustConsume(t, l, queue.ConsumeOptions{})
	defer c.Close()
	m := mustNext(t, c)
	var header *entry.HeaderError
	if m.Seq != a || !errors.As(m.Damaged, &header) || fault.Of(m.Damaged) != fault.ClassPermanent {
		t.Fatalf("%+v", m)
	}
	if err := m.Term("not an entry"); err != nil {
		t.Fatal(err)
	}
	waitForPosition(t, l, queue.Position{Exists: true, AckFloor: a})
}

func TestNextEndsWithItsContext(t *testing.T) {
	t.Parallel()
	c := mustConsume(t, mustLog(t, mustConn(t), 0), queue.ConsumeOptions{})
	defer c.Close()
	stop := errors.New("told to stop")
	ctx, cancel := context.WithCancelCause(testContext(t))
	cancel(stop)
	if _, err := c.Next(ctx); !errors.Is(err, stop) {
		t.Errorf("%v", err)
	}
}
