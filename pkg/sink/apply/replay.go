package apply

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/state"
)

// Requests is where requests to load blocks again are, and what is needed to carry them
// out; the state of package queue is one.
type Requests interface {
	Replay(ctx context.Context, sink string) (r state.Replay, rev uint64, err error)
	SaveReplay(ctx context.Context, sink string, r state.Replay, rev uint64) (newRev uint64, err error)
	WaitReplay(ctx context.Context, sink string, rev uint64) error
	Partitions(ctx context.Context) ([]queue.Stored[state.Partition], error)
	Report(ctx context.Context, sink string) (r state.SinkReport, rev uint64, err error)
}

// Replayer carries out requests to load blocks of a sink again, beside the Loop of the
// sink: it removes them, and applies what the log has of them. What the log has no more,
// the planner has read again.
type Replayer struct {
	Loop     Loop // Writer, Table, StageTime, Backoff, Allocator, Observer, Tracer and Logger of the sink's; Observer hears of its waits
	Requests Requests
	Log      LaneReader
	Letters  PastLetters   // nil: there are none
	Worker   string        // distinguishes this process from others of the sink
	Every    time.Duration // how often it is looked how far a request is that is not settled; default 2 s
	Lost     time.Duration // after this time without a word from its worker a request is taken over; default [state.LostAfter]

	seen  uint64 // revision of a request that another worker has
	since time.Time
}

const (
	replayEvery = 2 * time.Second
	// replayWatch is for how long a new request is watched for before it is looked for anew:
	// a watch is a hint.
	replayWatch = time.Minute
	replayBeat  = 5 * time.Second        // how often the worker of a request says that it is at it
	reportLook  = 200 * time.Millisecond // how often the report is looked at that is waited for

	// removeBlocks is how many blocks are removed in a transaction. The live lane may have to
	// wait for it.
	removeBlocks = 10_000
)

// Run carries out requests until ctx ends.
func (r *Replayer) Run(ctx context.Context) {
	if r.Every <= 0 {
		r.Every = replayEvery
	}
	if r.Lost <= 0 {
		r.Lost = state.LostAfter
	}
	if r.Loop.Observer == nil {
		r.Loop.Observer = nopObserver{}
	}
	told := ""
	for ctx.Err() == nil {
		rev, settled, err := r.follow(ctx)
		switch {
		case err == nil:
			told = ""
		case ctx.Err() == nil && err.Error() != told:
			told = err.Error()
			r.Loop.Logger.Warn().Err(err).Msg("could not replay; will retry")
		}
		r.pause(ctx, rev, settled && err == nil)
	}
}

// pause waits until something may be to be done: when everything is settled, for a request
// of another revision.
func (r *Replayer) pause(ctx context.Context, rev uint64, settled bool) {
	if settled {
		watching, end := context.WithTimeout(ctx, replayWatch)
		err := r.Requests.WaitReplay(watching, r.name(), rev)
		end()
		if err == nil || errors.Is(err, context.DeadlineExceeded) {
			return
		}
	}
	_ = fault.Sleep(ctx, r.Every) // its end is seen by the caller
}

// errOvertaken is why the work on a request ends.
var errOvertaken = errors.New("another process of the sink carries the replay out now")

func (r *Replayer) name() string { return r.Loop.Table.Sink }

// follow carries out the request, if there is one that no other process is at. It returns
// the revision of the request, 0 if there is none, and whether nothing is left to be done.
func (r *Replayer) follow(ctx context.Context) (rev uint64, settled bool, err error) {
	request, rev, err := r.Requests.Replay(ctx, r.name())
	switch {
	case errors.Is(err, queue.ErrNotFound):
		return 0, true, nil
	case err != nil && fault.Of(err) != fault.ClassPermanent: // NATS is away, which everybody says who needs it
		r.Loop.Logger.Debug().Err(err).Msg("could not look for a replay; will retry")
		return 0, false, nil
	case err != nil:
		return 0, false, fmt.Errorf("look for a replay: %w", err)
	case !request.UnderWay():
		return rev, r.Letters == nil || len(request.Past) == 0, r.settle(ctx, request, rev)
	case r.others(request, rev):
		return rev, false, nil
	}
	return rev, false, r.carryOut(ctx, request, rev)
}

