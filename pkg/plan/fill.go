package plan

import (
	"context"
	"fmt"
	"iter"

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
	parts, all, err := f.create(ctx, again.Ranges(), now.parts)
	now.parts = parts
	if err != nil {
		return err
	}
	f.retried = f.retried || all
	now.parts, _, err = f.create(ctx, missing.Ranges(), now.parts)
	return err
}

// mostOpen bounds the partitions that are open at the same time. More are made when some of
// them are done: what is kept and queued does not grow with the history.
const mostOpen = mostPartitions

// madeAtOnce is how many of them have to be done before more are made: few at a time cost more.
const madeAtOnce = mostOpen / 4

// create makes open partitions of ranges, as many as there may be now, and returns them
// behind those that there are, and whether it has made them of all ranges.
func (r *reconciler) create(ctx context.Context, ranges []block.Range, parts []state.Partition) (_ []state.Partition, all bool, err error) {
	room := mostOpen - count(parts, state.PartitionOpen)
	if len(ranges) == 0 || room < madeAtOnce {
		return parts, len(ranges) == 0, nil
	}
	if r.BeforeCut != nil {
		err := r.BeforeCut(ctx)
		if err != nil {
			return parts, false, err
		}
	}
	pieces, all := r.divide(ranges, room)
	parts, err = r.record(ctx, Fresh(pieces, parts), parts)
	return parts, all, err
}

// divide returns the blocks of at most so many new partitions of ranges, and whether those are
// all.
func (r *reconciler) divide(ranges []block.Range, most int) (pieces []block.Range, all bool) {
	cut := r.Cut
	if cut == nil {
		cut = func(rest block.Range) iter.Seq[block.Range] { return CutEach(rest, r.size) }
	}
	for _, rest := range ranges {
		for piece := range cut(rest) {
			if len(pieces) == most {
				return pieces, false
			}
			pieces = append(pieces, piece)
		}
	}
	return pieces, true
}

// record writes new partitions, and returns them behind those that there are. One that a
// worker has split off, or another planner has written, as fast is seen by the next round.
func (r *reconciler) record(ctx context.Context, fresh, parts []state.Partition) ([]state.Partition, error) {
	for i := range fresh {
		fresh[i].Version = r.spec.Version
	}
	revs, err := r.State.CreatePartitions(ctx, fresh)
	for i, rev := range revs {
		if rev > 0 {
			r.changes.wrote(fresh[i], rev)
			if fresh[i].State == state.PartitionOpen {
				r.queue.fresh[fresh[i].ID()] = true
			}
			parts = append(parts, fresh[i])
		}
	}
	if err != nil {
		return parts, fmt.Errorf("record partitions: %w", err)
	}
	return parts, nil
}

// queueStep queues a task for every open partition. Queueing a task
// that is there already changes nothing, so when the queue turns out to hold
// fewer tasks than there are open partitions, all are queued again.
type queueStep struct {
	*reconciler
	check  pace
	queued map[string]uint64 // open partitions whose tasks this planner has queued under this plan, with the places of new ones

	fresh     map[string]bool // partitions that this planner has made and not queued yet
	delivered uint64          // the place up to which workers have been given tasks
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
	open := make(map[string]uint64, len(q.queued))
	var fresh []string
	for _, p := range now.parts {
		if p.State != state.PartitionOpen {
			continue
		}
		id := p.ID()
		place, is := q.queued[id]
		if !is {
			fresh = append(fresh, id)
			continue
		}
		open[id] = place
	}
	q.queued = open
	places, err := q.Tasks.AddAll(ctx, queue.PartitionTask, fresh)
	for i, place := range places {
		if !q.fresh[fresh[i]] { // one that is queued again may have been begun
			place = 0
		}
		q.queued[fresh[i]] = place
		delete(q.fresh, fresh[i])
	}
	if err != nil {
		return fmt.Errorf("queue partitions: %w", err)
	}
	return nil
}

// begun returns the partitions that are open and that a worker may have begun by now: all but
// those whose first task is known to be still in the queue.
func (q *queueStep) begun(ctx context.Context, parts []state.Partition) (begun []state.Partition, err error) {
	delivered, err := q.Tasks.Delivered(ctx, queue.PartitionTask)
	if err != nil {
		return nil, fmt.Errorf("read the task queue: %w", err)
	}
	q.delivered = max(q.delivered, delivered) // it begins again when the consumer is made anew
	for _, p := range parts {
		if p.State == state.PartitionOpen && (q.queued[p.ID()] == 0 || q.queued[p.ID()] <= q.delivered) {
			begun = append(begun, p)
		}
	}
	return begun, nil
}
