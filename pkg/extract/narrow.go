package extract

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/plan/sql"
	"github.com/ampipe/ampipe/pkg/queue"
)

// blockError names the block that cannot be read.
func blockError(n block.Number, err error) error { return fmt.Errorf("block %d: %w", n, err) }

// giveUp fails the next block of the partition, and it alone: what lies before it is in
// the log, and what lies behind it becomes another partition. The end is moved down
// first: should this process die before the others are recorded, the planner sees the
// hole and queues it. It returns an error if the block is the first of the partition,
// which then fails.
func (h *held) giveUp(ctx context.Context, cause error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	bad := block.Closed(h.next, h.next)
	tail := h.open(block.Range{Start: bad.End, End: h.part.End})
	cause = fault.Permanent(blockError(bad.Start, cause))
	first := bad.Start == h.part.Start
	end := bad.Start
	if first {
		end = bad.End
	}
	if end != h.part.End {
		if err := h.updateLocked(ctx, func(p *queue.Partition) { p.End = end }); err != nil {
			return err
		}
	}
	if !first {
		failure := h.open(bad)
		failure.State, failure.Error = queue.PartitionFailed, cause.Error()
		if err := h.record(ctx, failure); err != nil {
			return err
		}
		failed(h.x.Logger, cause).Str("partition", failure.ID()).Stringer("range", bad).Msg("partition failed")
	}
	if !tail.Range().Empty() {
		if err := h.record(ctx, tail); err != nil {
			return err
		}
	}
	if first {
		return cause
	}
	return nil
}

// open returns an open partition of the same generation.
func (h *held) open(r block.Range) queue.Partition {
	return queue.Partition{Start: r.Start, End: r.End, Generation: h.part.Generation, State: queue.PartitionOpen}
}

// record records a partition that was cut off from this one, and queues it if it is open.
// One of its name may have been there before: the planner then makes another.
func (h *held) record(ctx context.Context, p queue.Partition) error {
	_, err := h.x.State.CreatePartition(ctx, p)
	if errors.Is(err, queue.ErrConflict) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("record partition %s: %w", p.ID(), err)
	}
	if p.State != queue.PartitionOpen {
		if h.x.Observer != nil {
			h.x.Observer.Finished(p)
		}
		return nil
	}
	if _, err := h.x.Tasks.Add(ctx, queue.PartitionTask, p.ID()); err != nil {
		return fmt.Errorf("queue partition %s: %w", p.ID(), err)
	}
	return nil
}

// streamWindow is how many blocks a server sends in one go at most (AP 3.1).
const streamWindow = 1000

// Unreadable is the error for a block of the live chain whose rows cannot be computed.
// The blocks of the chain from one on wait for it.
func Unreadable(n, from block.Number, cause error) error {
	return fmt.Errorf("block %d of the live chain cannot be read, and the blocks from %d on wait: %w", n, from, cause)
}

// Fetcher is what [FirstUnreadable] needs of a [Source].
type Fetcher interface {
	Fetch(ctx context.Context, query string) iter.Seq2[amp.Message, error]
}

// FirstUnreadable looks among the first 1000 blocks of r for the first of which the
// server cannot compute a row of the query. It returns the server's reason, or nil if
// there is none; err is of another failure.
func FirstUnreadable(ctx context.Context, source Fetcher, query *sql.Query, column string, r block.Range) (n block.Number, reason, err error) {
	r.End = min(r.End, r.Start+streamWindow)
	if r.Empty() {
		return 0, nil, nil
	}
	if reason, err = uncomputed(ctx, source, query.Wrap(column, r)); reason == nil || err != nil {
		return 0, nil, err
	}
	for r.Len() > 1 { // one of them fails
		half := block.Range{Start: r.Start, End: r.Start + block.Number(r.Len()/2)}
		found, err := uncomputed(ctx, source, query.Wrap(column, half))
		switch {
		case err != nil:
			return 0, nil, err
		case found != nil:
			r, reason = half, found
		default:
			r.Start = half.End
		}
	}
	return r.Start, reason, nil
}

// uncomputed returns why the server cannot compute a row of a query; nil: it can.
func uncomputed(ctx context.Context, source Fetcher, query string) (reason, err error) {
	for _, err := range source.Fetch(ctx, query) {
		if errors.Is(err, amp.ErrRow) {
			return err, nil
		}
		if err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// explain names the block of the live chain whose rows cannot be computed, and what
// becomes of it: nothing can follow it, and the stream is asked for again until the
// block, or the server, is another one.
func (l *lane) explain(ctx context.Context, _ *block.Cursor, cause error) error {
	r := block.Range{Start: l.next, End: block.Max}
	if l.bad >= l.next { // the one that was found last comes first
		r = block.Closed(l.bad, l.bad)
	}
	find := func() (block.Number, error, error) {
		return FirstUnreadable(ctx, l.x.Source, l.x.Query, l.spec.BlockColumn, r)
	}
	n, reason, err := find()
	if err == nil && reason == nil && r.End != block.Max { // it can be computed by now
		r = block.Range{Start: l.next, End: block.Max}
		n, reason, err = find()
	}
	if err != nil || reason == nil {
		return cause // the stream is asked for again as it is
	}
	l.bad = n
	return Unreadable(n, l.next, cause)
}
