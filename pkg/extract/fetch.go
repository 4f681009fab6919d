package extract

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/state"
)

// fetch reads the blocks of r and publishes them.
func (h *partitionTask) fetch(ctx, take context.Context, r block.Range) error {
	if err := h.begin(r); err != nil {
		return err
	}
	defer h.release()
	checked, awaited := false, "the first rows"
	over := h.await(awaited, r)
	defer func() { over() }()
	for msg, err := range h.x.Source.Fetch(ctx, h.query.Wrap(h.spec.BlockColumn, r)) {
		over()
		if err != nil {
			h.trace.Failed(err)
			return errors.Join(err, h.keepWhole(ctx, checked))
		}
		if !checked {
			if err := Available(msg.Ranges, r, cmp.Or(h.x.NotYet, notYet)); err != nil {
				return err
			}
			checked = true
			h.tell(nil)
		}
		if msg.Record.NumRows() > 0 {
			awaited = "more rows"
		}
		closed, err := h.append(ctx, msg)
		if err != nil {
			return err
		}
		if closed {
			return nil // the rest was split off
		}
		if take.Err() != nil {
			return errStop
		}
		over = h.await(awaited, r)
	}
	over()
	if h.isLast(r) {
		h.reads(block.Range{})
		h.worker.ends() // the source has nothing more to do for this partition
	}
	return h.close(ctx)
}

// isLast reports whether nothing of the partition follows r.
func (h *partitionTask) isLast(r block.Range) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return r.End >= h.part.End
}

// await reports that the server is waited for if that takes long, until over is called.
func (h *partitionTask) await(what string, r block.Range) (over func()) {
	h.trace.Reads()
	shown := false
	stop := fault.Watch(fault.Long, func(since time.Duration) {
		shown = true
		h.tell(expected{fmt.Errorf("waiting %v for %s of blocks %v", since.Round(time.Second), what, r)})
	})
	return func() {
		stop()
		if shown {
			shown = false
			h.tell(nil)
		}
	}
}

// notYet is the default of [Extractor.NotYet].
const notYet = 3 * time.Second

// Available returns an error, fault.Later after pause, unless the server that gave an
// answer has every block of r. An answer carries the ranges that its tables are synced
// to, and says nothing when rows are missing because they are not there yet (AP 2).
func Available(ranges []amp.Range, r block.Range, pause time.Duration) error {
	if len(ranges) == 0 {
		return fault.Later(expected{fmt.Errorf("blocks %v: the server has no data for this query yet", r)}, pause)
	}
	for _, have := range ranges {
		if !have.Numbers.Contains(r) {
			return fault.Later(expected{fmt.Errorf("blocks %v: the server has only %v of %s", r, have.Numbers, have.Network)}, pause)
		}
	}
	return nil
}

func (h *partitionTask) begin(r block.Range) (err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.cutter, err = entry.NewCutter(entry.CutOptions{
		Range:   r,
		Column:  h.x.Column,
		Header:  entry.Header{Epoch: h.spec.Epoch, Network: h.spec.Network},
		Target:  h.x.EntryBytes,
		Encoder: h.encoder,
	})
	if err != nil {
		return fault.Permanent(err)
	}
	// The tail may have been split off between rest and here.
	h.end = min(r.End, h.part.End)
	return h.cutter.Lower(h.end)
}

func (h *partitionTask) release() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.cutter.Release()
	h.cutter = nil
}

// append cuts rows into entries and publishes those that are complete. It reports
// whether the window is closed, because its tail was split off.
func (h *partitionTask) append(ctx context.Context, msg amp.Message) (closed bool, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.trace.Cuts()
	groups, err := h.cutter.Push(msg.Record)
	msg.Release() // it would be kept as long as the log is waited for
	h.trace.Cut()
	if err != nil {
		return false, fault.Permanent(err) // about the rows: they will come again
	}
	return h.cutter.Done(), h.publish(ctx, groups)
}

// close publishes the last entry of the window, which reaches to its end.
func (h *partitionTask) close(ctx context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.trace.Cuts()
	groups, err := h.cutter.Finish()
	h.trace.Cut()
	if err != nil {
		return fault.Permanent(err)
	}
	return h.publish(ctx, groups)
}

// keepWhole publishes the blocks that had arrived completely when a stream broke.
func (h *partitionTask) keepWhole(ctx context.Context, checked bool) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !checked || ctx.Err() != nil {
		return nil
	}
	h.trace.Cuts()
	groups, err := h.cutter.Flush()
	h.trace.Cut()
	if err != nil {
		return fault.Permanent(err)
	}
	return h.publish(ctx, groups)
}

// publish appends groups to the lane, one after the other.
func (h *partitionTask) publish(ctx context.Context, groups []entry.Group) error {
	for _, group := range groups {
		first := group[0].Header
		for i := range group {
			group[i].End = h.part.End
		}
		id := fmt.Sprintf("%s/%d/%s", h.part.Lane(), first.Range.Start, h.holder)
		if h.seq == 0 && !h.open(ctx) {
			return fmt.Errorf("publish blocks %v: %w", first.Range, queue.ErrFenced)
		}
		err := h.put(ctx, h.seq, id, group)
		if errors.Is(err, queue.ErrFenced) && h.trimmed(ctx) {
			err = h.put(ctx, 0, id, group)
		}
		if err != nil {
			return fmt.Errorf("publish blocks %v: %w", first.Range, err)
		}
		h.next = first.Range.End
		for i := range group {
			e := &group[i]
			h.part.Rows += uint64(e.Rows)
			if h.x.Observer != nil {
				h.x.Observer.Published(h.part, e.Header, len(e.Payload))
			}
			h.encoder.Reuse(e)
		}
	}
	return nil
}

// trimmed reports whether the lane's messages, ours among them, have been removed
// because every sink has them: the lane then starts again from nothing.
func (h *partitionTask) trimmed(ctx context.Context) bool {
	tail, err := h.x.Log.Tail(ctx, h.part.Lane())
	return err == nil && !tail.Found && h.seq > 0 && h.open(ctx)
}

// open reports whether the partition is still open in the state. A worker that was frozen
// while others have ended the lane cannot see that in the lane once it was trimmed.
func (h *partitionTask) open(ctx context.Context) bool {
	now, _, err := h.x.State.Partition(ctx, h.id)
	return err != nil || now.State == state.PartitionOpen
}
