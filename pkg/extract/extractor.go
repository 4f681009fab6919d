// Package extract is the reading side: workers take partitions from the queue,
// read their blocks from Amp in block order and append entries to the log. It
// does not know that sinks exist.
package extract

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"runtime"
	"sync"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/pool"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/sqlcheck"
	"github.com/ampipe/ampipe/pkg/state"
	"github.com/ampipe/ampipe/pkg/trace"
)

// Source is what an extractor needs of Amp; [amp.Client] is one.
type Source interface {
	Fetch(ctx context.Context, query string) iter.Seq2[amp.Message, error]
	Follow(ctx context.Context, query string, o amp.FollowOptions) iter.Seq2[amp.Event, error]
}

// Extractor runs the workers of one process for one pipeline. Its fields are set
// before Run and not changed after.
type Extractor struct {
	Source Source
	Tasks  *queue.Tasks
	Log    *queue.Log
	State  *queue.State

	Spec   state.Spec
	Query  *sqlcheck.Query
	Schema *arrow.Schema
	Column int // index of the block column in Schema

	Workers    int
	Resize     *pool.Size    // how many they are instead, if that may change while Run runs; nil: Workers
	MostBlocks func() uint64 // of a partition when a worker takes it: the rest becomes another; 0, or nil: no bound
	Backoff    fault.Backoff // of a partition that gains nothing; the live lane never gives up
	Codec      entry.Codec
	EntryBytes int           // Arrow bytes of an entry before compression
	EntryLimit int           // most bytes of an entry as it is published
	Grace      time.Duration // to finish the entry being written when Run is to end; default 10 s
	NotYet     time.Duration // pause before asking again for blocks the server does not have; default 3 s
	Observer   Observer      // nil: nobody watches
	Tracer     *trace.Tracer // nil: entries are not traced
	Logger     zerolog.Logger

	versions *versions       // of Run
	faults   *faults         // of Run
	tasks    *errgroup.Group // of Run: tasks that are worked on
	detached *detachedTasks  // of Run: those that wait for a block
	first    *firstRows      // of Run: how long those of partitions take
	turns    *turns          // of Run: who splits
	encoders *sync.Pool      // of Run: *entry.Encoder of partitions that are done
	buffers  *entry.Buffers  // of Run, of these encoders: for as many as there are processors
}

// Observer is notified of what the workers do. Its methods are called from several
// goroutines and must not block.
type Observer interface {
	// Reading is called with the blocks of a partition when a worker begins to read it, with
	// fewer when some are left to others, and with none when the worker has stopped. claim
	// names the worker's hold of the partition.
	Reading(claim string, blocks block.Range)
	// Published is called when an entry is in the log.
	Published(p state.Partition, h entry.Header, bytes int)
	// Waiting is called when a part of the work ("partition 0.0", "live", "worker 1")
	// cannot continue for the time being, with the reason, and with nil when it can.
	Waiting(part string, reason error)
	// Finished is called when a partition is done or failed, and is recorded so.
	Finished(p state.Partition)
	// Live is called when an entry of the live lane is in the log.
	Live(h entry.Header, bytes int)
	// Reorg is called when the blocks from one on have left the chain.
	Reorg(from block.Number)
	// Idle is called with the times in which a worker had no task; the last ends with Run.
	Idle(worker int, from, to time.Time)
}

// longestPause is the longest pause of a worker that could not fetch a task: what it
// waits for may be back any moment.
const longestPause = 5 * time.Second

// errStop ends the work on a partition because the process is to stop.
var errStop = errors.New("stopping")

// longestLivePause is the longest pause of the live lane before it asks a source that
// fails again. It never gives up, and must not ask all the time.
const longestLivePause = 2 * time.Minute

// liveBackoff returns how the live lane repeats what failed.
func (x *Extractor) liveBackoff() fault.Backoff {
	return fault.Backoff{GiveUp: fault.Forever, Min: x.Backoff.Min, Max: cmp.Or(x.Backoff.Max, longestLivePause)}
}

