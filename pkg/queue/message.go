package queue

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/trace"
)

// Message is an entry of the log on its way to a sink. It must be answered.
type Message struct {
	entry.Entry
	Lane      string
	Seq       uint64    // in the log
	After     uint64    // sequence of the lane's message before this one when it was published, 0 for the first
	ID        string    // that it was published with
	Delivered int       // how often, this time included
	Time      time.Time // when it was stored
	Trace     string    // that it was published in, its [trace.Header]; empty: none

	// Damaged is why the message is not an entry, and Entry therefore empty; nil: it
	// is one, as far as its headers say. The error is permanent.
	Damaged error

	Reply
}

// Reply is how a message is answered: by one call of Ack, Nak or Term, from any goroutine,
// whatever contexts have ended.
type Reply interface {
	// Ack acknowledges that the entry is committed. A lost Ack leads to a redelivery, which
	// the sink recognises by its coverage.
	Ack() error
	// Nak returns the message, to be delivered again, here or elsewhere, after the delay.
	Nak(delay time.Duration) error
	// Term ends the message without an acknowledgement: it is not delivered again to
	// this sink.
	Term(reason string) error
	// Release says that the payload is not needed any more: the message counts as small
	// from now on. It is still to be answered, and kept from expiring until then.
	Release()
}

// Live reports whether the message is of the live lane, else it is of a partition's.
func (m *Message) Live() bool { return m.Lane == LiveLane }

// Release frees the payload; see [Reply.Release].
func (m *Message) Release() {
	m.Payload = nil
	m.Reply.Release()
}

func newMessage(c *Consumer, msg *nats.Msg) (*Message, *reply) {
	header := msg.Header
	m := &Message{Lane: msg.Subject[len(c.log.subject("")):], ID: header.Get(headerID), Trace: header.Get(trace.Header)}
	meta, err := msg.Metadata()
	if err == nil {
		m.Seq, m.Delivered, m.Time = meta.Sequence.Stream, int(meta.NumDelivered), meta.Timestamp
		m.Entry, err = entry.Parse(header, msg.Data)
	}
	m.After = predecessor(header, m.Seq)
	if err != nil {
		m.Damaged = fault.Permanent(fmt.Errorf("message %d of lane %s is not an entry: %w", m.Seq, m.Lane, err))
	}
	r := &reply{consumer: c, seq: m.Seq, subject: msg.Reply, size: len(msg.Data) + releasedSize}
	m.Reply = r
	return m, r
}

// releasedSize is about what a message takes without its payload.
const releasedSize = headerRoom / 4

// reply answers a message by its reply subject, which is all that JetStream needs.
type reply struct {
	consumer *Consumer
	seq      uint64
	subject  string
	size     int // guarded by consumer.mu
}

func (r *reply) Ack() error { return r.answer("acknowledge", "+ACK") }

func (r *reply) Nak(delay time.Duration) error {
	if delay > 0 {
		return r.answer("give back", fmt.Sprintf(`-NAK {"delay": %d}`, delay.Nanoseconds()))
	}
	return r.answer("give back", "-NAK")
}

func (r *reply) Term(reason string) error { return r.answer("end", "+TERM "+reason) }

func (r *reply) answer(verb, text string) error {
	c := r.consumer
	defer c.drop(r)
	if err := r.send(text); err != nil {
		return fmt.Errorf("%s message %d: %w", verb, r.seq, c.log.conn.classify(context.Background(), err))
	}
	return nil
}

func (r *reply) send(text string) error { return r.consumer.nc.Publish(r.subject, []byte(text)) }

// Release is part of [Reply].
func (r *reply) Release() {
	c := r.consumer
	c.mu.Lock()
	if c.held[r.seq] == r {
		c.bytes -= r.size - releasedSize
	}
	r.size = releasedSize
	c.mu.Unlock()
	c.signal()
}
