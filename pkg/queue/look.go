package queue

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ampipe/ampipe/pkg/state"
)

// Look is [Tasks.Load] for one who only looks: it makes nothing, and needs no more than
// the right to read.
func (t *Tasks) Look(ctx context.Context, kind string) (Load, error) {
	if err := checkName("kind of task", kind); err != nil {
		return Load{}, err
	}
	consumer, err := t.conn.js.Consumer(ctx, taskStream, kind+"-"+t.pipeline)
	if errors.Is(err, jetstream.ErrConsumerNotFound) { // no worker has asked for one yet
		return Load{}, nil
	}
	if err != nil {
		return Load{}, t.conn.classify(ctx, fmt.Errorf("read the load of %s tasks: %w", kind, err))
	}
	info := consumer.CachedInfo()
	return Load{Queued: int(info.NumPending), Held: info.NumAckPending, Waiting: info.NumWaiting}, nil
}

// StoredReports is [State.Reports] with when each was written.
func (s *State) StoredReports(ctx context.Context) ([]Stored[state.SinkReport], error) {
	return List[state.SinkReport](ctx, s, keySink)
}
