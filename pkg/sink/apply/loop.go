package apply

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/pool"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/state"
	"github.com/ampipe/ampipe/pkg/trace"
)

// Loop takes entries from the log, applies many of them in each transaction and
// acknowledges them when it is committed. Its fields are set before Run and not
// changed after; a zero one means its default.
type Loop struct {
	Writer  sink.Writer // open
	Table   sink.Table  // that it was opened for
	Source  Source      // of the partitions' lanes
	Live    Source      // of the live lane, which one transaction at a time applies in its order; nil: none
	Reports Reports     // nil: nobody is told

	// Rejoin brings requests to take the live lane further on; nil: none come.
	Rejoin <-chan state.Rejoin

	// DeadLetters takes the rows that the destination refuses; nil: one ends the loop.
	DeadLetters DeadLetters

	// Asked asks for a report, also when nothing has changed since the last; nil: nobody
	// does.
	Asked <-chan struct{}

	Writers   int           // transactions at the same time for the partitions; default 1
	Resize    *pool.Size    // how many they are instead, if that may change while Run runs; nil: Writers
	Rows      int           // of a transaction, passed by less than one entry; 10,000 to 50,000 pay; default 20,000
	Wait      time.Duration // how long an entry of a partition waits for others to join it; default 200 ms, 20 ms for a Stager
	StageTime time.Duration // how long a Stager may wait for more before it commits; default 10 s
	Decoded   int           // bytes of rows in memory for each of Writers, passed by less than two entries; default 64 MiB

	// Ended reports whether the lanes of the partitions will bring nothing more. What waits
	// for more is committed and reported at once then; nil: nobody knows.
	Ended func(context.Context) bool

	Grace     time.Duration // for transactions that run when told to stop; default 10 s
	Backoff   fault.Backoff // of a transaction that fails
	Allocator memory.Allocator
	Observer  Observer
	Tracer    *trace.Tracer // nil: nothing is traced
	Logger    zerolog.Logger
}

// run is a Loop at work, on the partitions' lanes or on the live lane.
type run struct {
	Loop
	live   bool
	stages bool   // the Writer is a Stager
	schema string // fingerprint of the table's
	damage *damage
	stall  *stall
	steps  *liveSteps
	status *status
	stop   context.CancelCauseFunc // ends taking, of both
	gap    chan struct{}           // holds a token when a live entry came before its predecessor
}

// onLive is the run of the live lane beside r. Its entries wait only for the watermark
// that closes their range; those that come while a transaction runs share the next.
func (r *run) onLive() *run {
	live := *r
	live.live, live.Source, live.Resize, live.Wait = true, r.Live, pool.Of(1), closingWait
	live.damage = &damage{}
	live.stall = live.newStall()
	return &live
}

// Run applies entries until take ends; then it takes no more, finishes what is
// running within the grace time, returns the rest to the log and then nil. No entry
// is in flight when it returns.
//
// A destination that cannot be reached makes it pause, visibly, and resume where
// it was. An error that remains ends it, marked permanent: everything is then
// committed that can be, except for the block that the error names, whose entry
// is not acknowledged. With DeadLetters a row that the destination refuses is no error.
func (l *Loop) Run(take context.Context) error {
	r := &run{Loop: *l, schema: entry.Fingerprint(l.Table.Schema), gap: make(chan struct{}, 1)}
	if r.Resize == nil {
		r.Resize = pool.Of(r.Writers)
	}
	r.Rows = cmp.Or(r.Rows, 20_000)
	_, r.stages = r.Writer.(sink.Stager)
	if r.stages {
		r.Wait = cmp.Or(r.Wait, 20*time.Millisecond) // they wait for each other when they are staged
	}
	r.Wait = cmp.Or(r.Wait, 200*time.Millisecond)
	r.Decoded = cmp.Or(r.Decoded, 64<<20)
	r.StageTime = cmp.Or(r.StageTime, 10*time.Second)
	r.Grace = cmp.Or(r.Grace, 10*time.Second)
	if r.Observer == nil {
		r.Observer = nopObserver{}
	}
	r.status = newStatus(r.Observer)
	r.damage, r.steps = &damage{}, &liveSteps{}
	r.stall = r.newStall()

	take, stop := context.WithCancelCause(take)
	defer stop(nil)
	r.stop = stop

	runs := []*run{r}
	if r.Live != nil {
		runs = append(runs, r.onLive())
	}
	reporter := &reporter{run: r, runs: runs}
	reporting, end := context.WithCancel(context.WithoutCancel(take))
	var reports sync.WaitGroup
	reports.Go(func() { reporter.loop(reporting) })
	for _, one := range runs {
		reports.Go(func() { one.stall.watch(reporting) })
	}
	err := r.flow(take, runs)
	end()
	reports.Wait()
	reporter.last(context.WithoutCancel(take), err)
	return err
}

