package extract

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"sync"

	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/state"
)

const (
	// mostFaults is how many single blocks a process records as failed for one query. What
	// fails more often is not the fault of single blocks, and partitions fail as a whole.
	mostFaults = 32
	// faultWorth is how many blocks that were read make up for one that failed.
	faultWorth = 1000
	// probeEach is how many failures of one block lead to another probe of whether a
	// block behind it can be read.
	probeEach = 4
)

// faults counts the blocks that were given up alone with the query of a version. It is
// safe for concurrent use.
type faults struct {
	mu      sync.Mutex
	version int
	n       int
	well    uint64 // blocks read since the last that counted
}

func (f *faults) of(version int) int { return f.count(version, 0, 0) }

func (f *faults) add(version int) int { return f.count(version, 1, 0) }

// read notes that blocks were read, which make up for earlier faults.
func (f *faults) read(version int, blocks uint64) { f.count(version, 0, blocks) }

func (f *faults) count(version, failed int, read uint64) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.version != version {
		f.version, f.n, f.well = version, 0, 0
	}
	f.n += failed
	if f.n == 0 { // nothing to make up for
		f.well = 0
		return 0
	}
	f.well += read
	f.n = max(0, f.n-int(min(f.well/faultWorth, mostFaults)))
	f.well %= faultWorth
	return f.n
}

// narrow reports whether a range that cannot be read is to be read in smaller parts, to
// find the block at fault.
func (h *partitionTask) narrow(r block.Range, err error) bool {
	if fault.Of(err) != fault.ClassPermanent || r.Len() < 2 || h.x.faults.of(h.spec.Version) >= mostFaults || ofEveryBlock(err) {
		return false
	}
	h.ask.narrow(r, r.Len()/2)
	if at, known := faultyBlock(err); known && r.Has(at) {
		h.ask.narrow(r, uint64(at-r.Start)) // everything before it, then it alone
	}
	h.x.Logger.Info().Str("partition", h.id).Stringer("range", r).Err(err).
		Uint64("blocks", h.ask.size).Msg("range cannot be read, looking for the block at fault")
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

// fail records what of the partition cannot be read: the block at fault alone, if it has
// been found, and, if its error might have passed, if a block behind it could be read; else
// everything that is not in the log. What is before it is done, and what is behind the block
// becomes a partition of its own.
func (h *partitionTask) fail(ctx context.Context, cause error) error {
	at := h.position()
	whole := h.ask.size != 1 || fault.Stack(cause) != "" || ofEveryBlock(cause) || (h.tired && h.behind() > 0)
	if !whole && h.x.faults.add(h.spec.Version) <= mostFaults && h.behind() > 0 {
		if err := h.giveAway(ctx, at+1); err != nil {
			return err
		}
	}
	if at == h.part.Start || fault.Stack(cause) != "" { // after a panic nobody knows what is in the log
		return h.finish(ctx, state.PartitionFailed, cause)
	}
	faulty := state.Partition{
		Start: at, End: h.part.End, Generation: h.part.Generation, State: state.PartitionFailed, Error: cause.Error(), Version: h.part.Version,
		Attempts: max(1, h.failures),
	}
	if err := h.update(ctx, func(p *state.Partition) { p.End = at }); err != nil {
		return err
	}
	if err := h.create(ctx, faulty); err != nil {
		return err
	}
	h.x.ended(faulty, cause)
	h.failures = 0 // they were of these blocks
	return h.finish(ctx, state.PartitionDone, nil)
}

// behind returns how many blocks of the partition follow the next.
func (h *partitionTask) behind() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return block.Range{Start: h.next + 1, End: max(h.next+1, h.part.End)}.Len()
}

// suspect bisects a range that fails with an error that may pass. Once that is one block,
// and one behind it can be read, those behind it become a partition of their own, and no
// worker waits for the block any more.
func (h *partitionTask) suspect(ctx context.Context, r block.Range, gained bool) error {
	if found := h.ask.failed(r, gained); !found {
		return nil
	}
	behind := h.behind()
	if behind == 0 {
		h.worker.detach()
	}
	look := !h.alone && h.probes%probeEach == 0
	other := r.Start - min(r.Start, 1)
	if behind > 0 { // near ones and far ones: they may fail, too
		other = r.Start + 1<<(h.probes/probeEach%bits.Len64(behind))
	}
	h.probes++
	if !look || !h.readable(ctx, other) {
		return nil
	}
	if behind > 0 {
		err := h.giveAway(ctx, r.End)
		if errors.Is(err, queue.ErrFenced) {
			return err
		}
		if err != nil { // NATS is away: the next time
			h.x.Logger.Warn().Err(err).Str("partition", h.id).Msg("the blocks behind one that fails were not given away")
			return nil
		}
		h.x.Logger.Info().Str("partition", h.id).Uint64("block", uint64(r.Start)).
			Msg("one block cannot be read for now, the blocks behind it are read without it")
		h.worker.detach()
	}
	h.alone = true
	return nil
}

// readable reports whether a block can be read, now.
func (h *partitionTask) readable(ctx context.Context, n block.Number) bool {
	for _, err := range h.x.Source.Fetch(ctx, h.query.Wrap(h.x.Spec.BlockColumn, block.Closed(n, n))) {
		if err != nil {
			return false
		}
	}
	return true
}

// create records a partition. If there is one of that name, the planner plans the blocks.
func (h *partitionTask) create(ctx context.Context, p state.Partition) error {
	if _, err := h.x.State.CreatePartition(ctx, p); err != nil && !errors.Is(err, queue.ErrConflict) {
		return fmt.Errorf("record partition %s: %w", p.ID(), err)
	}
	return nil
}
