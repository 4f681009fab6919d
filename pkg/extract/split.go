package extract

import (
	"context"
	"fmt"
	"sync"
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

// pace estimates how long a partition still takes, from what has arrived of it.
type pace struct {
	from     block.Number // where it began
	began    time.Time
	at       block.Number // up to which rows have arrived
	arrived  time.Time    // when they were seen
	messages int          // that brought them, or more that were seen at once
}

func (h *partitionTask) newPace(now time.Time) pace {
	at := h.position()
	return pace{from: at, began: now, at: at, arrived: now}
}

// unknown is the time that a partition takes of which it is not known: it may be long.
const unknown = time.Hour

// remains returns how much is left, and how long a message takes. Nothing is left if another
// worker would bring nothing earlier: one block is read by one worker, and what the server
// sends at this moment comes to this one in any case.
func (p *pace) remains(h *partitionTask, now time.Time) (left, each time.Duration) {
	h.mu.Lock()
	at, end := h.next, h.part.End
	if h.cutter != nil {
		at = max(at, h.cutter.Last())
	}
	h.mu.Unlock()
	if at > p.at {
		p.at, p.arrived = at, now
		p.messages++
		if p.messages == 1 {
			h.x.first.note(now.Sub(p.began))
		}
	}
	since := now.Sub(p.arrived)
	switch {
	case end <= at+1:
		return 0, 0
	case p.messages == 0 && h.x.first.soon(since):
		return 0, 0
	case p.messages == 0:
		return unknown, 0
	}
	took, gained, blocks := p.arrived.Sub(p.began), p.at-p.from, end-at
	each = took / time.Duration(p.messages)
	switch {
	case since > 2*each: // it has become slower
		return unknown, each
	case blocks <= gained/block.Number(p.messages):
		return 0, each
	}
	return max(0, time.Duration(float64(took)*float64(blocks)/float64(gained))-since), each
}

// firstRows is how long the first rows of partitions have been in coming. It is safe for
// concurrent use.
type firstRows struct {
	mu      sync.Mutex
	longest time.Duration // of the last ones; 0: none have come
}

func (f *firstRows) note(took time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.longest = max(took, f.longest-(f.longest-took)/8)
}

// soon reports whether rows that have been awaited for so long are not late. Blocks are not
// alike: the mean of the others says less than the longest.
func (f *firstRows) soon(awaited time.Duration) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return awaited < 2*f.longest
}

// turns decides which workers of a process split when somebody is idle: those that have the
// most left. If all did at once, most would break off an answer for nobody. It is safe for
// concurrent use.
type turns struct {
	mu   sync.Mutex
	left map[*partitionTask]time.Duration
}

func newTurns() *turns { return &turns{left: map[*partitionTask]time.Duration{}} }

// note remembers how much a worker has left.
func (t *turns) note(h *partitionTask, left time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.left[h] = left
}

// forget removes a worker that has ended.
func (t *turns) forget(h *partitionTask) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.left, h)
}

// has reports whether it is this worker's turn: one for each that waits, and of several
// processes each has its part of them, but one at least.
func (t *turns) has(h *partitionTask, load queue.Load) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	own := len(t.left)
	turns, before := max(1, load.Waiting*own/max(load.Held, own, 1)), 0
	for other, left := range t.left {
		if left > t.left[h] || left == t.left[h] && other.id < h.id {
			before++
		}
	}
	return before < turns
}