// errStopped is why a context ended when nothing went wrong.
var errStopped = errors.New("stopping")

// flow runs pulling, collecting, decoding and applying of each kind of lanes, each
// ending when the one before it has.
func (r *run) flow(take context.Context, runs []*run) error {
	do, cancel := context.WithCancelCause(context.WithoutCancel(take))
	defer cancel(nil)
	done := make(chan struct{})
	var grace sync.WaitGroup
	grace.Go(func() {
		select {
		case <-done:
			return
		case <-take.Done():
		}
		timer := time.NewTimer(r.Grace)
		defer timer.Stop()
		select {
		case <-done:
		case <-timer.C:
			cancel(errStopped)
		}
	})

	var flow errgroup.Group
	var loads []*prefetch
	for _, one := range runs {
		loads = append(loads, one.feed(take, &flow))
	}
	if stager, ok := r.Writer.(sink.Stager); ok {
		flow.Go(func() error { return r.workStaged(take, do, stager, loads) })
	} else {
		for i, one := range runs {
			flow.Go(func() error {
				return one.Resize.Run(func(leave <-chan struct{}, _ int) error { return one.work(take, do, loads[i], leave) })
			})
		}
	}
	err := flow.Wait()
	close(done)
	grace.Wait()
	if err != nil {
		return fault.Permanent(fmt.Errorf("sink %q: %w", r.Table.Sink, err))
	}
	return nil
}

// feed starts what comes before the writing of some lanes.
func (r *run) feed(take context.Context, flow *errgroup.Group) *prefetch {
	pulled, batches := make(chan *message), make(chan []*message)
	flow.Go(func() error {
		defer close(pulled)
		err := r.pull(take, pulled)
		if err != nil {
			r.stop(err)
		}
		return err
	})
	ready := pulled
	if r.live {
		ready = make(chan *message)
		flow.Go(func() error { return r.order(take, pulled, ready) })
	}
	flow.Go(func() error { r.collect(take, ready, batches); return nil })
	a := r.newPrefetch()
	flow.Go(func() error { a.decode(batches); return nil })
	return a
}

// readPause is the longest pause before the log is read again that could not be read:
// the source itself waits for what it needs.
const readPause = 2 * time.Second

// pull takes messages, as many as the source may have in flight. Once the log could not be read,
// its next answer ends that reason, also the answer that there is no message.
func (r *run) pull(take context.Context, out chan<- *message) error {
	pauser := r.status.pauser()
	for {
		var m *queue.Message
		backoff := fault.Backoff{GiveUp: fault.Forever, Min: r.Backoff.Min, Max: cmp.Or(r.Backoff.Max, readPause)}
		err := fault.Retry(take, backoff, func(ctx context.Context) (err error) {
			m, err = r.Source.Next(ctx)
			for errors.Is(err, queue.ErrNoMessage) {
				pauser.Resume()
				m, err = r.Source.Next(ctx)
			}
			return err
		}, func(err error, _ time.Duration) { pauser.Pause(fmt.Errorf("read the log: %w", err)) })
		if err != nil {
			if take.Err() != nil {
				return nil // the reason is still the reason
			}
			return fmt.Errorf("read the log: %w", err)
		}
		pauser.Resume()
		one := r.newMessage(*m)
		r.stall.taken()
		if m.Damaged == nil {
			out <- one
			continue
		}
		if err := r.drop(one, m.Damaged); err != nil {
			one.nak(0)
			return fmt.Errorf("read the log: %w", err)
		}
	}
}
