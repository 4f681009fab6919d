package queue

import (
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// room returns how many more bytes may be held, and how many messages are.
func (c *Consumer) room() (free, held int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.opts.Bytes - c.bytes, len(c.held)
}

// waitForRoom waits until a message was answered.
func (c *Consumer) waitForRoom(ctx context.Context) error {
	select {
	case <-c.freed:
	case <-ctx.Done():
	}
	return nil
}

// hold adds a message to those that the consumer keeps from expiring.
func (c *Consumer) hold(msg jetstream.Msg) *Message {
	m := newMessage(c, msg)
	c.mu.Lock()
	defer c.mu.Unlock()
	if old := c.held[m.Seq]; old != nil {
		c.bytes -= old.size // redelivered while held: the later one counts
	}
	c.held[m.Seq] = m
	c.bytes += m.size
	return m
}

// drop removes a message from those that are held.
func (c *Consumer) drop(m *Message) {
	c.mu.Lock()
	if c.held[m.Seq] == m {
		delete(c.held, m.Seq)
		c.bytes -= m.size
	}
	c.mu.Unlock()
	select {
	case c.freed <- struct{}{}:
	default:
	}
}

// keep extends the acknowledgement deadline of the held messages from time to time.
func (c *Consumer) keep(ctx context.Context) {
	ticker := time.NewTicker(c.opts.AckWait / beatsPerWait)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		c.mu.Lock()
		held := make([]answering, 0, len(c.held))
		for _, m := range c.held {
			held = append(held, m.msg)
		}
		c.mu.Unlock()
		for _, m := range held {
			_ = m.InProgress() // a lost beat is made up for by the next
		}
	}
}
