package plan

import (
	"cmp"
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
	Waits    string           // why live entries wait for it, if it does not say so itself
	Wanted   uint64           // blocks of the history that it needs
	Missing  uint64           // of them, those that it lacks and that have not failed
	Behind   uint64           // blocks that are complete in the live lane and not committed
	Oldest   time.Time        // when the first live entry was published that is not committed; zero: none is known

	rev      uint64 // of the report
	reported uint64 // rev, if it is of this planner's run
}

// reconciler is a planner at work: the plan as it is now, and what does not depend on it.
type reconciler struct {
	*Planner
	current
	size   uint64 // blocks of a partition
	began  time.Time
	rounds int

	parts    uint64                // latest revision of a partition in this round
	since    uint64                // revision of the plan when it was first read; reports after it are of this run
	still    map[string]stillness  // by sink
	live     LiveStatus            // as of the last round that read it
	log      LogStatus             // as of the last trim
	tasks    map[string]queue.Load // as of the last count
	oldest   map[string]oldest     // by sink
	soon     bool                  // the live lane is about to begin: the next round reads it, too
	followed bool                  // this planner has queued the live task
	unheard  bool                  // the live lane waits for the report of a sink
	retried  bool                  // failed partitions have been queued again
	filled   bool                  // unplanned blocks have been looked for
	asking   time.Time             // since when the sinks are asked what they hold of a new plan
	askTold  bool                  // that they are was logged
	asked    bool                  // the sinks have said what they hold of a new plan, or were not waited for
}

