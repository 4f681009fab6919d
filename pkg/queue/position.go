package queue

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// Position is how far a sink has come in a log, over all its processes.
type Position struct {
	Exists     bool   // the sink has read these lanes before
	AckFloor   uint64 // everything up to this sequence is acknowledged or not for this sink
	Pending    uint64 // messages not delivered yet
	AckPending int    // messages delivered and not acknowledged
}

// Drained reports whether the sink has applied everything that these lanes hold.
func (p Position) Drained() bool { return p.Exists && p.Pending == 0 && p.AckPending == 0 }

// Unread returns how many messages the sink has still to apply.
func (p Position) Unread() uint64 { return p.Pending + uint64(p.AckPending) }

// Position returns how far a sink has come in some lanes.
func (l *Log) Position(ctx context.Context, sink string, lanes Lanes) (Position, error) {
	// First the log's end, then the consumer: what it has dealt with then is everything
	// up to that end.
	end, err := l.State(ctx)
	if err != nil {
		return Position{}, err
	}
	return l.PositionAt(ctx, end, sink, lanes)
}

// PositionAt is [Log.Position] for a caller that has just read the state of the log.
func (l *Log) PositionAt(ctx context.Context, end LogState, sink string, lanes Lanes) (Position, error) {
	if err := checkName("sink", sink); err != nil {
		return Position{}, err
	}
	consumer, err := l.conn.js.Consumer(ctx, l.stream(), lanes.durable(sink))
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return Position{}, nil
	}
	if err != nil {
		return Position{}, l.fail(ctx, fmt.Errorf("read the position of sink %s: %w", sink, err))
	}
	info := consumer.CachedInfo()
	p := Position{Exists: true, AckFloor: info.AckFloor.Stream, Pending: info.NumPending, AckPending: info.NumAckPending}
	if !p.Drained() || p.AckFloor >= end.Last {
		return p, nil
	}
	if info.AckFloor.Consumer == info.Delivered.Consumer { // nothing is to be acknowledged
		p.AckFloor = max(p.AckFloor, info.Delivered.Stream)
	}
	unread, err := l.unread(ctx, lanes, p.AckFloor, end.Last)
	switch {
	case err != nil:
		return Position{}, err
	case unread:
		p.Pending = 1
	default:
		p.AckFloor = max(p.AckFloor, end.Last)
	}
	return p, nil
}

// unread reports whether some lanes have a message above a position, up to the end. A
// consumer does not know what is pending before it is led, and then says that nothing is:
// while it is made, and after its server has started.
func (l *Log) unread(ctx context.Context, lanes Lanes, after, end uint64) (bool, error) {
	msg, err := l.read.get(ctx, getRequest{Seq: after + 1, NextFor: lanes.filter(l.pipeline)})
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
	case err != nil:
		return false, l.fail(ctx, fmt.Errorf("look for unread messages: %w", err))
	case msg.Sequence <= end:
		return true, nil
	}
	return false, nil
}

// RemoveConsumer forgets the position of a sink. Its processes must have
// stopped: they would start it again.
func (l *Log) RemoveConsumer(ctx context.Context, sink string) error {
	if err := checkName("sink", sink); err != nil {
		return err
	}
	for _, lanes := range []Lanes{History, Live} {
		err := l.conn.js.DeleteConsumer(ctx, l.stream(), lanes.durable(sink))
		if err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
			return l.fail(ctx, fmt.Errorf("remove the position of sink %s: %w", sink, err))
		}
	}
	return nil
}
