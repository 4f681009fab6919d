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
)

// Status is what a look at the pipeline found.
type Status struct {
	History    block.Range
	Partitions []queue.Partition
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
	Report   queue.SinkReport // empty until the sink has reported
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

// watcher is a planner at work: the plan as it is now, and what does not depend on it.
type watcher struct {
	*Planner
	current
	size  uint64 // blocks of a partition
	began time.Time
	looks int

	parts    uint64                // latest revision of a partition at this look
	since    uint64                // revision of the plan when it was first read; reports after it are of this run
	still    map[string]stillness  // by sink
	live     LiveStatus            // as of the last look at it
	log      LogStatus             // as of the last trim
	tasks    map[string]queue.Load // as of the last count
	oldest   map[string]oldest     // by sink
	soon     bool                  // the live lane is about to begin: the next look is at it, too
	followed bool                  // this planner has queued the live task
	unheard  bool                  // the live lane waits for the report of a sink
	retried  bool                  // failed partitions have been queued again
	filled   bool                  // holes have been looked for
	asking   time.Time             // since when the sinks are asked what they hold of a new plan
	askTold  bool                  // that they are was logged
	asked    bool                  // the sinks have said what they hold of a new plan, or were not waited for
}

// Run watches over the pipeline until every sink holds its history, or ctx ends. spec
// is the plan; it is read again at each look, since other planners change it, too.
// size is the number of blocks of a partition.
func (p *Planner) Run(ctx context.Context, spec queue.Spec, size uint64) (Status, error) {
	every := p.Every
	if every <= 0 {
		every = 250 * time.Millisecond
	}
	w := &watcher{Planner: p, current: current{spec: spec}, size: size, began: time.Now(), asking: time.Now()}
	defer w.wait(nil)
	for failed := 0; ; {
		status, err := w.look(ctx)
		pause := w.nextLook(every)
		switch {
		case ctx.Err() != nil:
			return status, context.Cause(ctx)
		case errors.Is(err, errOvertaken):
			p.Logger.Info().Msg(err.Error())
		case fault.Of(err) == fault.ClassPermanent:
			return status, err
		case err != nil:
			failed++
			pause = fault.Backoff{Min: every, Max: longestPause}.Delay(failed)
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

// nextLook returns how long to wait before the next look. Sinks that have just started
// say within milliseconds what they hold, and until they have nothing is read.
func (w *watcher) nextLook(every time.Duration) time.Duration {
	return min(every, max(soonest, time.Since(w.asking)/4))
}

// soonest is the least time between two looks.
const soonest = 10 * time.Millisecond

// longestPause is how long the planner waits at most after a look that failed: what it
// waits for may be back any moment, and others wait for it.
const longestPause = 5 * time.Second

// wait tells why the planner cannot look after the pipeline; nil: it can.
func (p *Planner) wait(reason error) {
	if p.OnWait != nil {
		p.OnWait(reason)
	}
}

// look compares what is wanted with what there is and mends the difference.
// The plan is read before everything that is judged by it. Partitions are read before
// positions and positions before reports: a sink that is at the log's end then has
// seen every entry of the finished partitions.
func (w *watcher) look(ctx context.Context) (Status, error) {
	w.looks++
	if err := w.readPlan(ctx); err != nil {
		return Status{}, err
	}
	stored, err := w.State.Partitions(ctx)
	if err != nil {
		return Status{}, fmt.Errorf("read partitions: %w", err)
	}
	// In the order in which they were written: of a block that several have held, the
	// last one tells what became of it.
	slices.SortFunc(stored, func(a, b queue.Stored[queue.Partition]) int { return cmp.Compare(a.Rev, b.Rev) })
	parts := make([]queue.Partition, len(stored))
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
		if p.State == queue.PartitionDone {
			status.Extracted.Add(p.Range())
		}
	}
	if status.Sinks, err = w.lookAtSinks(ctx, parts); err != nil {
		return status, err
	}
	w.tellStillness(status.Sinks, time.Now())
	if err := w.lookAtLive(ctx, &status); err != nil {
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
// were given up, if that is wanted. A hole that is new may be a tail that is
// being given away this moment; it is filled when it is still there at the next
// look.
func (w *watcher) fill(ctx context.Context, parts []queue.Partition) ([]queue.Partition, error) {
	holes := Holes(w.spec.History, parts)
	missing := steady(w.holes, holes)
	if !w.filled {
		missing = holes
	}
	w.filled, w.holes = true, holes
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

func (w *watcher) create(ctx context.Context, ranges []block.Range, parts []queue.Partition) ([]queue.Partition, error) {
	fresh := Fresh(ranges, parts)
	for _, p := range fresh {
		p.Version = w.spec.Version
		_, err := w.State.CreatePartition(ctx, p)
		if errors.Is(err, queue.ErrConflict) {
			continue // a worker that gave it away was as fast; the next look sees it
		}
		if err != nil {
			return parts, fmt.Errorf("record partition %s: %w", p.ID(), err)
		}
		parts = append(parts, p)
	}
	return parts, nil
}

// queueOpen sees to it that every open partition has a task. Queueing a task
// that is there already changes nothing, so when the queue turns out to hold
// fewer tasks than there are open partitions, all are queued again.
func (w *watcher) queueOpen(ctx context.Context, parts []queue.Partition) error {
	const check = 40 // looks
	if w.looks%check == 0 {
		load, err := w.Tasks.Load(ctx, queue.PartitionTask)
		if err != nil {
			return fmt.Errorf("read the task queue: %w", err)
		}
		if open := count(parts, queue.PartitionOpen); load.Queued+load.Held < open {
			clear(w.queued)
		}
	}
	for _, p := range parts {
		if p.State != queue.PartitionOpen {
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
