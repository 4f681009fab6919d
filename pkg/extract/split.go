package extract

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/state"
)

const (
	// splitEvery is how often a busy worker checks for idle ones.
	splitEvery = 50 * time.Millisecond

	// splitWorth is the work, by the speed since the last check, that must remain
	// for a split to pay when somebody is idle.
	splitWorth = 150 * time.Millisecond

	// splitAhead is the work that must remain for a split before anybody is: as
	// long as there is that much, the next worker that ends finds a task. A split costs
	// about half a message, which the server sends for nothing, so that it does not pay
	// where messages take long.
	splitAhead = 400 * time.Millisecond
)

// watchIdle splits off the tail of the partition whenever no work is queued and workers
// wait for it, or soon will, until stop is called. When the worker is to leave it hands over
// all that has not arrived, so that the worker soon has finished. A panic, after which the
// content of the cutter is unknown, ends the loading.
func (h *partitionTask) watchIdle(ctx context.Context, end context.CancelCauseFunc) (stop func()) {
	leave, leaves := h.leave, false
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer h.x.turns.forget(h)
		tick := time.NewTicker(splitEvery)
		defer tick.Stop()
		pace := h.newPace(time.Now())
		for {
			var give func(context.Context) error
			select {
			case <-ctx.Done():
				return
			case <-leave:
				leave, leaves = nil, true
			case <-tick.C:
				left, each := pace.remains(h, time.Now())
				give = h.balance(ctx, left, each)
			}
			if leaves {
				give = h.giveAwayRest
			}
			if give == nil {
				continue
			}
			err := fault.Catch(func() error { return give(ctx) })
			if fault.Stack(err) != "" {
				end(err)
				return
			}
			if errors.Is(err, queue.ErrFenced) {
				return // it is another worker's: the next publish says so, too
			}
			if err != nil && ctx.Err() == nil {
				h.x.Logger.Warn().Err(err).Str("partition", h.id).Msg("the tail was not given away")
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

// balance returns what to do, or nil, when so much is left and a message takes so long.
func (h *partitionTask) balance(ctx context.Context, left, each time.Duration) func(context.Context) error {
	h.x.turns.note(h, left)
	load, err := h.x.Tasks.Load(ctx, queue.PartitionTask)
	if err != nil {
		return nil
	}
	switch does := balanced(load, h.worker.next.reserved(), left, each); {
	case does == reserves:
		return h.worker.next.reserve
	case does == givesBack:
		return h.worker.next.giveBack
	case does == splits && h.x.turns.has(h, load):
		return h.split
	}
	return nil
}

// balancing is what a busy worker does about the tasks of the others, and its own next one.
type balancing int

const (
	waits     balancing = iota
	reserves            // takes its next task: there is a choice
	givesBack           // what it has taken
	splits
)

// balanced decides it: another worker needs a task when none is queued and somebody waits for
// one, or when so much is left that somebody will.
func balanced(load queue.Load, reserved bool, left, each time.Duration) balancing {
	switch {
	case load.Waiting == 0 && load.Queued > 1 && !reserved:
		return reserves
	case load.Queued > 0:
		return waits
	case load.Waiting > 0 && reserved:
		return givesBack
	case load.Waiting > 0 && left >= splitWorth:
		return splits
	case left >= splitAhead && left < unknown && each <= splitWorth && !reserved:
		return splits
	}
	return waits
}

// split leaves the second half of what is left to an idle worker.
func (h *partitionTask) split(ctx context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	left := h.leftLocked()
	if left.Len() < 2 {
		return nil
	}
	return h.giveAwayLocked(ctx, left.Start+block.Number(left.Len()+1)/2)
}

// giveAwayRest leaves everything to other workers of which no rows have arrived, except for
// the next block.
func (h *partitionTask) giveAwayRest(ctx context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	left := h.leftLocked()
	if left.Len() < 2 {
		return nil
	}
	return h.giveAwayLocked(ctx, left.Start+1)
}

// leftLocked returns the blocks that may be given away, and the one before them.
func (h *partitionTask) leftLocked() block.Range {
	left := block.Range{Start: h.next, End: h.part.End}
	if h.cutter != nil {
		left.Start = max(left.Start, h.cutter.Last()) // rows that have arrived stay
	}
	return left
}

// bound hands over what is more than a partition may have. Planned as it is, the bound was
// another then.
func (h *partitionTask) bound(ctx context.Context) error {
	if h.x.MostBlocks == nil {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	most := h.x.MostBlocks()
	left := block.Range{Start: h.next, End: h.part.End}
	if most == 0 || left.Len() <= most {
		return nil
	}
	return h.giveAwayLocked(ctx, left.Start+block.Number(most))
}

// giveAway makes the blocks from one on a partition of their own and queues it.
func (h *partitionTask) giveAway(ctx context.Context, from block.Number) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.giveAwayLocked(ctx, from)
}

// giveAwayLocked moves the end down first: should this process die before the new
// partition is recorded, the planner finds the blocks unplanned and queues them.
func (h *partitionTask) giveAwayLocked(ctx context.Context, from block.Number) error {
	// Another worker that has published since then has the partition, and may have read these
	// blocks. The record does not say so before it has finished.
	at, err := h.x.Log.Tail(ctx, h.part.Lane())
	if err != nil {
		return fmt.Errorf("read the tail of lane %s: %w", h.part.Lane(), err)
	}
	if at.Found && at.Seq > h.seq {
		return queue.ErrFenced
	}
	tail := state.Partition{
		Start: from, End: h.part.End, Generation: h.part.Generation, State: state.PartitionOpen, Version: h.part.Version,
	}
	if err := h.updateLocked(ctx, func(p *state.Partition) { p.End = from }); err != nil {
		return err
	}
	h.reads(h.part.Range())
	if h.cutter != nil {
		h.end = min(h.end, from)
		if err := h.cutter.Lower(h.end); err != nil {
			return err
		}
	}
	if err := h.create(ctx, tail); err != nil {
		return err
	}
	if _, err := h.x.Tasks.Add(ctx, queue.PartitionTask, tail.ID()); err != nil {
		return fmt.Errorf("queue partition %s: %w", tail.ID(), err)
	}
	h.x.Logger.Debug().Str("partition", h.id).Stringer("tail", tail.Range()).Msg("tail given away")
	return nil
}
