package queue_test

import (
	"context"
	"testing"
	"time"

	"github.com/ampipe/ampipe/pkg/queue"
)

// TestReleasedMessages: what a sink has staged takes no room any more, is still
// held, and is answered like any other.
func TestReleasedMessages(t *testing.T) {
	t.Parallel()
	const size, count = 200_000, 8
	l := mustLog(t, mustConn(t), 0)
	mustFill(t, l, "p.0.0", count, size)
	wait := 600 * time.Millisecond
	c := mustConsume(t, l, queue.ConsumeOptions{Bytes: 2 * size, AckWait: wait})
	defer c.Close()
	var held []*queue.Message
	for range count { // far more than there is room for, but for the releases
		m := mustNext(t, c)
		if len(m.Entry.Payload) != size {
			t.Fatalf("message %d has a payload of %d bytes", m.Seq, len(m.Entry.Payload))
		}
		m.Release()
		m.Release()
		if m.Entry.Payload != nil {
			t.Error("the payload is still there")
		}
		held = append(held, m)
	}
	ctx, cancel := context.WithTimeout(testContext(t), 3*wait)
	defer cancel()
	if again, err := c.Next(ctx); err == nil {
		t.Fatalf("message %d was delivered %d times", again.Seq, again.Delivered)
	}
	for i, m := range held {
		if i != 3 {
			mustAck(t, m)
		}
	}
	if err := held[3].Nak(0); err != nil {
		t.Fatal(err)
	}
	again := mustNext(t, c)
	if again.Seq != held[3].Seq || again.Delivered != 2 || len(again.Entry.Payload) != size {
		t.Errorf("after a Nak came message %d, delivery %d", again.Seq, again.Delivered)
	}
	again.Release()
	mustAck(t, again)
	waitForPosition(t, l, queue.Position{Exists: true, AckFloor: count})
}
