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
	Complete   bool                  // every sink holds everything that was not given up; never without max_block
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
	Waits    string           // why live entries wait for it, if it does not say so itself
	Wanted   uint64           // blocks of the history that it needs
	Missing  uint64           // of them, those that it lacks and that have not failed
	Behind   uint64           // blocks that are complete in the live lane and not committed
	Oldest   time.Time        // when the first live entry was published that is not committed; zero: none is known

	rev      uint64 // of the report
	reported uint64 // rev, if it is of this planner's run
}

// reconciler is a planner at work: the plan as it is now, and the steps of a round. Each
// step keeps what it has to remember until the next round.
type reconciler struct {
	*Planner
	spec  state.Spec // the plan
	rev   uint64     // of spec; 0: not read yet
	since uint64     // revision of the plan when it was first read; reports after it are of this run
	size  uint64     // blocks of a partition

	held    heldStep
	fill    fillStep
	queue   queueStep
	sinks   sinksStep
	waits   waitsStep
	live    liveStep
	trim    trimStep
	measure measureStep
}

func newReconciler(p *Planner, spec state.Spec, size uint64) *reconciler {
	r := &reconciler{Planner: p, spec: spec, size: size}
	now := time.Now()
	r.held = heldStep{reconciler: r, asking: now}
	r.fill = fillStep{reconciler: r}
	r.queue = queueStep{reconciler: r, queued: map[string]bool{}, check: pace{every: 40, left: 40}}
	r.sinks = sinksStep{reconciler: r, drained: map[string]drained{}}
	r.waits = waitsStep{reconciler: r, still: map[string]stillness{}}
	r.live = liveStep{reconciler: r, began: now, pace: pace{every: liveEvery}, lagging: map[string]lagging{}}
	r.trim = trimStep{reconciler: r, pace: pace{every: 8, left: 8}}
	r.measure = measureStep{reconciler: r, count: pace{every: 8}, ask: pace{every: liveEvery}, oldest: map[string]oldest{}}
	return r
}

// pace is how often something is due: in one of so many rounds.
type pace struct {
	every int // rounds
	left  int // rounds until it is due
}

// due counts a round, and reports whether it is one of them.
func (p *pace) due() bool {
	p.left--
	if p.left > 0 {
		return false
	}
	p.left = p.every
	return true
}

// Run reconciles the pipeline until every sink holds its history, or ctx ends. spec is
// the plan; it is read again in each round, since other planners change it, too.
// size is the number of blocks of a partition.
func (p *Planner) Run(ctx context.Context, spec state.Spec, size uint64) (Status, error) {
	every := p.Every
	if every <= 0 {
		every = 250 * time.Millisecond
	}
	r := newReconciler(p, spec, size)
	retrier := fault.Retrier{Backoff: fault.Backoff{GiveUp: fault.Forever, Min: every, Max: maxPause}}
	defer p.wait(nil)
	for {
		status, err := r.reconcile(ctx)
		pause := r.held.nextPause(every)
		switch {
		case ctx.Err() != nil:
			return status, context.Cause(ctx)
		case errors.Is(err, errOvertaken):
			p.Logger.Info().Msg(err.Error())
		case err != nil:
			var end error
			if pause, end = retrier.Pause(err); end != nil {
				return status, end
			}
			pause = min(pause, maxPause) // however long a server asks for
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
		if err := fault.Sleep(ctx, pause); err != nil {
			return status, err
		}
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
	parts  []state.Partition // in the order in which they were written
	latest uint64            // revision of the one that was written last
	over   bool              // nothing more is to be done in it
}

// reconcile compares the plan with the sinks' reports and requeues what is missing.
// The plan is read before everything that is compared with it. Partitions are read before
// positions and positions before reports: a sink that is at the log's end then has
// seen every entry of the finished partitions.
func (r *reconciler) reconcile(ctx context.Context) (Status, error) {
	var now round
	for _, step := range []func(context.Context, *round) error{
		r.readPlan, r.readPartitions, r.held.run, r.fill.run, r.queue.run, r.survey, r.sinks.run, r.waits.run,
		r.live.run, r.setComplete, r.trim.run, r.measure.run,
	} {
		if err := step(ctx, &now); err != nil || now.over {
			return now.Status, err
		}
	}
	return now.Status, nil
}

func (r *reconciler) readPartitions(ctx context.Context, now *round) error {
	stored, err := r.State.Partitions(ctx)
	if err != nil {
		return fmt.Errorf("read partitions: %w", err)
	}
	for _, s := range stored {
		now.parts = append(now.parts, s.Value)
		now.latest = s.Rev
	}
	return r.outdate(ctx, now.parts)
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
	if count(now.parts, state.PartitionOpen) > 0 || (r.spec.Follows() && r.spec.MaxBlock == nil) {
		return nil
	}
	all := r.spec.History
	if r.spec.Follows() {
		all.End = *r.spec.MaxBlock
	}
	now.Complete = !slices.ContainsFunc(now.Sinks, func(s SinkStatus) bool {
		return !r.sinkStopped(s.Name) && (s.Replays || !now.accounted(s).Covers(all))
	})
	return nil
}

// accounted returns the blocks that a sink holds, and those that were given up.
func (s *Status) accounted(sink SinkStatus) block.Set {
	have := sink.Report.Coverage.Clone()
	have.AddAll(s.Failed)
	return have
}
