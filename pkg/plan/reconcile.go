package plan

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/state"
)

// Status is what one round of the planner found.
type Status struct {
	History    block.Range
	Partitions []state.Partition
	Extracted  block.Set // blocks of finished partitions
	Failed     block.Set // blocks that were given up
	Sinks      []SinkStatus
	Live       LiveStatus
	Log        LogStatus
	Epoch      uint64                // of the plan
	Tasks      map[string]queue.Load // by kind; nil until they have been counted
	Complete   bool                  // every sink holds everything that was not given up, and has its indexes; never without max_block
}

// SinkStatus is one sink's part of a [Status].
type SinkStatus struct {
	Name     string
	Report   state.SinkReport // empty until the sink has reported
	Position queue.Position   // in the lanes of the partitions
	Live     queue.Position   // in the live lane
	Covered  uint64           // blocks of the history that the destination holds
	Stopped  string           // why it has stopped for good; empty: it has not
	Paused   bool             // a person has paused it
	Replays  bool             // blocks are being removed from it and read from the log again
	Replay   Replaying        // of one that was asked for
	Waits    string           // why live entries wait for it, if it does not say so itself
	Wanted   uint64           // blocks of the history that it needs
	Missing  uint64           // of them, those that it lacks and that have not failed
	Behind   uint64           // blocks that are complete in the live lane and not committed
	Oldest   time.Time        // when the first live entry was published that is not committed; zero: none is known

	settles  bool   // dead letters are still to be removed of blocks that were loaded again
	rev      uint64 // of the report
	reported uint64 // rev, if it is of this planner's run
}

// reconciler is a planner at work: the plan as it is now, and the steps of a round. Each
// step keeps what it has to remember until the next round.
type reconciler struct {
	*Planner
	spec  state.Spec    // the plan
	rev   uint64        // of spec; 0: not read yet
	since uint64        // revision of the plan when it was first read; reports after it are of this run
	size  uint64        // blocks of a partition
	every time.Duration // between two rounds

	changes *changes
	stored  []queue.Stored[state.Partition] // the records, in the order in which they were written
	lagging map[uint64]bool                 // revisions of those that the last list did not have
	before  []uint64                        // what the round before has found

	held    heldStep
	fill    fillStep
	queue   queueStep
	sinks   sinksStep
	waits   waitsStep
	live    liveStep
	trim    trimStep
	merge   mergeStep
	measure measureStep
}

func newReconciler(p *Planner, spec state.Spec, size uint64) *reconciler {
	r := &reconciler{Planner: p, spec: spec, size: size, every: p.Every, changes: newChanges()}
	if r.every <= 0 {
		r.every = 250 * time.Millisecond
	}
	now := time.Now()
	r.held = heldStep{reconciler: r, asking: now}
	r.fill = fillStep{reconciler: r}
	r.queue = queueStep{reconciler: r, queued: map[string]uint64{}, fresh: map[string]bool{}, check: r.pace(40, now)}
	r.sinks = sinksStep{reconciler: r, drained: map[string]drained{}}
	r.waits = waitsStep{reconciler: r, still: map[string]stillness{}}
	r.live = liveStep{
		reconciler: r, began: now, pace: r.pace(liveEvery, time.Time{}), lagging: map[string]lagging{}, waits: map[string]string{},
		settling: map[string]uint64{},
	}
	r.trim = trimStep{reconciler: r, pace: r.pace(8, now)}
	r.merge = mergeStep{reconciler: r}
	r.measure = measureStep{
		reconciler: r, count: r.pace(8, time.Time{}), ask: r.pace(liveEvery, time.Time{}), oldest: map[string]oldest{},
	}
	return r
}

// pace is how often something is due.
type pace struct {
	period time.Duration
	last   time.Time // when it was due; zero: it never was
}

// pace returns the pace of what is due once in the time of so many rounds, and was last.
func (r *reconciler) pace(rounds int, last time.Time) pace {
	return pace{period: time.Duration(rounds) * r.every, last: last}
}

// due reports whether it is due in a round that has begun now.
func (p *pace) due(now time.Time) bool {
	if now.Sub(p.last) < p.period {
		return false
	}
	p.last = now
	return true
}

