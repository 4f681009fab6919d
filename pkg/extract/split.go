package extract

import (
	"context"
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
	// long as there is that much, the next worker that ends finds a task.
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
		tick := time.NewTicker(splitEvery)
		defer tick.Stop()
		pace := pace{at: h.position(), since: time.Now()}
		for {
			give := h.split
			select {
			case <-ctx.Done():
				return
			case <-leave:
				leave, leaves = nil, true
			case <-tick.C:
				left := pace.remains(h, time.Now())
				if !leaves && (left < splitWorth || !h.x.shouldSplit(ctx, left)) {
					continue
				}
			}
			if leaves {
				give = h.giveAwayRest
			}
			err := fault.Catch(func() error { return give(ctx) })
			if fault.Stack(err) != "" {
				end(err)
				return
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

// shouldSplit reports whether another worker needs a task: none is queued, and somebody
// waits for one or so much is left that somebody will.
func (x *Extractor) shouldSplit(ctx context.Context, left time.Duration) bool {
	load, err := x.Tasks.Load(ctx, queue.PartitionTask)
	return err == nil && load.Queued == 0 && (load.Waiting > 0 || left >= splitAhead)
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

// pace estimates how long a partition still takes from the blocks gained since
// the last check.
type pace struct {
	at    block.Number
	since time.Time
}

func (p *pace) remains(h *partitionTask, now time.Time) time.Duration {
	h.mu.Lock()
	next, end := h.next, h.part.End
	if h.cutter != nil {
		next = max(next, h.cutter.Last())
	}
	h.mu.Unlock()
	gained, took := next-p.at, now.Sub(p.since)
	p.at, p.since = next, now
	if end <= next+1 { // a block is read by one worker
		return 0
	}
	if gained == 0 {
		return time.Hour // the first rows may be long in coming
	}
	return time.Duration(float64(took) * float64(end-next) / float64(gained))
}
