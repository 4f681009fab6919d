package extract

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/sqlcheck"
	"github.com/ampipe/ampipe/pkg/state"
)

// partitionTask is a partition that a worker has claimed.
type partitionTask struct {
	publisher // its seq and waits are guarded by mu
	spec      state.Spec
	query     *sqlcheck.Query
	id        string // of the partition; part changes while others name it
	encoder   *entry.Encoder
	holder    string // names this claim in message ids

	// Only load touches these.
	ask    narrowing
	tired  bool // load ended with an error that might have passed
	probes int  // failures of one block, some of which lead to a probe of another
	alone  bool // the next block fails though others can be read, and is the last of the partition
	worker frees

	leave <-chan struct{} // closed when the worker is to leave: there are fewer now

	began    time.Time
	failures int // attempts of load that failed

	// mu is held while rows are cut and published and while the tail is split off, so
	// that no block is both published and another's.
	mu     sync.Mutex
	part   state.Partition
	rev    uint64        // of part in the state
	next   block.Number  // the first block that is not in the log
	ended  bool          // the lane's last message says that nothing follows
	cutter *entry.Cutter // of the window being read, or nil
	end    block.Number  // of the cutter, which may be below that of the partition
}

// claim reads how far the partition is: its record, and the tail of its lane,
// which is the truth about what is in the log.
func (x *Extractor) claim(ctx context.Context, id string) (*partitionTask, error) {
	part, rev, err := x.State.Partition(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("read partition %s: %w", id, err)
	}
	spec, query, err := x.plan(ctx)
	if err != nil {
		return nil, err
	}
	h := &partitionTask{
		publisher: publisher{x: x, lane: part.Lane(), name: "partition " + part.ID(), trace: x.Tracer.Lane(part.Lane(), false)},
		spec:      spec, query: query, id: part.ID(), part: part, rev: rev, next: max(part.Start, part.Next),
		holder: rand.Text(), began: time.Now(),
	}
	tail, err := x.Log.Tail(ctx, part.Lane())
	if err != nil {
		return nil, fmt.Errorf("read the tail of lane %s: %w", part.Lane(), err)
	}
	h.seq = tail.Seq
	if entry.Newer(tail.Damaged) {
		return nil, fault.Permanent(fmt.Errorf("read the tail of lane %s: %w", part.Lane(), tail.Damaged))
	}
	for tail.Damaged != nil && tail.After > 0 { // its blocks are read again, behind it
		if tail, err = x.Log.At(ctx, tail.After); err != nil {
			return nil, fmt.Errorf("read lane %s back: %w", part.Lane(), err)
		}
	}
	if tail.Found && tail.Damaged == nil && tail.Lane == part.Lane() {
		h.ended = tail.Entry.Kind == entry.Ended && tail.Seq == h.seq
		h.next = max(h.next, tail.Entry.After())
	}
	return h, nil
}

// encoder returns an encoder that no other partition uses, which the caller returns to
// the pool.
func (x *Extractor) encoder() (*entry.Encoder, error) {
	if e, ok := x.encoders.Get().(*entry.Encoder); ok {
		return e, nil
	}
	e, err := entry.NewEncoder(x.Schema, x.Codec, x.EntryLimit)
	if err == nil {
		e.Share(x.buffers)
	}
	return e, err
}

// reads notifies the observer of the blocks that are being read, or that none are.
func (h *partitionTask) reads(blocks block.Range) {
	if h.x.Observer != nil {
		h.x.Observer.Reading(h.holder, blocks)
	}
}

// load appends what is missing of the partition to its lane. It gives up only when nothing
// is gained: a source may drop the connection again and again if it delivers something
// each time.
func (h *partitionTask) load(ctx, take context.Context) error {
	defer h.tell(nil)
	h.ask.retrier.Backoff = h.x.Backoff
	for gained := h.position(); ; {
		r := h.rest()
		if r.Empty() {
			return nil
		}
		err := h.fetch(ctx, take, r)
		if errors.Is(err, amp.ErrRow) { // as long as the block is what it is
			err = fault.Permanent(err)
		}
		before := gained
		if gained = h.position(); gained > before {
			h.ask.retrier.Progress()
			h.x.faults.read(h.spec.Version, uint64(gained-before))
		}
		switch {
		case err == nil:
			h.ask.passed(gained)
			continue
		case errors.Is(err, errStop), errors.Is(err, queue.ErrFenced), ctx.Err() != nil:
			return err
		case errors.Is(err, amp.ErrTooMuch) && r.Len() > 1:
			h.ask.size = r.Len() / 2
			h.x.Logger.Info().Str("partition", h.id).Stringer("range", r).
				Uint64("blocks", h.ask.size).Msg("range is too much for the server, asking for less")
			continue
		case h.narrow(r, err):
			continue
		}
		if h.alone && errors.Is(err, amp.ErrTooMuch) { // the server answers, for other blocks
			err = fault.Again(err)
		}
		pause, end := h.ask.retrier.Pause(err)
		h.failures++
		if end != nil {
			h.tired = fault.Of(err) != fault.ClassPermanent
			return end
		}
		h.tell(err)
		if fault.Of(err) == fault.ClassAgain || errors.Is(err, amp.ErrTooMuch) {
			if err := h.suspect(ctx, r, gained > before); err != nil {
				return err
			}
		}
		if !pauses(ctx, take, h.leave, pause) {
			return errStop
		}
	}
}

// pauses waits for d, and reports whether neither context has ended meanwhile, and leave was
// not closed.
func pauses(ctx, take context.Context, leave <-chan struct{}, d time.Duration) bool {
	both, stop := untilLeft(ctx, leave)
	defer stop()
	defer context.AfterFunc(take, stop)()
	return fault.Sleep(both, d) == nil
}

// rest returns the next range to ask for.
func (h *partitionTask) rest() block.Range {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.ask.of(block.Range{Start: h.next, End: h.part.End})
}

func (h *partitionTask) position() block.Number {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.next
}

// finish records how the partition ended.
func (h *partitionTask) finish(ctx context.Context, as state.PartitionState, cause error) error {
	err := h.update(ctx, func(p *state.Partition) {
		p.State = as
		if cause != nil {
			p.Error = cause.Error()
		}
		p.Attempts += max(1, h.failures)
		if as == state.PartitionDone && h.failures > 0 {
			p.Attempts++
		}
		p.Seconds += time.Since(h.began).Seconds()
	})
	if err == nil {
		h.x.ended(h.part, cause)
	}
	return err
}

// update changes the partition's record by compare-and-set. The planner also
// writes to it (Next), so a lost race is repeated on the record as it is now.
func (h *partitionTask) update(ctx context.Context, change func(*state.Partition)) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.updateLocked(ctx, change)
}

func (h *partitionTask) updateLocked(ctx context.Context, change func(*state.Partition)) error {
	for {
		next := h.part
		change(&next)
		rev, err := h.x.State.UpdatePartition(ctx, next, h.rev)
		if err == nil {
			h.part, h.rev = next, rev
			return nil
		}
		if !errors.Is(err, queue.ErrConflict) {
			return fmt.Errorf("update partition %s: %w", h.id, err)
		}
		now, rev, err := h.x.State.Partition(ctx, h.id)
		if err != nil {
			return fmt.Errorf("read partition %s: %w", h.id, err)
		}
		if now.State != state.PartitionOpen || now.End != h.part.End {
			return queue.ErrFenced // only a holder changes these
		}
		now.Rows = h.part.Rows
		h.part, h.rev = now, rev
	}
}