// Run reconciles the pipeline until every sink holds its history, or ctx ends. spec is
// the plan; it is read again in each round, since other planners change it, too.
// size is the number of blocks of a partition.
func (p *Planner) Run(ctx context.Context, spec state.Spec, size uint64) (Status, error) {
	r := newReconciler(p, spec, size)
	defer r.watch(ctx)()
	retrier := fault.Retrier{Backoff: fault.Backoff{GiveUp: fault.Forever, Min: r.every, Max: maxPause}}
	defer p.wait(nil)
	var seen Status // last: it may end in the middle of the next look
	for {
		status, next, err := r.reconcile(ctx)
		if err == nil {
			seen = status
		}
		switch {
		case ctx.Err() != nil:
			return seen, context.Cause(ctx)
		case errors.Is(err, errOvertaken):
			p.Logger.Info().Msg(err.Error())
		case err != nil:
			pause, end := retrier.Pause(err)
			if end != nil {
				return seen, end
			}
			next.least = min(pause, maxPause) // however long a server asks for
			next.most = next.least
			p.wait(err)
		default:
			retrier.Progress()
			p.wait(nil)
			if p.Notify != nil {
				p.Notify(status)
			}
			if status.Complete {
				return status, nil
			}
		}
		if err := r.changes.wait(ctx, next); err != nil {
			return seen, err
		}
	}
}

// watch watches what changes until the function that it returns is called.
func (r *reconciler) watch(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.changes.run(ctx, r.State)
	}()
	return func() {
		cancel()
		<-done
	}
}

// maxPause is the longest pause after a round that failed: what the planner waits for may
// be back any moment, and others wait for the planner.
const maxPause = 5 * time.Second

// wait reports why the last round failed; nil: it did not.
func (p *Planner) wait(reason error) {
	if p.OnWait != nil {
		p.OnWait(reason)
	}
}

// round is what the steps of a round have found so far.
type round struct {
	Status
	began  time.Time
	log    queue.LogState
	parts  []state.Partition // in the order in which they were written
	latest uint64            // revision of the one that was written last
	over   bool              // nothing more is to be done in it

	position *state.LivePosition // of the live lane; nil: not read in it, or there is none
}

// reconcile compares the plan with the sinks' reports and requeues what is missing.
// The plan is read before everything that is compared with it. Partitions are read before
// positions and positions before reports: a sink that is at the log's end then has
// seen every entry of the finished partitions.
func (r *reconciler) reconcile(ctx context.Context) (Status, pause, error) {
	now := round{began: time.Now()}
	r.changes.begin()
	for _, step := range []func(context.Context, *round) error{
		r.readPlan, r.readPartitions, r.held.run, r.fill.run, r.queue.run, r.survey, r.sinks.run, r.waits.run,
		r.live.run, r.setComplete, r.trim.run, r.merge.run, r.measure.run,
	} {
		err := step(ctx, &now)
		if err != nil || now.over {
			return now.Status, r.heldPause(err == nil), err
		}
	}
	return now.Status, r.nextPause(&now), nil
}

// readPartitions brings what is known of the partitions up to date: by what the watch has
// brought, and from time to time by reading all of them.
func (r *reconciler) readPartitions(ctx context.Context, now *round) error {
	before, list := r.stored, r.changes.list(now.began)
	if list {
		began := time.Now()
		stored, err := r.State.Partitions(ctx)
		r.changes.have(time.Since(began), err)
		if err != nil {
			return fmt.Errorf("read partitions: %w", err)
		}
		r.stored = stored
	}
	changes := r.changes.take()
	if list {
		r.lagging = unlisted(before, r.stored, r.lagging, changes)
	}
	r.stored = apply(r.stored, changes)
	now.parts = valuesOf(r.stored)
	if n := len(r.stored); n > 0 {
		now.latest = r.stored[n-1].Rev
	}
	return r.outdate(ctx, now.parts)
}

// unlisted adds to changes what was known before a list and is newer than all that the list
// has: a replica that lags may have answered. What two lists have not had is gone. It returns
// the revisions of what it has added.
func unlisted(before, listed []queue.Stored[state.Partition], again map[uint64]bool, changes map[string]changed) map[uint64]bool {
	var latest uint64
	if n := len(listed); n > 0 {
		latest = listed[n-1].Rev
	}
	added := map[uint64]bool{}
	for _, s := range before {
		id := s.Value.ID()
		if s.Rev > latest && !again[s.Rev] && changes[id].rev < s.Rev {
			changes[id] = changed{part: s.Value, rev: s.Rev}
			added[s.Rev] = true
		}
	}
	return added
}

