package plan

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/queue"
)

// LiveStatus is the live lane's part of a [Status].
type LiveStatus struct {
	Follows bool
	Start   block.Number // first block of the lane
	Next    block.Number // first block that is not complete in it
	Reorgs  uint64
	Waits   string // what it waits for before it can begin; empty: nothing
}

const (
	// liveEvery is how many looks pass between two looks at the live lane.
	liveEvery = 4
	// reportPatience is how long the live lane waits for every sink to tell how far it
	// is, before it is begun without: a sink that is ahead of the log would skip entries.
	reportPatience = 5 * time.Second
)

// lookAtLive sees to it that the live lane has its task as soon as it may begin, and
// that it begins again, in a new epoch, when a sink cannot go on with it.
func (w *watcher) lookAtLive(ctx context.Context, s *Status) error {
	s.Live = w.live
	if !w.spec.Follows() {
		return nil
	}
	if w.looks%liveEvery != 1 {
		return nil
	}
	position, _, err := w.State.LivePosition(ctx)
	if err != nil && !errors.Is(err, queue.ErrNotFound) {
		return fmt.Errorf("read the position of the live lane: %w", err)
	}
	w.live = LiveStatus{Follows: true, Start: w.spec.Live.Start, Next: max(position.Next, w.spec.Live.Start), Reorgs: position.Reorgs}
	defer func() { s.Live = w.live }()

	if position.Phase == queue.LiveFailed && position.Epoch == w.spec.Epoch && w.followed {
		return fault.Permanent(fmt.Errorf("the chain cannot be followed: %s", position.Error))
	}
	w.unbegun = position.Epoch == 0
	if w.live.Waits, err = w.notYet(ctx, s); err != nil || w.live.Waits != "" {
		return err
	}
	reason, err := w.astray(ctx, position, s.Sinks)
	if err != nil {
		return err
	}
	if reason != "" {
		w.Logger.Warn().Msg(reason + "; the live lane begins again from what every sink has")
		return w.newEpoch(ctx, position, s.Sinks)
	}
	if position.Phase == queue.LiveDone && position.Epoch == w.spec.Epoch && sameEnd(position.Until, w.spec.MaxBlock) {
		return nil
	}
	if position.Phase == queue.LiveFailed || position.Phase == queue.LiveDone {
		position.Phase = queue.LiveRunning // a new run tries again
		if err := w.State.PutLivePosition(ctx, position); err != nil {
			return fmt.Errorf("begin the live lane again: %w", err)
		}
	}
	w.followed = true
	if _, err := w.Tasks.Add(ctx, queue.LiveTask, "chain"); err != nil {
		return fmt.Errorf("queue the live task: %w", err)
	}
	return nil
}

func sameEnd(a, b *block.Number) bool { return a != nil && b != nil && *a == *b }

// notYet tells why the live lane cannot begin; empty: it can.
func (w *watcher) notYet(ctx context.Context, s *Status) (string, error) {
	if w.Config.Live.Start == config.AfterBackfill && !w.followed {
		for _, sink := range s.Sinks {
			if !w.gone(sink.Name) && !w.holds(sink, s) {
				return fmt.Sprintf("sink %s does not have the whole history yet", sink.Name), nil
			}
		}
		if moved, err := w.catchUp(ctx); moved || err != nil {
			return "the chain has grown meanwhile; its new blocks are history, too", err
		}
	}
	for _, sink := range s.Sinks {
		if sink.reported == 0 && !w.gone(sink.Name) && time.Since(w.began) < reportPatience {
			return fmt.Sprintf("sink %s has not said yet how far it is", sink.Name), nil
		}
	}
	if w.spec.Live.Open {
		return w.settle(ctx)
	}
	return "", nil
}

// holds tells whether a sink has the whole history, except for what was given up.
func (w *watcher) holds(sink SinkStatus, s *Status) bool {
	have := sink.Report.Coverage.Clone()
	have.AddAll(s.Failed)
	return have.Covers(w.wanted(sink.Report))
}

// wanted is what a sink needs of the history: everything below the block at which
// its live lane begins, which differs from the plan's when it joined late or a reorg
// was deep.
func (w *watcher) wanted(r queue.SinkReport) block.Range {
	h := w.spec.History
	if w.spec.Follows() && r.Live.Started {
		h.End = r.Live.Start
		if end := w.spec.MaxBlock; end != nil {
			h.End = min(h.End, *end)
		}
	}
	return h
}

// settle finds the hash of the block before the live lane, once the chain has it.
func (w *watcher) settle(ctx context.Context) (string, error) {
	start := w.spec.Live.Start
	p, err := w.Source.Probe(ctx, w.spec.Query, w.spec.Network, start)
	if fault.Of(err) == fault.ClassLater {
		return fmt.Sprintf("the chain has not reached block %d", start), nil
	}
	if err != nil {
		return "", fmt.Errorf("ask for the hash of block %d: %w", start-1, err)
	}
	return "", w.change(ctx, func(s *queue.Spec) {
		s.Live = &queue.Origin{Start: start, Points: []block.Cursor{p}}
	})
}

