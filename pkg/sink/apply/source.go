package apply

import (
	"context"
	"errors"
	"time"

	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/queue"
)

// Source is the entries of the log that a sink has not acknowledged yet. It
// keeps what it returned from being delivered elsewhere until it is answered, however
// long that takes, while this process lives. [FromQueue] makes one.
type Source interface {
	// Next waits for the next entry. Only one goroutine calls it, again after
	// an error that is not permanent. After an error it returns
	// [queue.ErrNoMessage] when the log can be read again and has nothing new. A
	// message that is not an entry is no error.
	Next(ctx context.Context) (Message, error)
	// Settled reports whether the entry at a sequence will not come any more, to any
	// process of the sink: it has been acknowledged, as everything before it, or
	// the log no longer holds it. It may be called beside Next.
	Settled(ctx context.Context, seq uint64) (bool, error)
	// Bytes returns how much it may have in flight: of entries that it has returned, or is
	// about to, and that were not answered, or released. At that Next waits.
	Bytes() int
}

// Message is an entry and where it stands in the log.
type Message struct {
	entry.Entry
	Seq   uint64
	Time  time.Time // when the log took it
	Live  bool      // of the live lane, else of a partition
	After uint64    // Seq of the lane's entry before
	Reply Reply

	// Damaged is why the message is not an entry, and Entry therefore empty; nil: it
	// is one, as far as its headers say.
	Damaged error
}

// Reply is how the source is told about a message: by one call of one method,
// from any goroutine, whatever contexts have ended.
type Reply interface {
	// Ack says that the entry is committed.
	Ack() error
	// Nak returns the entry, to be delivered again after the delay, to this
	// process or to another.
	Nak(delay time.Duration) error
	// Term says that the entry is not to come again, to anybody of this sink,
	// although it is not committed.
	Term(reason string) error
}

// Reports is where a sink's report goes; the state of package queue is one.
type Reports interface {
	PutReport(ctx context.Context, r queue.SinkReport) error
}

// FromQueue reads the log through a consumer, which the caller closes after the
// loop has ended.
func FromQueue(c *queue.Consumer) Source { return consumer{c} }

type consumer struct{ *queue.Consumer }

// Next waits for the next message; see [queue.Consumer.Next].
func (c consumer) Next(ctx context.Context) (Message, error) {
	m, err := c.Consumer.Next(ctx)
	var damaged error
	if bad, ok := errors.AsType[*queue.BadMessageError](err); ok {
		m, damaged = bad.Message, bad
	} else if err != nil {
		return Message{}, err
	}
	return Message{
		Entry: m.Entry, Seq: m.Seq, Time: m.Time, Live: m.Lane == queue.LiveLane, After: m.After, Reply: m, Damaged: damaged,
	}, nil
}
