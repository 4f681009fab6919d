package pipeline

import (
	"context"
	"slices"

	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/state"
)

// gatheredEntries is how many entries a sink may hold that commits many of them
// together. What is staged takes no memory any more.
const gatheredEntries = 20_000

// historyEnded reports whether a sink has received all entries of the partitions. It
// returns false if that cannot be found out.
func historyEnded(ctx context.Context, kv *queue.State, log *queue.Log, sink string) bool {
	parts, err := kv.Partitions(ctx)
	if err != nil || slices.ContainsFunc(parts, func(p queue.Stored[state.Partition]) bool { return p.Value.State == state.PartitionOpen }) {
		return false
	}
	at, err := log.Position(ctx, sink, queue.History)
	return err == nil && at.Exists && at.Pending == 0
}

// consumeOptions returns how a sink reads the log.
func consumeOptions(c config.Sink, lanes queue.Lanes) queue.ConsumeOptions {
	o := queue.ConsumeOptions{Lanes: lanes}
	if c.CommitDelay() > 0 {
		o.MaxAckPending = gatheredEntries
	}
	return o
}
