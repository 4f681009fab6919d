package queue

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// Position is how far a sink has come in a log, over all its processes and, if
// it reads the live lane too, over both its consumers.
type Position struct {
	Exists     bool   // the sink has read from this log before
	AckFloor   uint64 // everything up to this sequence is acknowledged or not for this sink
	Pending    uint64 // messages not delivered yet
	AckPending int    // messages delivered and not acknowledged
}

// Position reads how far a sink has come.
func (l *Log) Position(ctx context.Context, sink string) (Position, error) {
	if err := checkName("sink", sink); err != nil {
		return Position{}, err
	}
	// First the log's end, then the consumers: what they have no more to do
	// with then is everything up to that end.
	state, err := l.State(ctx)
	if err != nil {
		return Position{}, err
	}
	var p Position
	for _, lanes := range []Lanes{History, Live} {
		consumer, err := l.conn.js.Consumer(ctx, l.stream(), lanes.durable(sink))
		if errors.Is(err, jetstream.ErrConsumerNotFound) {
			continue
		}
		if err != nil {
			return Position{}, l.fail(ctx, fmt.Errorf("read the position of sink %s: %w", sink, err))
		}
		info := consumer.CachedInfo()
		floor := info.AckFloor.Stream
		if info.NumPending == 0 && info.NumAckPending == 0 {
			floor = max(floor, state.Last)
		}
		if !p.Exists || floor < p.AckFloor {
			p.AckFloor = floor
		}
		p.Exists = true
		p.Pending += info.NumPending
		p.AckPending += info.NumAckPending
	}
	return p, nil
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
