package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ampipe/ampipe/pkg/fault"
)

// Reclaim takes back what workers hold, without waiting until they are known to be
// dead. It is for a process whose embedded server has just started: the workers that
// had tasks ended with the server before.
func (t *Tasks) Reclaim(ctx context.Context) error {
	for _, kind := range []string{PartitionTask, LiveTask} {
		// Only the stream, which stays, has the list of tasks.
		p, err := t.puller(kind)
		if err != nil {
			return err
		}
		err = t.conn.js.DeleteConsumer(ctx, taskStream, kind+"-"+t.pipeline)
		p.invalidate()
		if err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
			return t.fail(ctx, fmt.Errorf("take back the %s tasks: %w", kind, err))
		}
	}
	return nil
}

// takeOver lets this process have the live lane at once if no process of the sink asks
// for it, though the server keeps it for one that was killed. If it
// fails, the server assigns the lane a few seconds later; and one that merely did not
// ask at that moment gets it again, or reads on where this one stops.
func (c *Consumer) takeOver(ctx context.Context, durable jetstream.Consumer) {
	if c.opts.Lanes != Live {
		return
	}
	info := durable.CachedInfo()
	for range 3 { // the server may not have noticed yet that the other's connection is gone
		if info == nil || !pinned(info) {
			return
		}
		if info.NumWaiting == 0 {
			c.unpin(ctx)
			return
		}
		if fault.Sleep(ctx, 200*time.Millisecond) != nil {
			return
		}
		asked, cancel := context.WithTimeout(ctx, closeDeadline)
		info, _ = durable.Info(asked) // nil if it cannot be had
		cancel()
	}
}

// pinned reports whether the server keeps the live lane for a process.
func pinned(info *jetstream.ConsumerInfo) bool {
	return slices.ContainsFunc(info.PriorityGroups, func(g jetstream.PriorityGroupState) bool { return g.PinnedClientID != "" })
}