// Run reconciles the pipeline until every sink holds its history, or ctx ends. spec is
// the plan; it is read again in each round, since other planners change it, too.
// size is the number of blocks of a partition.
func (p *Planner) Run(ctx context.Context, spec state.Spec, size uint64) (Status, error) {
	every := p.Every
	if every <= 0 {
		every = 250 * time.Millisecond
	}
	w := &reconciler{Planner: p, current: current{spec: spec}, size: size, began: time.Now(), asking: time.Now()}
	defer w.wait(nil)
	for failed := 0; ; {
		status, err := w.reconcile(ctx)
		pause := w.nextPause(every)
		switch {
		case ctx.Err() != nil:
			return status, context.Cause(ctx)
		case errors.Is(err, errOvertaken):
			p.Logger.Info().Msg(err.Error())
		case fault.Of(err) == fault.ClassPermanent:
			return status, err
		case err != nil:
			failed++
			pause = fault.Backoff{Min: every, Max: maxPause}.Delay(failed)
			w.wait(err)
		default:
			failed = 0
			w.wait(nil)
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

// nextPause returns how long to wait before the next round. Sinks that have just started
// report within milliseconds what they hold, and until they have nothing is read.
func (w *reconciler) nextPause(every time.Duration) time.Duration {
	return min(every, max(minPause, time.Since(w.asking)/4))
}

// minPause is the shortest pause between two rounds.
const minPause = 10 * time.Millisecond

// maxPause is the longest pause after a round that failed: what the planner waits for may
// be back any moment, and others wait for the planner.
const maxPause = 5 * time.Second

// wait reports why the last round failed; nil: it did not.
func (p *Planner) wait(reason error) {
	if p.OnWait != nil {
		p.OnWait(reason)
	}
}

// reconcile compares the plan with the sinks' reports and requeues what is missing.
// The plan is read before everything that is compared with it. Partitions are read before
// positions and positions before reports: a sink that is at the log's end then has
// seen every entry of the finished partitions.
func (w *reconciler) reconcile(ctx context.Context) (Status, error) {
	w.rounds++
	if err := w.readPlan(ctx); err != nil {
		return Status{}, err
	}
	stored, err := w.State.Partitions(ctx)
	if err != nil {
		return Status{}, fmt.Errorf("read partitions: %w", err)
	}
	// In the order in which they were written: of a block that several have held, the
	// last one has what became of it.
	slices.SortFunc(stored, func(a, b queue.Stored[state.Partition]) int { return cmp.Compare(a.Rev, b.Rev) })
	parts := make([]state.Partition, len(stored))
	w.parts = 0
	for i, s := range stored {
		parts[i] = s.Value
		w.parts = max(w.parts, s.Rev)
	}
	if err := w.outdate(ctx, parts); err != nil {
		return Status{}, err
	}
	if len(parts) == 0 && !w.spec.History.Empty() && w.AskSinks > 0 && !w.asked {
		if parts, w.asked, err = w.recordHeld(ctx); err != nil || !w.asked {
			return Status{History: w.spec.History, Epoch: w.spec.Epoch}, err
		}
	}
	if parts, err = w.fill(ctx, parts); err != nil {
		return Status{}, err
	}
	if err := w.queueOpen(ctx, parts); err != nil {
		return Status{}, err
	}
	status := Status{History: w.spec.History, Partitions: parts, Failed: Failed(parts), Epoch: w.spec.Epoch}
	for _, p := range parts {
		if p.State == state.PartitionDone {
			status.Extracted.Add(p.Range())
		}
	}
	if status.Sinks, err = w.reconcileSinks(ctx, parts); err != nil {
		return status, err
	}
	w.setWaits(status.Sinks, time.Now())
	if err := w.reconcileLive(ctx, &status); err != nil {
		return status, err
	}
	status.Complete = w.complete(status)
	err = w.trim(ctx, status)
	status.Log = w.log
	if err != nil {
		return status, err
	}
	if err := w.measure(ctx, &status); err != nil && !status.Complete {
		return status, err
	}
	return status, nil
}

// fill makes partitions for blocks that have none, and, once, for blocks that
// were given up, if that is wanted. Blocks that have just become unplanned may be a tail
// that a worker is splitting off this moment; they are planned if they still are in the
// next round.
func (w *reconciler) fill(ctx context.Context, parts []state.Partition) ([]state.Partition, error) {
	unplanned := Unplanned(w.spec.History, parts)
	missing := steady(w.unplanned, unplanned)
	if !w.filled {
		missing = unplanned
	}
	w.filled, w.unplanned = true, unplanned
	if w.Retry && !w.retried {
		missing = append(missing, Failed(parts).Ranges()...)
	} else { // a mended query is tried with what the one before it could not read
		missing = append(missing, failedBefore(parts, w.spec.Version).Ranges()...)
	}
	var ranges []block.Range
	for _, r := range missing {
		ranges = append(ranges, Cut(r, w.size)...)
	}
	parts, err := w.create(ctx, ranges, parts)
	w.retried = w.retried || err == nil
	return parts, err
}

func (w *reconciler) create(ctx context.Context, ranges []block.Range, parts []state.Partition) ([]state.Partition, error) {
	fresh := Fresh(ranges, parts)
	for _, p := range fresh {
		p.Version = w.spec.Version
		_, err := w.State.CreatePartition(ctx, p)
		if errors.Is(err, queue.ErrConflict) {
			continue // a worker that split it off was as fast; the next round sees it
		}
		if err != nil {
			return parts, fmt.Errorf("record partition %s: %w", p.ID(), err)
		}
		parts = append(parts, p)
	}
	return parts, nil
}

// queueOpen queues a task for every open partition. Queueing a task
// that is there already changes nothing, so when the queue turns out to hold
// fewer tasks than there are open partitions, all are queued again.
func (w *reconciler) queueOpen(ctx context.Context, parts []state.Partition) error {
	const check = 40 // rounds
	if w.rounds%check == 0 {
		load, err := w.Tasks.Load(ctx, queue.PartitionTask)
		if err != nil {
			return fmt.Errorf("read the task queue: %w", err)
		}
		if open := count(parts, state.PartitionOpen); load.Queued+load.Held < open {
			clear(w.queued)
		}
	}
	for _, p := range parts {
		if p.State != state.PartitionOpen {
			delete(w.queued, p.ID())
			continue
		}
		if w.queued[p.ID()] {
			continue
		}
		if _, err := w.Tasks.Add(ctx, queue.PartitionTask, p.ID()); err != nil {
			return fmt.Errorf("queue partition %s: %w", p.ID(), err)
		}
		w.queued[p.ID()] = true
	}
	return nil
}
