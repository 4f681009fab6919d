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
	// liveEvery is how many rounds there is time for between two that read the live lane,
	// unless it is about to begin.
	liveEvery = 4
	// reportPatience is how long a live lane that has begun waits, when a planner
	// starts, for every sink to report how far it is. One that has not begun waits without
	// a limit: what it begins with depends on what the sinks hold.
	reportPatience = 5 * time.Second
	// reportSoon is how soon a sink that runs reports how far it is after a planner has
	// started, which writes the plan.
	reportSoon = 2 * time.Second
)

// liveStep queues the task of the live lane as soon as it may begin, and lets it begin
// again, in a new epoch, when a sink cannot continue with it.
type liveStep struct {
	*reconciler
	began    time.Time // the planner's run
	pace     pace
	status   LiveStatus         // as of the last round that read the lane
	soon     bool               // the lane is about to begin: the next round reads it, too
	unheard  bool               // it waits for the report of a sink: so do the next rounds
	followed bool               // this planner has queued the live task
	lagging  map[string]lagging // by sink, under this plan
	waits    map[string]string  // by sink that is to rejoin the lane: what that waits for
	settling map[string]uint64  // by sink that is to rejoin: the log's end when that was first seen
}

func (l *liveStep) run(ctx context.Context, now *round) (err error) {
	due := l.pace.due(now.began)
	switch {
	case !due && !l.unheard && !l.soon:
	case !l.spec.Follows():
		l.status, l.soon = LiveStatus{}, false
		err = l.followToTheEnd(ctx, now.Sinks)
	default:
		var began bool
		began, err = l.follow(ctx, now)
		// One that cannot begin yet asks the server each time, and that is not hurried.
		l.soon = began && l.status.Waits == ""
	}
	now.Live = l.status
	l.sayWaits(now)
	return err
}

// follow reports whether the lane has begun, or has tried to.
func (l *liveStep) follow(ctx context.Context, now *round) (began bool, err error) {
	clear(l.waits)
	position, rev, err := l.State.LivePosition(ctx)
	if err != nil && !errors.Is(err, queue.ErrNotFound) {
		return false, fmt.Errorf("read the position of the live lane: %w", err)
	}
	if err == nil {
		now.position = &position
	}
	l.status = LiveStatus{Follows: true, Start: l.spec.Live.Start, Next: max(position.Next, l.spec.Live.Start), Reorgs: position.Reorgs}
	if position.Phase == state.LiveFailed && position.Epoch == l.spec.Epoch && l.followed {
		return false, fault.Permanent(fmt.Errorf("the chain cannot be followed: %s", position.Error))
	}
	if l.status.Waits, err = l.notYet(ctx, now, position); err != nil || l.status.Waits != "" {
		return false, err
	}
	if l.spec.Live.Tentative {
		return true, l.begin(ctx, position, now.Sinks, l.spec.Epoch)
	}
	// The lane's end is read after the position and the reports: it holds everything
	// that they tell of.
	tail, err := l.Log.Tail(ctx, queue.LiveLane)
	if err != nil {
		return false, fmt.Errorf("read the end of the live lane: %w", err)
	}
	reason, err := l.liveLaneBroken(ctx, position, tail, now)
	if err != nil {
		return false, err
	}
	if reason == "" {
		return false, l.queueLive(ctx, position, rev, tail)
	}
	err = l.begin(ctx, position, now.Sinks, l.spec.Epoch+1)
	if err == nil && l.status.Waits == "" {
		l.Logger.Warn().Msg(reason + "; the live lane begins again from what every sink has")
	}
	return true, err
}

// followToTheEnd makes a plan that is all history follow the chain up to max_block if a
// destination that was live under an earlier plan lacks blocks above its live start:
// those of the history are dropped there, because only a lane can vouch for them.
func (l *liveStep) followToTheEnd(ctx context.Context, sinks []SinkStatus) error {
	start := l.spec.History.End
	for _, sink := range sinks {
		live := block.Range{Start: sink.Report.Live.Start, End: l.spec.History.End}
		if sink.Report.Live.Started && sink.reported != 0 && !live.Empty() && !sink.Report.Coverage.Covers(live) {
			start = min(start, live.Start)
		}
	}
	if start == l.spec.History.End {
		return nil
	}
	return l.change(ctx, func(s *state.Spec) { s.Live = &state.Origin{Start: start, Tentative: true} })
}

