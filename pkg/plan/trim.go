package plan

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/state"
)

// LogStatus is the log's part of a [Status].
type LogStatus struct {
	Bytes    uint64
	MaxBytes uint64 // 0: not read yet
	Entries  uint64
	Slowest  string // the sink that holds the most of it
	Unread   uint64 // entries that this sink has still to apply
}

// replaySlack is the part of the replay window that entries stay longer than it, at most. To
// find its end, old messages are read, and the server loads the whole file that one is in: in
// a pipeline that follows the chain the window passes an entry with each block.
const replaySlack = 64

// trimStep removes from the log what every sink has committed. Entries younger than
// the replay window stay, unless the log is getting full: the pipeline matters
// more than the window. Nor does a sink that has stopped for good, or that a person has
// paused, keep entries in a log that is getting full while others still run: what it lacks
// is read again when it is back.
type trimStep struct {
	*reconciler
	pace   pace
	status LogStatus // as of the last trim
}

func (t *trimStep) run(ctx context.Context, now *round) (err error) {
	if t.pace.due(now.began) {
		err = t.trimLog(ctx, now)
	}
	now.Log = t.status
	return err
}

func (t *trimStep) trimLog(ctx context.Context, now *round) error {
	log := now.log
	crowded := isCrowded(log)
	holding := now.Sinks
	if others := running(now.Sinks); crowded && len(others) > 0 {
		holding = others
	}
	t.status = logStatus(log, holding, t.spec.Follows())
	history, live, err := t.committed(ctx, now, holding)
	if err != nil {
		return err
	}
	upto := min(history, live)
	if !crowded {
		window, passed := replayWindow(t.Config.Log.Replay, time.Now(), log.Oldest)
		if !passed {
			return nil
		}
		if upto, err = t.Log.OlderThan(ctx, window, upto); err != nil {
			return fmt.Errorf("find the replay window: %w", err)
		}
		history = upto
	}
	if max(upto, history) < log.First {
		return nil
	}
	switch err := t.copyPositions(ctx, now.parts, max(upto, history)); {
	case errors.Is(err, queue.ErrConflict):
		return nil // a worker is at its record this moment; the next trim is soon
	case err != nil:
		return err
	}
	if upto >= log.First {
		if err := t.Log.Trim(ctx, upto); err != nil {
			return err
		}
	}
	if history <= upto {
		return nil
	}
	// The live lane's last watermark stays, however old it is. It must not keep the
	// partitions' entries behind it.
	return t.Log.TrimLanes(ctx, queue.History, history)
}

// replayWindow returns when the window began, and reports whether the oldest entry is older than
// it by enough to look for those that are to be removed.
func replayWindow(replay time.Duration, now, oldest time.Time) (began time.Time, passed bool) {
	began = now.Add(-replay)
	return began, oldest.Before(began.Add(-replay / replaySlack))
}

// isCrowded reports whether the log is more than half full.
func isCrowded(log queue.LogState) bool { return log.Bytes > uint64(log.MaxBytes)/2 }

// running returns the sinks that have not stopped for good and were not paused by a person.
func running(sinks []SinkStatus) []SinkStatus {
	return slices.DeleteFunc(slices.Clone(sinks), func(s SinkStatus) bool { return s.Stopped != "" || s.Paused })
}

// logStatus returns how full the log is, and which of the sinks holds the most of it:
// all of it, if the sink has never read one of the lanes that it is to read.
func logStatus(log queue.LogState, sinks []SinkStatus, follows bool) LogStatus {
	status := LogStatus{Bytes: log.Bytes, MaxBytes: uint64(log.MaxBytes), Entries: log.Messages}
	for _, sink := range sinks {
		unread := sink.Position.Unread() + sink.Live.Unread()
		if !sink.Position.Exists || (follows && !sink.Live.Exists && !sink.Report.Live.Started) {
			unread = log.Messages
		}
		if status.Slowest == "" || unread > status.Unread {
			status.Slowest, status.Unread = sink.Name, unread
		}
	}
	return status
}

// committed returns the last sequences of the partitions' lanes and of the live lane
// up to which all these sinks have everything, and nobody needs anything.
func (t *trimStep) committed(ctx context.Context, now *round, sinks []SinkStatus) (history, live uint64, err error) {
	log := now.log
	history, live = log.Last, log.Last
	for _, sink := range sinks {
		if !sink.Position.Exists {
			return 0, 0, nil
		}
		history = min(history, sink.Position.AckFloor)
		if !t.spec.Follows() {
			continue
		}
		// What it has not reported yet stays: it would look as if it lacked what was
		// trimmed, and an epoch would begin for nothing. The report is also what is known
		// while there is no position: see [queue.Log.Consume].
		switch mark := sink.Report.Live; {
		case mark.Started && mark.Epoch == t.spec.Epoch:
			live = min(live, mark.Seq)
		case !sink.Live.Exists:
			return 0, 0, nil
		case mark.Started:
			live = 0
		}
		if sink.Live.Exists {
			live = min(live, sink.Live.AckFloor)
		}
	}
	if !t.spec.Follows() {
		return history, live, nil
	}
	// Whoever writes the live lane next needs the watermark that closed it last.
	if now.position == nil {
		position, _, err := t.State.LivePosition(ctx)
		switch {
		case errors.Is(err, queue.ErrNotFound):
			return history, 0, nil
		case err != nil:
			return 0, 0, fmt.Errorf("read the position of the live lane: %w", err)
		}
		now.position = &position
	}
	keep := now.position.Seq
	if full := uint64(log.MaxBytes) / 10 * 9; log.Bytes > full {
		// A range that is larger than the log would never be closed. Only its last
		// entry fences the lane; if its writer dies, an epoch begins.
		tail, err := t.Log.Tail(ctx, queue.LiveLane)
		if err != nil {
			return 0, 0, err
		}
		keep = max(keep, tail.Seq)
	}
	return history, min(live, max(keep, 1)-1), nil
}

// copyPositions records how far the lanes have come whose last message is about to be
// removed: a worker could not find it in the log any more. What a partition has that is begun
// only now is not.
func (t *trimStep) copyPositions(ctx context.Context, parts []state.Partition, upto uint64) error {
	begun, err := t.queue.begun(ctx, parts)
	if err != nil {
		return err
	}
	for _, p := range begun {
		tail, err := t.Log.Tail(ctx, p.Lane())
		if err != nil {
			return fmt.Errorf("read the tail of lane %s: %w", p.Lane(), err)
		}
		if !tail.Found || tail.Seq > upto || tail.Damaged != nil {
			continue // a damaged one does not say how far the lane has come
		}
		now, rev, err := t.State.Partition(ctx, p.ID())
		if err != nil {
			return fmt.Errorf("read partition %s: %w", p.ID(), err)
		}
		now.Next = tail.Entry.After()
		rev, err = t.State.UpdatePartition(ctx, now, rev)
		if err != nil {
			return fmt.Errorf("copy the position of partition %s: %w", p.ID(), err)
		}
		t.changes.wrote(now, rev)
	}
	return nil
}
