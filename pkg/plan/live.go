package plan

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/state"
)

// LiveStatus is the live lane's part of a [Status].
type LiveStatus struct {
	Follows bool
	Start   block.Number // first block of the lane
	Next    block.Number // first block that is not complete in it
	Reorgs  uint64
	Waits   string // what it waits for before it can begin; empty: nothing

	// Expected says that Waits is in order, however long it lasts: it waits for the
	// history, as configured, or for the chain.
	Expected bool

	// Soon says that Waits is for the answer of a sink that was asked a moment ago, which
	// is no news.
	Soon bool
}

const (
	// liveEvery is how many rounds pass between two that read the live lane, unless it is
	// about to begin.
	liveEvery = 4
	// reportPatience is how long a live lane that has begun waits, when a planner
	// starts, for every sink to report how far it is. One that has not begun waits without
	// a limit: what it begins with depends on what the sinks hold.
	reportPatience = 5 * time.Second
	// reportSoon is how soon a sink that runs reports how far it is after a planner has
	// started, which writes the plan.
	reportSoon = 2 * time.Second
)

// reconcileLive queues the task of the live lane as soon as it may begin, and lets it begin
// again, in a new epoch, when a sink cannot continue with it.
func (w *reconciler) reconcileLive(ctx context.Context, s *Status) error {
	s.Live = w.live
	switch {
	case w.rounds%liveEvery != 1 && !w.unheard && !w.soon:
		return nil
	case !w.spec.Follows():
		w.live, w.soon = LiveStatus{}, false
		s.Live = w.live
		return w.followToTheEnd(ctx, s.Sinks)
	}
	began := false
	position, rev, err := w.State.LivePosition(ctx)
	if err != nil && !errors.Is(err, queue.ErrNotFound) {
		return fmt.Errorf("read the position of the live lane: %w", err)
	}
	w.live = LiveStatus{Follows: true, Start: w.spec.Live.Start, Next: max(position.Next, w.spec.Live.Start), Reorgs: position.Reorgs}
	// One that cannot begin yet asks the server each time, and that is not hurried.
	defer func() { s.Live, w.soon = w.live, began && w.live.Waits == "" }()

	if position.Phase == state.LiveFailed && position.Epoch == w.spec.Epoch && w.followed {
		return fault.Permanent(fmt.Errorf("the chain cannot be followed: %s", position.Error))
	}
	if w.live.Waits, err = w.notYet(ctx, s, position); err != nil || w.live.Waits != "" {
		return err
	}
	if w.spec.Live.Tentative {
		began = true
		return w.begin(ctx, position, s.Sinks, w.spec.Epoch)
	}
	reason, err := w.liveLaneBroken(ctx, position, s.Sinks)
	if err != nil {
		return err
	}
	if reason != "" {
		began = true
		err := w.begin(ctx, position, s.Sinks, w.spec.Epoch+1)
		if err == nil && w.live.Waits == "" {
			w.Logger.Warn().Msg(reason + "; the live lane begins again from what every sink has")
		}
		return err
	}
	return w.queueLive(ctx, position, rev)
}

// followToTheEnd makes a plan that is all history follow the chain up to max_block if a
// destination that was live under an earlier plan lacks blocks above its live start:
// those of the history are dropped there, because only a lane can vouch for them.
func (w *reconciler) followToTheEnd(ctx context.Context, sinks []SinkStatus) error {
	start := w.spec.History.End
	for _, sink := range sinks {
		live := block.Range{Start: sink.Report.Live.Start, End: w.spec.History.End}
		if sink.Report.Live.Started && sink.reported != 0 && !live.Empty() && !sink.Report.Coverage.Covers(live) {
			start = min(start, live.Start)
		}
	}
	if start == w.spec.History.End {
		return nil
	}
	return w.change(ctx, func(s *state.Spec) { s.Live = &state.Origin{Start: start, Tentative: true} })
}

// queueLive queues the live task, unless the lane has all its blocks.
func (w *reconciler) queueLive(ctx context.Context, position state.LivePosition, rev uint64) error {
	if position.Phase == state.LiveDone && position.Epoch == w.spec.Epoch && sameEnd(position.Until, w.spec.MaxBlock) {
		return nil
	}
	if position.Phase == state.LiveFailed || position.Phase == state.LiveDone {
		position.Phase = state.LiveRunning // a new run tries again
		_, err := w.State.SaveLivePosition(ctx, position, rev)
		if errors.Is(err, queue.ErrConflict) {
			return nil // another planner was faster, and has queued the task
		}
		if err != nil {
			return fmt.Errorf("begin the live lane again: %w", err)
		}
	}
	w.followed = true
	if err := w.clearLane(ctx, position); err != nil {
		return err
	}
	if _, err := w.Tasks.Add(ctx, queue.LiveTask, "chain"); err != nil {
		return fmt.Errorf("queue the live task: %w", err)
	}
	return nil
}