// heldPause returns how long to wait after a round that has not come to its end. If it waits
// for sinks, the report of one ends the pause, as long as changes are noticed.
func (r *reconciler) heldPause(forSinks bool) pause {
	most := r.held.nextPause(r.every)
	if forSinks && r.changes.isWatched() {
		return pause{least: shortestPause, most: most}
	}
	return pause{least: most, most: most}
}

// nextPause returns how long to wait before the next round: longer after one that has found
// what the round before had found, and no change of what is only counted ends the wait of a
// pipeline that has loaded its history and follows the chain without end.
func (r *reconciler) nextPause(now *round) pause {
	least := r.held.nextPause(r.every)
	found := []uint64{r.rev, now.latest, uint64(len(now.parts)), uint64(now.Live.Next)}
	for _, s := range now.Sinks {
		found = append(found, s.rev, s.Position.AckFloor, s.Position.Unread(), s.Live.AckFloor, s.Live.Unread())
	}
	same := slices.Equal(found, r.before)
	r.before = found
	next := pause{least: least, most: least, steady: r.steady(now), open: r.lastOpen(now)}
	if r.mayComplete(now) {
		next.least = min(least, shortestPause) // only the sinks' reports are missing, which come seldom
	}
	hurry := r.fill.unplanned.Len() > 0 || r.live.soon || r.live.unheard
	switch {
	case next.steady:
		next.most = fault.Aligned(steadyRounds * r.every)
	case same && !hurry:
		next.most = quietRounds * r.every
	}
	return next
}

// mostLast is how many open partitions may be the last ones.
const mostLast = 64

// lastOpen returns the ids of the partitions that are open if a load ends with them; nil if it
// does not.
func (r *reconciler) lastOpen(now *round) (ids []string) {
	if !r.ends() || r.fill.unplanned.Len() > 0 {
		return nil
	}
	for _, p := range now.parts {
		if p.State != state.PartitionOpen {
			continue
		}
		if len(ids) == mostLast {
			return nil
		}
		ids = append(ids, p.ID())
	}
	return ids
}

// mayComplete reports whether everything has been read of a pipeline that ends.
func (r *reconciler) mayComplete(now *round) bool {
	return r.ends() && r.fill.unplanned.Len() == 0 && len(now.parts) > 0 && count(now.parts, state.PartitionOpen) == 0
}

// ends reports whether the pipeline is complete at some time.
func (r *reconciler) ends() bool { return !r.spec.Follows() || r.spec.MaxBlock != nil }

// steady reports whether nothing is left to do but to follow the chain.
func (r *reconciler) steady(now *round) bool {
	if !now.Live.Follows || now.Live.Waits != "" || r.spec.MaxBlock != nil || isCrowded(now.log) ||
		r.fill.unplanned.Len() > 0 || count(now.parts, state.PartitionOpen) > 0 {
		return false
	}
	return !slices.ContainsFunc(now.Sinks, func(s SinkStatus) bool {
		mark := s.Report.Live
		return s.Missing > 0 || !mark.Started || mark.Epoch != r.spec.Epoch
	})
}

// survey sums up the partitions.
func (r *reconciler) survey(_ context.Context, now *round) error {
	now.History, now.Partitions, now.Failed, now.Epoch = r.spec.History, now.parts, Failed(now.parts), r.spec.Epoch
	for _, p := range now.parts {
		if p.State == state.PartitionDone {
			now.Extracted.Add(p.Range())
		}
	}
	return nil
}

func (r *reconciler) setComplete(_ context.Context, now *round) error {
	if count(now.parts, state.PartitionOpen) > 0 || !r.ends() {
		return nil
	}
	all := r.spec.History
	if r.spec.Follows() {
		all.End = *r.spec.MaxBlock
	}
	now.Complete = !slices.ContainsFunc(now.Sinks, func(s SinkStatus) bool {
		return !r.sinkStopped(s.Name) && (s.Replays || s.settles || s.Report.Indexing != nil || !now.accounted(s).Covers(all))
	})
	return nil
}

// accounted returns the blocks that a sink holds, and those that were given up.
func (s *Status) accounted(sink SinkStatus) block.Set {
	have := sink.Report.Coverage.Clone()
	have.AddAll(s.Failed)
	return have
}