// Run works until ctx ends. Then the workers take no more tasks, finish the entries that
// they write within the grace time, return their tasks to the queue, and Run returns nil.
func (x *Extractor) Run(ctx context.Context) error {
	grace := x.Grace
	if grace <= 0 {
		grace = 10 * time.Second
	}
	work, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stop(nil)
	defer context.AfterFunc(ctx, func() {
		time.AfterFunc(grace, func() { stop(errStop) })
	})()

	if x.Spec.Follows() {
		x.Log.BoundHistory()
	}
	x.encoders, x.faults, x.versions = new(sync.Pool), new(faults), newVersions()
	x.first, x.turns = new(firstRows), newTurns()
	x.buffers = entry.NewBuffers(runtime.NumCPU())
	watching, unwatch := context.WithCancel(work)
	var watch sync.WaitGroup
	watch.Go(func() { x.watchVersion(watching) })
	defer func() {
		unwatch()
		watch.Wait()
	}()
	g, take := errgroup.WithContext(ctx)
	x.tasks, x.detached = g, newDetachedTasks(g, mostFaults)
	g.Go(func() error {
		return x.workers().Run(func(leave <-chan struct{}, i int) error {
			return x.work(work, take, leave, queue.PartitionTask, i)
		})
	})
	g.Go(func() error { return x.work(work, take, nil, queue.LiveTask, 0) })
	return g.Wait()
}

// workers returns how many read at once.
func (x *Extractor) workers() *pool.Size {
	if x.Resize != nil {
		return x.Resize
	}
	return pool.Of(x.Workers)
}

// work is one worker of a kind of tasks: it handles one task at a time until take ends, or
// until leave is closed: then there are fewer workers. Observer.Idle is not called for the
// live lane's.
func (x *Extractor) work(ctx, take context.Context, leave <-chan struct{}, kind string, worker int) error {
	part := fmt.Sprintf("worker %d", worker)
	if kind == queue.LiveTask {
		part = livePart
	}
	retrier := fault.Retrier{Backoff: fault.Backoff{GiveUp: fault.Forever, Min: x.Backoff.Min, Max: longestPause}}
	waits := false
	resumes := func() {
		if waits && x.Observer != nil {
			x.Observer.Waiting(part, nil)
		}
		waits = false
		retrier.Progress()
	}
	wait, stop := untilLeft(take, leave)
	defer stop()
	ending := newDetachedTasks(x.tasks, 1) // so that no more than one waits for the log beside the next
	var ahead *queue.Task                  // taken while the one before was read
	for {
		next := x.Tasks.Next
		if waits { // that there is no task for this worker is an answer, too
			next = x.Tasks.Poll
		}
		since := time.Now()
		task, err := ahead, error(nil)
		if task != nil && wait.Err() != nil {
			x.putBack(ctx, task)
			task = nil
		} else if task == nil {
			task, err = next(wait, kind)
		}
		if x.Observer != nil && kind == queue.PartitionTask {
			x.Observer.Idle(worker, since, time.Now())
		}
		if wait.Err() != nil && task == nil {
			if take.Err() == nil { // it leaves: nothing waits for what it waited for
				resumes()
			}
			return nil
		}
		if err == nil {
			unanswered := func(err error) {
				x.Logger.Warn().Err(err).Str("task", task.ID).Msg("a task that had waited was not answered; it comes again")
			}
			following := &nextTask{x: x, ctx: wait}
			err = x.detached.do(func(detach func()) error {
				return ending.do(func(ends func()) error {
					return x.handle(ctx, take, leave, task, frees{begins: resumes, detach: detach, ends: ends, next: following})
				}, unanswered)
			}, unanswered)
			ahead = following.take()
		}
		if err == nil || errors.Is(err, queue.ErrNoTask) {
			resumes()
			continue
		}
		// The queue itself has failed (NATS restarts, a state that cannot be read): the
		// task is delivered again.
		if x.Observer != nil {
			x.Observer.Waiting(part, err)
		}
		waits = true
		pause, _ := retrier.Pause(fault.Again(err)) // never ends
		_ = fault.Sleep(wait, pause)                // its end is seen above
	}
}

// putBack returns a task that the worker has not begun to the queue, for others.
func (x *Extractor) putBack(ctx context.Context, task *queue.Task) {
	if err := task.Later(context.WithoutCancel(ctx), 0); err != nil {
		x.Logger.Warn().Err(err).Str("task", task.ID).Msg("a task that had waited was not answered; it comes again")
	}
}

// untilLeft returns a context that ends with ctx, and when leave is closed. The caller calls
// stop.
func untilLeft(ctx context.Context, leave <-chan struct{}) (_ context.Context, stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-leave:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// frees are called by the handling of a task for its worker.
type frees struct {
	begins func() // it is known where the log ends and the work begins, which may take long
	detach func() // the task needs no worker for the time being
	ends   func() // everything was read
	next   *nextTask
}

// handle writes one partition, or the live chain, to the log and acknowledges its
// task. An error is the queue's, never the source's.
func (x *Extractor) handle(ctx, take context.Context, leave <-chan struct{}, task *queue.Task, worker frees) error {
	kept, release := task.Keep(ctx)
	var outcome outcome
	var err error
	if task.Kind == queue.LiveTask {
		outcome, err = x.live(kept, take, worker.begins)
	} else {
		outcome, err = x.partition(kept, take, leave, task, worker)
	}
	release()
	if err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx) // a task is acknowledged also after the work was cancelled
	switch outcome {
	case finished:
		return task.Done(ctx)
	case stopped:
		return task.Later(ctx, 0)
	case later:
		return task.Later(ctx, lostPause)
	default:
		return nil // another worker's, or it is delivered again
	}
}