// carryOut does what is left to be done of a request.
func (r *Replayer) carryOut(ctx context.Context, request state.Replay, rev uint64) error {
	j := &replay{Replayer: r, request: request, rev: rev}
	err := j.save(ctx, func(q *state.Replay) { q.Worker = r.Worker })
	if err != nil {
		return err
	}
	working, stop := context.WithCancelCause(ctx)
	var beat sync.WaitGroup
	beat.Go(func() {
		for fault.Sleep(working, replayBeat) == nil {
			err := j.save(working, func(*state.Replay) {})
			if errors.Is(err, queue.ErrConflict) {
				stop(errOvertaken)
			}
		}
	})
	err = j.work(working)
	stop(nil)
	beat.Wait()
	if err != nil && fault.Of(err) == fault.ClassPermanent && ctx.Err() == nil {
		r.Loop.Logger.Error().Err(err).Msg("the replay has failed")
		return j.save(ctx, func(q *state.Replay) { q.Step, q.Error = state.ReplayFailed, err.Error() })
	}
	if err != nil {
		return err
	}
	return r.settle(ctx, j.request, j.rev)
}

// others reports whether another process is at a request.
func (r *Replayer) others(request state.Replay, rev uint64) bool {
	if request.Worker == "" || request.Worker == r.Worker {
		return false
	}
	if rev != r.seen {
		r.seen, r.since = rev, time.Now()
	}
	return time.Since(r.since) < r.Lost
}

// replay is a request that this process is at.
type replay struct {
	*Replayer
	mu      sync.Mutex // of what follows
	request state.Replay
	rev     uint64
}

// save records a change of the request. If another process has changed it the error is
// [queue.ErrConflict].
func (j *replay) save(ctx context.Context, change func(*state.Replay)) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	next := j.request
	change(&next)
	next.Updated = time.Now().UTC()
	rev, err := j.Requests.SaveReplay(ctx, j.name(), next, j.rev)
	if err != nil {
		return fmt.Errorf("record how far the replay is: %w", err)
	}
	j.request, j.rev = next, rev
	return nil
}

// now returns the request as it was saved last.
func (j *replay) now() state.Replay {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.request
}

// work does what is left to be done.
func (j *replay) work(ctx context.Context) error {
	blocks := j.now().Blocks
	if j.now().Step == state.ReplayRemoves {
		j.Loop.Logger.Info().Stringer("blocks", blocks).Msg("removing blocks, to load them again")
		err := j.mark(ctx)
		if err == nil {
			err = j.remove(ctx)
		}
		if err == nil {
			err = j.save(ctx, func(q *state.Replay) { q.Step = state.ReplayReads })
		}
		if err != nil {
			return err
		}
	}
	err := j.read(ctx)
	if err == nil {
		err = j.awaitReport(ctx)
	}
	if err == nil {
		err = j.save(ctx, func(q *state.Replay) { q.Step = state.ReplayDone })
	}
	if err == nil {
		j.Loop.Logger.Info().Stringer("blocks", blocks).Msg("loaded from the log what it had of the removed blocks; the rest comes from Amp")
	}
	return err
}