// clearLane removes from the live lane what an epoch before has left there: the new one
// begins in an empty lane. What a process of the epoch before puts behind it meanwhile is
// removed in the next round.
func (w *reconciler) clearLane(ctx context.Context, position state.LivePosition) error {
	tail, err := w.Log.Tail(ctx, queue.LiveLane)
	if err != nil {
		return fmt.Errorf("read the end of the live lane: %w", err)
	}
	old := tail.Entry.Epoch < w.spec.Epoch
	if tail.Damaged != nil { // nobody knows of which epoch it is, but this one may have begun
		old = position.Epoch < w.spec.Epoch && !entry.Newer(tail.Damaged)
	}
	if !tail.Found || !old {
		return nil
	}
	return w.Log.TrimLanes(ctx, queue.Live, tail.Seq)
}

func sameEnd(a, b *block.Number) bool { return a != nil && b != nil && *a == *b }

// notYet returns why the live lane cannot begin, or continue; empty: it can.
func (w *reconciler) notYet(ctx context.Context, s *Status, position state.LivePosition) (string, error) {
	if w.Config.Live.Start == config.AfterBackfill && !w.followed {
		for _, sink := range s.Sinks {
			if sink.Stopped == "" && !w.holds(sink, s) {
				w.live.Expected = true
				return fmt.Sprintf("sink %s does not have the whole history yet", sink.Name), nil
			}
		}
		if position.Epoch == 0 { // the lane has never had an entry
			if moved, err := w.catchUp(ctx, s.Sinks); moved || err != nil {
				return "the chain has grown meanwhile; its new blocks are history, too", err
			}
		}
	}
	begun := position.Epoch == w.spec.Epoch && !w.spec.Live.Tentative
	if reason := w.silentSink(s.Sinks, begun); reason != "" {
		w.unheard, w.live.Soon = true, time.Since(w.began) < reportSoon
		return reason, nil
	}
	w.unheard = false
	if w.spec.Live.Open {
		return w.settle(ctx)
	}
	return "", nil
}

// silentSink returns which sink is waited for that has not reported since this planner
// runs; empty: none is. One that has stopped for good is not: what it has reported last
// counts, and when it is back the lane begins again if it has to.
func (w *reconciler) silentSink(sinks []SinkStatus, begun bool) string {
	for _, sink := range sinks {
		switch {
		case sink.reported != 0, sink.Stopped != "":
		case !begun:
			return fmt.Sprintf("sink %s has not said yet how far it is: start it, or take it out of the configuration", sink.Name)
		case time.Since(w.began) < reportPatience:
			return fmt.Sprintf("sink %s has not said yet how far it is", sink.Name)
		}
	}
	return ""
}

// holds reports whether a sink has the whole history, except for what was given up.
func (w *reconciler) holds(sink SinkStatus, s *Status) bool {
	have := sink.Report.Coverage.Clone()
	have.AddAll(s.Failed)
	return have.Covers(Wanted(w.spec, sink.Report.Live))
}

// Wanted returns what a sink needs of the history: everything below the block at which
// its live lane begins, which differs from the plan's when it joined late or a reorg
// was deep.
func Wanted(spec state.Spec, live state.LiveState) block.Range {
	h := spec.History
	if spec.Follows() && live.Started {
		h.End = live.Start
		if end := spec.MaxBlock; end != nil {
			h.End = min(h.End, *end)
		}
	}
	return h
}

// settle asks for the hash of the block before the live lane, once the chain has it.
func (w *reconciler) settle(ctx context.Context) (string, error) {
	start := w.spec.Live.Start
	c, err := w.head(ctx)
	if err != nil {
		return "", err
	}
	if len(c.Head) == 0 || c.Head[0].Numbers.End < start {
		w.live.Expected = true
		reached := "the server has no block of it yet"
		if len(c.Head) > 0 && !c.Head[0].Numbers.Empty() {
			reached = fmt.Sprintf("its head is block %d", c.Head[0].Numbers.Last())
		}
		return fmt.Sprintf("the chain has not reached block %d; %s", start, reached), nil
	}
	have := c.Head[0]
	p := block.Cursor{Network: have.Network, Number: have.Numbers.Last(), Hash: have.Hash}
	if have.Numbers.End > start {
		if p, err = probe(ctx, w.Source, c.Query, w.spec.Network, start); err != nil {
			return "", fmt.Errorf("ask for the hash of block %d: %w", start-1, err)
		}
	}
	return "", w.change(ctx, func(s *state.Spec) {
		s.Live = &state.Origin{Start: start, Points: []block.Cursor{p}, Tentative: s.Live.Tentative}
	})
}

// stopped returns why a sink has stopped for good, or nothing. In a process that runs
// the sinks, too, what they last reported may be of an earlier run.
func (p *Planner) stopped(sink string, r state.SinkReport) string {
	switch {
	case p.SinkStopped != nil && !p.SinkStopped(sink):
		return ""
	case p.SinkStopped != nil:
		return cmp.Or(r.Reason, "an error")
	case r.State == state.SinkFailed:
		return cmp.Or(r.Reason, "an error")
	default:
		return ""
	}
}

func (p *Planner) sinkStopped(sink string) bool { return p.SinkStopped != nil && p.SinkStopped(sink) }
