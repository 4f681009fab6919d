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

// lookAtSinks reads how far each sink has come and queues again what one of them
// has lost.
func (w *watcher) lookAtSinks(ctx context.Context, parts []queue.Partition) ([]SinkStatus, error) {
	names := w.sinks()
	sinks := make([]SinkStatus, len(names))
	var lost block.Set
	for i, name := range names {
		position, err := w.Log.Position(ctx, name, queue.History)
		var live queue.Position
		if err == nil {
			live, err = w.Log.Position(ctx, name, queue.Live)
		}
		if err != nil {
			return nil, fmt.Errorf("read the position of sink %s: %w", name, err)
		}
		report, rev, err := w.State.Report(ctx, name)
		if err != nil && !errors.Is(err, queue.ErrNotFound) {
			return nil, fmt.Errorf("read the report of sink %s: %w", name, err)
		}
		sinks[i] = SinkStatus{
			Name: name, Report: report, Position: position, Live: live,
			Covered: covered(report.Coverage, w.spec.History), rev: rev,
		}
		if rev > w.since {
			sinks[i].reported = rev
		}
		sinks[i].Stopped = w.stopped(name, report)
		if !w.readToEnd(name, position, report) {
			continue
		}
		for _, r := range Lost(Wanted(w.spec, report.Live), parts, report.Coverage) {
			lost.Add(r)
		}
	}
	if len(lost.Ranges()) == 0 {
		return sinks, nil
	}
	w.tellLost(lost, parts)
	clear(w.drained)
	var ranges []block.Range
	for _, r := range lost.Ranges() {
		ranges = append(ranges, Cut(r, w.size)...)
	}
	_, err := w.create(ctx, ranges, parts)
	return sinks, err
}

// tellLost says which blocks come from now on that a sink lacks. Those that no partition
// has had are of a live lane that the sink did not see from its beginning: nothing was
// lost.
func (w *watcher) tellLost(lost block.Set, parts []queue.Partition) {
	had := planned(parts)
	var again, first block.Set
	for _, r := range lost.Ranges() {
		first.AddAll(block.NewSet(had.Missing(r)...))
	}
	again = lost.Clone()
	for _, r := range first.Ranges() {
		again.Remove(r)
	}
	if first.Len() > 0 {
		w.Logger.Info().Stringer("blocks", first).Msg("a sink has joined the live lane above these blocks; they come as history")
	}
	if again.Len() > 0 {
		w.Logger.Warn().Stringer("blocks", again).Msg("blocks are neither in the log nor in a destination; they are loaded again")
	}
}

// readToEnd reports whether the sink has applied everything in the log and has read
// its destination since, so that what its report lacks is not on its way. The report
// that comes first may be of a reading before the last commit. A partition that has
// changed since may have brought entries that came and went between two looks.
func (w *watcher) readToEnd(sink string, at queue.Position, report queue.SinkReport) bool {
	if !at.Drained() {
		delete(w.drained, sink)
		return false
	}
	seen, before := w.drained[sink]
	read := readAt(report)
	if !before || seen.parts != w.parts {
		w.drained[sink] = drained{parts: w.parts, read: read}
		return false
	}
	if read.After(seen.read) {
		seen.read = read
		seen.readings++
		w.drained[sink] = seen
	}
	return seen.readings >= surely
}

// readAt returns when the destination was read that a report is of.
func readAt(r queue.SinkReport) time.Time {
	if r.Read.IsZero() {
		return r.Updated // of an older version
	}
	return r.Read
}

func covered(coverage block.Set, history block.Range) uint64 {
	n := history.Len()
	for _, gap := range coverage.Missing(history) {
		n -= gap.Len()
	}
	return n
}

func (w *watcher) complete(s Status) bool {
	if count(s.Partitions, queue.PartitionOpen) > 0 || w.spec.Follows() && w.spec.MaxBlock == nil {
		return false
	}
	all := w.spec.History
	if w.spec.Follows() {
		all.End = *w.spec.MaxBlock
	}
	for _, sink := range s.Sinks {
		if w.gone(sink.Name) {
			continue
		}
		have := sink.Report.Coverage.Clone()
		have.AddAll(s.Failed)
		if !have.Covers(all) {
			return false
		}
	}
	return true
}