// queueLive queues the live task, unless the lane has all its blocks.
func (l *liveStep) queueLive(ctx context.Context, position state.LivePosition, rev uint64, tail queue.Tail) error {
	if position.Phase == state.LiveDone && position.Epoch == l.spec.Epoch && sameEnd(position.Until, l.spec.MaxBlock) {
		return nil
	}
	if position.Phase == state.LiveFailed || position.Phase == state.LiveDone {
		position.Phase = state.LiveRunning // a new run tries again
		_, err := l.State.SaveLivePosition(ctx, position, rev)
		if errors.Is(err, queue.ErrConflict) {
			return nil // another planner was faster, and has queued the task
		}
		if err != nil {
			return fmt.Errorf("begin the live lane again: %w", err)
		}
	}
	l.followed = true
	if err := l.clearLane(ctx, position, tail); err != nil {
		return err
	}
	if _, err := l.Tasks.Add(ctx, queue.LiveTask, "chain"); err != nil {
		return fmt.Errorf("queue the live task: %w", err)
	}
	return nil
}

// clearLane removes from the live lane what an epoch before has left there: the new one
// begins in an empty lane. What a process of the epoch before puts behind it meanwhile is
// removed in the next round.
func (l *liveStep) clearLane(ctx context.Context, position state.LivePosition, tail queue.Tail) error {
	old := tail.Entry.Epoch < l.spec.Epoch
	if tail.Damaged != nil { // nobody knows of which epoch it is, but this one may have begun
		old = position.Epoch < l.spec.Epoch && !entry.Newer(tail.Damaged)
	}
	if !tail.Found || !old {
		return nil
	}
	return l.Log.TrimLanes(ctx, queue.Live, tail.Seq)
}

func sameEnd(a, b *block.Number) bool { return a != nil && b != nil && *a == *b }

// notYet returns why the live lane cannot begin, or continue; empty: it can.
func (l *liveStep) notYet(ctx context.Context, now *round, position state.LivePosition) (string, error) {
	if l.Config.Live.Start == config.AfterBackfill && !l.followed {
		for _, sink := range now.Sinks {
			if sink.Stopped == "" && !now.accounted(sink).Covers(Wanted(l.spec, sink.Report.Live)) {
				l.status.Expected = true
				return fmt.Sprintf("sink %s does not have the whole history yet", sink.Name), nil
			}
		}
		if position.Epoch == 0 { // the lane has never had an entry
			if moved, err := l.catchUp(ctx, now.Sinks); moved || err != nil {
				return "the chain has grown meanwhile; its new blocks are history, too", err
			}
		}
	}
	begun := position.Epoch == l.spec.Epoch && !l.spec.Live.Tentative
	if reason := l.silentSink(now.Sinks, begun); reason != "" {
		l.unheard, l.status.Soon = true, time.Since(l.began) < reportSoon
		return reason, nil
	}
	l.unheard = false
	if l.spec.Live.Open {
		return l.settle(ctx)
	}
	return "", nil
}

// silentSink returns which sink is waited for that has not reported since this planner
// runs; empty: none is. One that has stopped for good is not: what it has reported last
// counts, and when it is back the lane begins again if it has to.
func (l *liveStep) silentSink(sinks []SinkStatus, begun bool) string {
	for _, sink := range sinks {
		switch {
		case sink.reported != 0, sink.Stopped != "":
		case !begun:
			return fmt.Sprintf("sink %s has not said yet how far it is: start it, or take it out of the configuration", sink.Name)
		case time.Since(l.began) < reportPatience:
			return fmt.Sprintf("sink %s has not said yet how far it is", sink.Name)
		}
	}
	return ""
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
func (l *liveStep) settle(ctx context.Context) (string, error) {
	start := l.spec.Live.Start
	c, err := l.head(ctx)
	if err != nil {
		return "", err
	}
	if len(c.Head) == 0 || c.Head[0].Numbers.End < start {
		l.status.Expected = true
		reached := "the server has no block of it yet"
		if len(c.Head) > 0 && !c.Head[0].Numbers.Empty() {
			reached = fmt.Sprintf("its head is block %d", c.Head[0].Numbers.Last())
		}
		return fmt.Sprintf("the chain has not reached block %d; %s", start, reached), nil
	}
	have := c.Head[0]
	p := block.Cursor{Network: have.Network, Number: have.Numbers.Last(), Hash: have.Hash}
	if have.Numbers.End > start {
		if p, err = probe(ctx, l.Source, c.Query, l.spec.Network, start); err != nil {
			return "", fmt.Errorf("ask for the hash of block %d: %w", start-1, err)
		}
	}
	return "", l.change(ctx, func(s *state.Spec) {
		s.Live = &state.Origin{Start: start, Points: []block.Cursor{p}, Tentative: s.Live.Tentative}
	})
}

// stopped returns why a sink has stopped for good, or nothing. In a process that runs
// the sinks, too, what they last reported may be of an earlier run.
func (p *Planner) stopped(sink string, r state.SinkReport) string {
	if p.sinkStopped(sink) || (p.SinkStopped == nil && r.State == state.SinkFailed) {
		return cmp.Or(r.Reason, "an error")
	}
	return ""
}

func (p *Planner) sinkStopped(sink string) bool { return p.SinkStopped != nil && p.SinkStopped(sink) }