// outcome is what became of a task.
type outcome int

const (
	finished outcome = iota // it needs no more work
	stopped                 // this process ends; another may continue at once
	later                   // it cannot continue before something else has happened
	lost                    // another worker has it
)

// partition reads one partition for as long as ctx lasts, which ends when the task is
// another worker's. When leave is closed it leaves to others what it has not read.
func (x *Extractor) partition(
	ctx, take context.Context, leave <-chan struct{}, task *queue.Task, worker frees,
) (outcome, error) {
	h, err := x.claim(ctx, task.ID)
	if errors.Is(err, queue.ErrNotFound) {
		return finished, nil // of a plan that is gone
	}
	if err != nil {
		return lost, err
	}
	if h.part.State != state.PartitionOpen {
		return finished, nil
	}
	switch {
	case h.part.Version > h.spec.Version: // the plan was read from a replica that lags, or the planner mends it
		x.Logger.Info().Str("partition", h.id).Int("version", h.part.Version).Msg("waiting for the plan that the partition belongs to")
		return later, nil
	case h.part.Version < h.spec.Version:
		err := h.retire(ctx)
		if errors.Is(err, errContinued) {
			return stopped, nil // the task is delivered again at once
		}
		return finished, err
	}
	if h.encoder, err = x.encoder(); err != nil {
		return lost, err
	}
	h.worker, h.leave = worker, leave
	worker.begins()
	err = h.bound(ctx)
	if err != nil {
		return lost, err
	}
	h.reads(h.part.Range())
	defer h.reads(block.Range{})
	loading, end := context.WithCancelCause(ctx)
	defer x.versions.until(h.spec, func() { end(errMended) })()
	unwatch := h.watchIdle(loading, end)
	err = fault.Catch(func() error { return h.load(loading, take) })
	unwatch()
	if cause := context.Cause(loading); fault.Stack(cause) != "" {
		err = cause
	}
	end(nil)
	if fault.Stack(err) == "" { // after a panic nobody knows what its state is
		x.encoders.Put(h.encoder)
	}
	log := x.Logger.With().Str("partition", h.part.ID()).Stringer("range", h.part.Range()).Logger()
	switch {
	case err == nil:
		return finished, h.finish(ctx, state.PartitionDone, nil)
	case errors.Is(err, queue.ErrFenced), errors.Is(context.Cause(ctx), queue.ErrTaskLost):
		log.Info().AnErr("cause", context.Cause(ctx)).Msg("partition was taken over by another worker")
		return lost, nil
	case errors.Is(context.Cause(loading), errMended):
		log.Info().Msg("the query was changed; the rest of the partition is read with the new one")
		return stopped, nil
	case errors.Is(err, errStop), take.Err() != nil:
		return stopped, nil
	case fault.Of(err) == fault.ClassPermanent:
		return finished, h.fail(ctx, err)
	default:
		return lost, err
	}
}

// ended logs what became of a partition, and notifies the observer. cause is why it has
// failed; nil: it has not.
func (x *Extractor) ended(p state.Partition, cause error) {
	if cause == nil {
		logResult(x.Logger.Info(), p).Msg("partition done")
	} else {
		logResult(failed(x.Logger, cause), p).Msg("partition failed")
	}
	if x.Observer != nil {
		x.Observer.Finished(p)
	}
}

func logResult(line *zerolog.Event, p state.Partition) *zerolog.Event {
	return line.Str("partition", p.ID()).Stringer("range", p.Range()).Uint64("rows", p.Rows).
		Float64("seconds", math.Round(p.Seconds*1000)/1000).Float64("rows_per_second", math.Round(p.RowsPerSecond())).Int("tries", p.Attempts)
}

// failed starts the log line of what failed for good, with the stack if it was a panic.
func failed(log zerolog.Logger, err error) *zerolog.Event {
	line := log.Error().Err(err)
	if stack := fault.Stack(err); stack != "" {
		line = line.Str("stack", stack)
	}
	return line
}
