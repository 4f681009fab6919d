package pipeline

import (
	"context"

	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/state"
)

// gatheredEntries is how many entries a sink may hold that commits many of them
// together. What is staged takes no memory any more.
const gatheredEntries = 20_000

// historyEnd finds out whether a sink has received all entries of the partitions.
type historyEnd struct {
	kv   *queue.State
	log  *queue.Log
	sink string
	open string // a partition that was open when all were read last, so that one answers for all; empty: none
}

// reached returns false if it cannot be found out. It may not be called concurrently.
func (h *historyEnd) reached(ctx context.Context) bool {
	if h.open != "" {
		part, _, err := h.kv.Partition(ctx, h.open)
		if err == nil && part.State == state.PartitionOpen {
			return false
		}
	}
	h.open = ""
	parts, err := h.kv.Partitions(ctx)
	if err != nil {
		return false
	}
	var last *state.Partition
	for _, p := range parts {
		if p.Value.State == state.PartitionOpen && (last == nil || p.Value.Start > last.Start) {
			last = &p.Value
		}
	}
	if last != nil {
		h.open = last.ID()
		return false
	}
	at, err := h.log.Position(ctx, h.sink, queue.History)
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
