package queue

import (
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

// answering is how a message is answered.
type answering interface {
	Ack() error
	Nak() error
	NakWithDelay(delay time.Duration) error
	TermWithReason(reason string) error
	InProgress() error
}

// Release frees the message's payload, which the caller does not need any more, and sets
// Entry.Payload to nil: the message counts as small from now on. It is still to be answered,
// and kept from expiring until then.
func (m *Message) Release() {
	c := m.consumer
	c.mu.Lock()
	if full, ok := m.msg.(interface{ Reply() string }); ok && m.size > releasedSize {
		if c.held[m.Seq] == m {
			c.bytes -= m.size - releasedSize
		}
		m.msg, m.size, m.Entry.Payload = released{c.nc, full.Reply()}, releasedSize, nil
	}
	c.mu.Unlock()
	select {
	case c.freed <- struct{}{}:
	default:
	}
}

// releasedSize is about what a message takes without its payload.
const releasedSize = headerRoom / 4

func (c *Consumer) answering(m *Message) answering {
	c.mu.Lock()
	defer c.mu.Unlock()
	return m.msg
}

// released answers a message by its reply subject, which is all that JetStream
// needs.
type released struct {
	nc    *nats.Conn
	reply string
}

func (r released) Ack() error        { return r.nc.Publish(r.reply, []byte("+ACK")) }
func (r released) Nak() error        { return r.nc.Publish(r.reply, []byte("-NAK")) }
func (r released) InProgress() error { return r.nc.Publish(r.reply, []byte("+WPI")) }

func (r released) NakWithDelay(delay time.Duration) error {
	return r.nc.Publish(r.reply, fmt.Appendf(nil, `-NAK {"delay": %d}`, delay.Nanoseconds()))
}

func (r released) TermWithReason(reason string) error {
	return r.nc.Publish(r.reply, append([]byte("+TERM "), reason...))
}
