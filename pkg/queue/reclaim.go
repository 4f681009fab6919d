package queue

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// Reclaim takes back what workers hold, without waiting until they are known to be
// dead. It is for a process whose embedded server has just started: the workers that
// had tasks ended with the server before.
func (t *Tasks) Reclaim(ctx context.Context) error {
	for _, kind := range []string{PartitionTask, LiveTask} {
		// Only the stream, which stays, says which tasks there are.
		err := t.conn.js.DeleteConsumer(ctx, taskStream, kind+"-"+t.pipeline)
		t.doubt(kind)
		if err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
			return t.fail(ctx, fmt.Errorf("take back the %s tasks: %w", kind, err))
		}
	}
	return nil
}

// takeOver lets this process have the live lane at once if no process of the sink asks
// for it, though the server keeps it for one that was killed. It is a courtesy: if it
// fails, the server assigns the lane a few seconds later; and one that merely did not
// ask at that moment gets it again, or reads on where this one stops.
func (c *Consumer) takeOver(ctx context.Context, durable jetstream.Consumer) {
	info := durable.CachedInfo()
	if c.opts.Lanes != Live || info == nil || info.NumWaiting > 0 {
		return
	}
	for _, group := range info.PriorityGroups {
		if group.PinnedClientID != "" {
			c.unpin(ctx)
			return
		}
	}
}
