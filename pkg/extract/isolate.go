package extract

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/queue"
)

const (
	// mostFaults is how many single blocks a process records as failed for one query. What
	// fails more often is not the fault of single blocks, and partitions fail as a whole.
	mostFaults = 32
	// narrowAfter is how many failures in a row, of a kind that may pass, lead to a
	// smaller range.
	narrowAfter = 4
)

// faults counts the blocks that were given up alone with the query of a version. It is
// safe for concurrent use.
type faults struct {
	mu         sync.Mutex
	version, n int
}

func (f *faults) of(version int) int { return f.count(version, 0) }

func (f *faults) add(version int) int { return f.count(version, 1) }

func (f *faults) count(version, more int) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.version != version {
		f.version, f.n = version, 0
	}
	f.n += more
	return f.n
}

// narrow reports whether a range that cannot be read is to be read in smaller parts, to
// find the block at fault.
func (h *held) narrow(r block.Range, err error) bool {
	if fault.Of(err) != fault.ClassPermanent || r.Len() < 2 || h.x.faults.of(h.spec.Version) >= mostFaults || ofEveryBlock(err) {
		return false
	}
	h.window = r.Len() / 2
	if at, known := faultyBlock(err); known && r.Has(at) {
		h.window = max(1, uint64(at-r.Start)) // everything before it, then it alone
	}
	h.x.Logger.Info().Str("partition", h.id).Stringer("range", r).Err(err).
		Uint64("blocks", h.window).Msg("range cannot be read, looking for the block at fault")
	return true
}

// ofEveryBlock reports whether an error is about the query, the rights or the server, so
// that no block is without it.
func ofEveryBlock(err error) bool {
	refused, is := errors.AsType[*amp.Error](err)
	_, disordered := errors.AsType[*entry.OrderError](err)
	if is && !errors.Is(refused, amp.ErrMessageSize) && !errors.Is(refused, amp.ErrRow) {
		return true
	}
	return disordered || errors.Is(err, entry.ErrBlockColumn)
}

// faultyBlock returns the block that an error names.
func faultyBlock(err error) (block.Number, bool) {
	if e, is := errors.AsType[*queue.BlockTooLargeError](err); is {
		return e.Block, true
	}
	if e, is := errors.AsType[*entry.RowTooLargeError](err); is {
		return e.Block, true
	}
	return 0, false
}

// fail records that the partition cannot be read: the block at fault alone, if it has
// been found, and, if its error might have passed, if the block behind it can be read.
// What is before it is in the log, and what is behind it becomes a partition
// of its own. As with a tail that another worker takes, the end is moved down first: should this
// process die meanwhile, the planner sees the hole and queues it.
func (h *held) fail(ctx context.Context, cause error) error {
	if h.window != 1 || fault.Stack(cause) != "" || ofEveryBlock(cause) || h.x.faults.add(h.spec.Version) > mostFaults {
		return h.finish(ctx, queue.PartitionFailed, cause)
	}
	h.mu.Lock()
	at, end := h.next, h.part.End
	h.mu.Unlock()
	if h.tired && at+1 < end && !h.readable(ctx, at+1) {
		return h.finish(ctx, queue.PartitionFailed, cause) // it is not this block's fault
	}
	first := at == h.part.Start // then the partition itself is what fails
	if first && at+1 >= end {
		return h.finish(ctx, queue.PartitionFailed, cause)
	}
	err := h.update(ctx, func(p *queue.Partition) {
		p.End = at
		if first {
			p.End = at + 1
		}
	})
	if err != nil {
		return err
	}
	if tail := (queue.Partition{Start: at + 1, End: end, Generation: h.part.Generation, State: queue.PartitionOpen, Version: h.part.Version}); tail.Start < end {
		if err := h.create(ctx, tail); err != nil {
			return err
		}
		if _, err := h.x.Tasks.Add(ctx, queue.PartitionTask, tail.ID()); err != nil {
			return fmt.Errorf("queue partition %s: %w", tail.ID(), err)
		}
	}
	if first {
		return h.finish(ctx, queue.PartitionFailed, cause)
	}
	faulty := queue.Partition{
		Start: at, End: at + 1, Generation: h.part.Generation, State: queue.PartitionFailed, Error: cause.Error(), Version: h.part.Version,
	}
	if err := h.create(ctx, faulty); err != nil {
		return err
	}
	if h.x.Observer != nil {
		h.x.Observer.Finished(faulty)
	}
	return h.finish(ctx, queue.PartitionDone, nil)
}

// readable reports whether a block can be read, now.
func (h *held) readable(ctx context.Context, n block.Number) bool {
	for _, err := range h.x.Source.Fetch(ctx, h.query.Wrap(h.x.Spec.BlockColumn, block.Closed(n, n))) {
		if err != nil {
			return false
		}
	}
	return true
}

// create records a partition. If there is one of that name, the planner fills the hole.
func (h *held) create(ctx context.Context, p queue.Partition) error {
	if _, err := h.x.State.CreatePartition(ctx, p); err != nil && !errors.Is(err, queue.ErrConflict) {
		return fmt.Errorf("record partition %s: %w", p.ID(), err)
	}
	return nil
}
