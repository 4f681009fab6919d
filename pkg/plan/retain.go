package plan

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ampipe/ampipe/pkg/queue"
)

// trimEvery is how many looks pass between two trims.
const trimEvery = 8

// trim removes from the log what every sink has committed. Entries younger than
// the replay window stay, unless the log is getting full: a window that stopped
// the pipeline would be worth less than the pipeline.
func (w *watcher) trim(ctx context.Context, s Status) error {
	if w.looks%trimEvery != 0 {
		return nil
	}
	log, err := w.Log.State(ctx)
	if err != nil {
		return fmt.Errorf("read the state of the log: %w", err)
	}
	upto := log.Last
	for _, sink := range s.Sinks {
		if !sink.Position.Exists {
			return nil
		}
		upto = min(upto, sink.Position.AckFloor)
		if !w.spec.Follows() {
			continue
		}
		if !sink.Live.Exists {
			return nil
		}
		upto = min(upto, sink.Live.AckFloor)
	}
	if w.spec.Follows() {
		// Whoever writes the live lane next needs the watermark that closed it last.
		position, _, err := w.State.LivePosition(ctx)
		if errors.Is(err, queue.ErrNotFound) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the position of the live lane: %w", err)
		}
		upto = min(upto, max(position.Seq, 1)-1)
	}
	if crowded := log.Bytes > uint64(log.MaxBytes)/2; !crowded {
		if upto, err = w.Log.OlderThan(ctx, time.Now().Add(-w.Config.Log.Replay), upto); err != nil {
			return fmt.Errorf("find the replay window: %w", err)
		}
	}
	if upto < log.First {
		return nil
	}
	switch err := w.copyPositions(ctx, s.Partitions, upto); {
	case errors.Is(err, queue.ErrConflict):
		return nil // a worker is at its record this moment; the next trim is soon
	case err != nil:
		return err
	}
	return w.Log.Trim(ctx, upto)
}

// copyPositions writes down how far the lanes have come whose last message is
// about to be removed: a worker could not find it in the log any more.
func (w *watcher) copyPositions(ctx context.Context, parts []queue.Partition, upto uint64) error {
	for _, p := range parts {
		if p.State != queue.PartitionOpen {
			continue
		}
		tail, err := w.Log.Tail(ctx, p.Lane())
		if err != nil {
			return fmt.Errorf("read the tail of lane %s: %w", p.Lane(), err)
		}
		if !tail.Found || tail.Seq > upto {
			continue
		}
		now, rev, err := w.State.Partition(ctx, p.ID())
		if err != nil {
			return fmt.Errorf("read partition %s: %w", p.ID(), err)
		}
		now.Next = tail.Entry.Range.End
		if _, err := w.State.UpdatePartition(ctx, now, rev); err != nil {
			return fmt.Errorf("copy the position of partition %s: %w", p.ID(), err)
		}
	}
	return nil
}