// astray tells why some sink cannot go on with the live lane as it is; empty: all
// can.
func (w *watcher) astray(ctx context.Context, position queue.LivePosition, sinks []SinkStatus) (string, error) {
	if position.Phase == queue.LiveLost && position.Epoch == w.spec.Epoch {
		return "the log has lost the end of the live lane", nil
	}
	// The reports were read before, so the lane's end is at least what they have seen.
	tail, err := w.Log.Tail(ctx, queue.LiveLane)
	if err != nil {
		return "", err
	}
	head, err := w.Log.Head(ctx, queue.LiveLane)
	if err != nil {
		return "", err
	}
	for _, sink := range sinks {
		mark := sink.Report.Live
		switch {
		case !mark.Started:
		case mark.Epoch > w.spec.Epoch, mark.Epoch == w.spec.Epoch && mark.Seq > tail.Seq:
			return fmt.Sprintf("sink %s has applied live entries that the log does not have", sink.Name), nil
		case head.Found && head.Entry.Epoch == w.spec.Epoch && head.After != 0 && (mark.Epoch < w.spec.Epoch || mark.Seq < head.After):
			return fmt.Sprintf("sink %s lacks live entries that the log has no more", sink.Name), nil
		}
	}
	return "", nil
}

// newEpoch begins the live lane again where every sink can verify what it has. It
// needs to know that of all of them.
func (w *watcher) newEpoch(ctx context.Context, position queue.LivePosition, sinks []SinkStatus) error {
	origin := *w.spec.Live
	epoch := w.spec.Epoch
	var from *queue.LiveMark
	var furthest block.Number
	// Sinks that have not applied the same of the lane may hold blocks of different
	// branches, and the lane remembers those of its own.
	agreed := block.Number(block.Max)
	for _, sink := range sinks {
		if sink.rev == 0 && !w.gone(sink.Name) {
			w.live.Waits = fmt.Sprintf("sink %s has not said yet how far it is", sink.Name)
			return nil
		}
		mark := sink.Report.Live
		epoch = max(epoch, mark.Epoch)
		furthest = max(furthest, after(mark))
	}
	for _, sink := range sinks {
		mark := sink.Report.Live
		// One that is far behind does not take the others back: its live blocks are
		// voided and loaded again as history.
		if !mark.Started || after(mark)+farBehind < furthest {
			continue
		}
		agreed = min(agreed, position.Agreed(mark.Epoch, mark.Seq))
		if from == nil || after(mark) < after(*from) {
			from = &mark
		}
	}
	if from != nil {
		points := w.spec.Live.Points
		if position.Epoch == w.spec.Epoch {
			points = position.Points
		}
		points = slices.Clone(points)
		points = slices.DeleteFunc(points, func(p block.Cursor) bool { return p.Number >= min(agreed, after(*from)) })
		origin = queue.Origin{Start: after(*from), Points: points}
		last := len(points) - 1
		switch cursor := from.Cursor; {
		case origin.Start > agreed && last >= 0:
			origin.Start = points[last].Number + 1
		case origin.Start > agreed:
			origin.Start = min(agreed, w.spec.Live.Start)
			origin.Open = len(w.spec.Live.Points) > 0
		case cursor.Network != "" && (last < 0 || points[last].Number < cursor.Number):
			origin.Points = append(points, cursor)
		case last >= 0 && points[last].Number+1 == origin.Start: // it is the cursor
		default:
			origin.Open = len(w.spec.Live.Points) > 0 || origin.Start > w.spec.Live.Start // its hash has to be asked for
		}
	}
	return w.change(ctx, func(s *queue.Spec) { s.Epoch, s.Live = epoch+1, &origin })
}

// farBehind is how many blocks a sink may lie behind the furthest one for an epoch to
// begin at its cursor.
const farBehind = 10_000

// after is the first block that a sink does not hold for certain.
func after(mark queue.LiveMark) block.Number {
	if mark.Cursor.Network != "" {
		return mark.Cursor.Number + 1
	}
	return mark.Start
}

// change writes the plan anew.
func (w *watcher) change(ctx context.Context, how func(*queue.Spec)) error {
	spec, rev, err := w.State.LoadSpec(ctx)
	if err != nil {
		return fmt.Errorf("read the plan: %w", err)
	}
	how(&spec)
	if _, err := w.State.SaveSpec(ctx, spec, rev); err != nil {
		return fmt.Errorf("write the plan: %w", err)
	}
	w.spec = spec
	return nil
}

func (p *Planner) gone(sink string) bool { return p.Gone != nil && p.Gone(sink) }
