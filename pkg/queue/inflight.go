package queue

import (
	"context"
	"maps"
	"slices"

	"github.com/nats-io/nats.go"

	"github.com/ampipe/ampipe/pkg/fault"
)

// room returns how many more bytes may be held, and how many messages are.
func (c *Consumer) room() (free, held int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.opts.Bytes - c.bytes, len(c.held)
}

// waitForRoom waits until a message was answered.
func (c *Consumer) waitForRoom(ctx context.Context) {
	select {
	case <-c.freed:
	case <-ctx.Done():
	}
}

// hold adds a message to those that the consumer keeps from expiring.
func (c *Consumer) hold(msg *nats.Msg) *Message {
	m, r := newMessage(c, msg)
	c.mu.Lock()
	defer c.mu.Unlock()
	if old := c.held[m.Seq]; old != nil {
		c.bytes -= old.size // redelivered while held: the later one counts
	}
	c.held[m.Seq] = r
	c.bytes += r.size
	select {
	case c.holds <- struct{}{}:
	default:
	}
	return m
}

// drop removes a message from those that are held.
func (c *Consumer) drop(r *reply) {
	c.mu.Lock()
	if c.held[r.seq] == r {
		delete(c.held, r.seq)
		c.bytes -= r.size
	}
	c.mu.Unlock()
	c.signal()
}

// signal wakes what waits for room.
func (c *Consumer) signal() {
	select {
	case c.freed <- struct{}{}:
	default:
	}
}

// keep extends the acknowledgement deadline of the held messages from time to time. It
// wakes only while some are.
func (c *Consumer) keep(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.holds: // one was held, and may be
		}
		for len(c.replies()) > 0 {
			if fault.Sleep(ctx, c.opts.AckWait/beatsPerWait) != nil {
				return
			}
			for _, r := range c.replies() {
				_ = r.send("+WPI") // in progress; a lost beat is made up for by the next
			}
		}
	}
}

// replies returns what is held.
func (c *Consumer) replies() []*reply {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Collect(maps.Values(c.held))
}
