package queue

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/fault"
)

// Message is an entry of the log on its way to a sink. It must be answered, with
// Ack, Nak or Term.
type Message struct {
	Entry     entry.Entry
	Lane      string
	Seq       uint64    // in the log
	After     uint64    // sequence of the lane's message before this one when it was published, 0 for the first
	ID        string    // that it was published with
	Delivered int       // how often, this time included
	Time      time.Time // when it was stored

	consumer *Consumer
	msg      answering // guarded by consumer.mu, see Release
	size     int
	err      error // it is not an entry
}

// BadMessageError is a message of the log that is not an entry. The caller ends
// it with Message.Term, or stops.
type BadMessageError struct {
	Message *Message // without Entry
	Err     error
}

// Error names the message.
func (e *BadMessageError) Error() string {
	return fmt.Sprintf("message %d of lane %s is not an entry: %v", e.Message.Seq, e.Message.Lane, e.Err)
}

// Unwrap returns what is wrong, which is permanent.
func (e *BadMessageError) Unwrap() error { return fault.Permanent(e.Err) }

func newMessage(c *Consumer, msg jetstream.Msg) *Message {
	m := &Message{consumer: c, msg: msg, size: len(msg.Data()) + headerRoom/4}
	header := msg.Headers()
	m.Lane = msg.Subject()[len(c.log.subject("")):]
	m.ID = header.Get(headerID)
	if meta, err := msg.Metadata(); err != nil {
		m.err = err
	} else {
		m.Seq, m.Delivered, m.Time = meta.Sequence.Stream, int(meta.NumDelivered), meta.Timestamp
	}
	m.After = predecessor(header, m.Seq)
	if m.err == nil {
		m.Entry, m.err = entry.Parse(header, msg.Data())
	}
	return m
}

func (m *Message) checked() (*Message, error) {
	if m == nil {
		return nil, ErrClosed
	}
	if m.err != nil {
		return nil, &BadMessageError{Message: m, Err: m.err}
	}
	return m, nil
}

// Ack acknowledges that the entry is committed. A lost Ack leads to a redelivery, which
// the sink recognises by its coverage.
func (m *Message) Ack() error { return m.answer("acknowledge", answering.Ack) }

// Nak returns the message, to be delivered again, here or elsewhere, after the delay.
func (m *Message) Nak(delay time.Duration) error {
	return m.answer("give back", func(a answering) error { return a.NakWithDelay(delay) })
}

// Term ends the message without an acknowledgement: it is not delivered again.
func (m *Message) Term(reason string) error {
	return m.answer("end", func(a answering) error { return a.TermWithReason(reason) })
}

func (m *Message) answer(verb string, send func(answering) error) error {
	defer m.consumer.drop(m)
	if err := send(m.consumer.answering(m)); err != nil {
		return fmt.Errorf("%s message %d: %w", verb, m.Seq, m.consumer.log.conn.classify(context.Background(), err))
	}
	return nil
}