// remove takes the blocks out of the destination. A portion that is removed twice has not
// come again in between: that begins when all are removed.
func (j *replay) remove(ctx context.Context) error {
	size := block.Number(removeBlocks)
	if _, stages := j.Loop.Writer.(sink.Stager); stages {
		size = block.Max // each portion would rewrite the same files
	}
	request := j.now()
	for _, r := range request.Blocks.Ranges() {
		for _, left := range request.Removed.Missing(r) {
			for start := left.Start; start < left.End; {
				portion := block.Range{Start: start, End: start + min(size, left.End-start)}
				err := j.removePortion(ctx, portion)
				if err == nil {
					err = j.save(ctx, func(q *state.Replay) { q.Take(portion) })
				}
				if err != nil {
					return err
				}
				start = portion.End
			}
		}
	}
	return nil
}

// removePortion removes blocks. A reorg may have taken the live chain further back, since
// the request was made, than it was thought to: what it has rolled back, it brings itself.
func (j *replay) removePortion(ctx context.Context, portion block.Range) error {
	for !portion.Empty() {
		err := j.tryRemoval(ctx, portion)
		refused, is := errors.AsType[*sink.UnconfirmedError](err)
		if !is {
			return err
		}
		j.Loop.Logger.Info().Stringer("blocks", portion).Uint64("next", uint64(refused.Next)).
			Msg("the live chain was taken back, and brings blocks itself that were to be loaded again")
		portion.End = min(portion.End, max(portion.Start, refused.Next))
	}
	return nil
}

func (j *replay) tryRemoval(ctx context.Context, portion block.Range) error {
	paused := false
	err := fault.Retry(ctx, j.Loop.Backoff, func(ctx context.Context) error {
		_, err := j.Loop.Writer.Apply(ctx, []sink.Change{sink.Removal(portion)})
		return err
	}, func(err error, _ time.Duration) {
		paused = true
		j.Loop.Observer.OnPause(err)
	})
	if paused {
		j.Loop.Observer.OnResume()
	}
	if err != nil {
		return fmt.Errorf("remove blocks %v: %w", portion, err)
	}
	return nil
}

// read loads from the log what it has of the blocks.
func (j *replay) read(ctx context.Context) error {
	stored, err := j.Requests.Partitions(ctx)
	if err != nil {
		return fmt.Errorf("read the partitions: %w", err)
	}
	records := make([]state.Partition, len(stored))
	for i, s := range stored {
		records[i] = s.Value
	}
	parts, err := state.Separate(records)
	if err != nil {
		return err
	}
	take, end := context.WithCancel(ctx)
	defer end()
	source := NewReread(j.Log, LanesOf(parts, j.now().FromLog), end)
	loop := j.Loop
	loop.Source, loop.Ended = source, source.Ended
	loop.Live, loop.Reports, loop.Asked = nil, nil, nil
	loop.Tracer = loop.Tracer.Replaying()
	loop.Writers, loop.Resize = 1, nil // in the order of the lanes
	err = loop.Run(take)
	if err == nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return err
}

// LanesOf returns the lanes that may have blocks, of partitions in the order in which they
// were written: those that were written last first, since what they have is newer.
func LanesOf(parts []state.Partition, blocks block.Set) []Lane {
	var lanes []Lane
	for i := len(parts) - 1; i >= 0; i-- {
		both := blocks.Intersect(block.NewSet(parts[i].Range()))
		if both.Len() > 0 {
			lanes = append(lanes, Lane{Name: parts[i].Lane(), Blocks: both})
		}
	}
	return lanes
}

// awaitReport waits until the sink has reported what its destination holds of the blocks
// now: the planner goes by the report.
func (j *replay) awaitReport(ctx context.Context) error {
	blocks := j.now().Blocks.Ranges()
	for {
		holds, err := j.Loop.Writer.State(ctx)
		var report state.SinkReport
		if err == nil {
			report, _, err = j.Requests.Report(ctx, j.name())
		}
		differs := func(r block.Range) bool { return !slices.Equal(report.Coverage.Missing(r), holds.Coverage.Missing(r)) }
		if err == nil && !slices.ContainsFunc(blocks, differs) {
			return nil
		}
		if err := fault.Sleep(ctx, reportLook); err != nil {
			return err
		}
	}
}
