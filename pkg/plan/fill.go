package plan

import (
	"context"
	"errors"
	"fmt"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/state"
)

// fillStep makes partitions for blocks that have none, and, once, for blocks that
// were given up, if that is wanted. Blocks that have just become unplanned may be a tail
// that a worker is splitting off this moment; they are planned if they still are in the
// next round.
type fillStep struct {
	*reconciler
	begun     bool      // a round has filled
	retried   bool      // failed partitions have been queued again
	unplanned block.Set // blocks without a partition in the last round, under the same plan
}

func (f *fillStep) run(ctx context.Context, now *round) error {
	unplanned := block.NewSet(Unplanned(f.spec.History, now.parts)...)
	missing := unplanned
	if f.begun {
		missing = intersect(f.unplanned, unplanned)
	}
	f.begun, f.unplanned = true, unplanned
	again := failedBefore(now.parts, f.spec.Version) // a mended query is tried with what the one before it could not read
	if f.Retry && !f.retried {
		again = Failed(now.parts)
	}
	parts, err := f.create(ctx, append(missing.Ranges(), again.Ranges()...), now.parts)
	now.parts = parts
	f.retried = f.retried || err == nil
	return err
}

// create makes open partitions of ranges, and returns them behind those that there are.
func (r *reconciler) create(ctx context.Context, ranges []block.Range, parts []state.Partition) ([]state.Partition, error) {
	var pieces []block.Range
	size := r.size
	if r.Size != nil {
		size = r.Size()
	}
	for _, whole := range ranges {
		pieces = append(pieces, Cut(whole, size)...)
	}
	return r.record(ctx, Fresh(pieces, parts), parts)
}

// record writes new partitions, and returns them behind those that there are.
func (r *reconciler) record(ctx context.Context, fresh, parts []state.Partition) ([]state.Partition, error) {
	for _, p := range fresh {
		p.Version = r.spec.Version
		rev, err := r.State.CreatePartition(ctx, p)
		if errors.Is(err, queue.ErrConflict) {
			continue // a worker that split it off, or another planner, was as fast; the next round sees it
		}
		if err != nil {
			return parts, fmt.Errorf("record partition %s: %w", p.ID(), err)
		}
		r.changes.wrote(rev)
		parts = append(parts, p)
	}
	return parts, nil
}

// queueStep queues a task for every open partition. Queueing a task
// that is there already changes nothing, so when the queue turns out to hold
// fewer tasks than there are open partitions, all are queued again.
type queueStep struct {
	*reconciler
	check  pace
	queued map[string]bool // open partitions whose tasks this planner has seen queued under this plan
}

func (q *queueStep) run(ctx context.Context, now *round) error {
	if q.check.due(now.began) {
		load, err := q.Tasks.Load(ctx, queue.PartitionTask)
		if err != nil {
			return fmt.Errorf("read the task queue: %w", err)
		}
		if load.Queued+load.Held < count(now.parts, state.PartitionOpen) {
			clear(q.queued)
		}
	}
	for _, p := range now.parts {
		if p.State != state.PartitionOpen {
			delete(q.queued, p.ID())
			continue
		}
		if q.queued[p.ID()] {
			continue
		}
		if _, err := q.Tasks.Add(ctx, queue.PartitionTask, p.ID()); err != nil {
			return fmt.Errorf("queue partition %s: %w", p.ID(), err)
		}
		q.queued[p.ID()] = true
	}
	return nil
}
