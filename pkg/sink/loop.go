package sink

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/rs/zerolog"

	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/fault"
)

// Loop takes entries from the log, applies many of them in each transaction and
// acknowledges them when it is committed. Its fields are set before Run and not
// changed after; a zero one means its default.
type Loop struct {
	Writer  Writer // open
	Table   Table  // that it was opened for
	Source  Source
	Reports Reports // nil: nobody is told

	Writers int           // transactions at the same time; default 1, which the live lane needs
	Rows    int           // of a transaction, passed by less than one entry; 10,000 to 50,000 pay; default 20,000
	Wait    time.Duration // how long an entry waits for others to join it; default 200 ms
	Bytes   int           // of all entries in hand, as published, passed by less than one entry; default 32 MiB
	Gather  time.Duration // how long a Gatherer may wait for more before it commits; default 10 s
	Decoded int           // bytes of rows in memory for each of Writers, passed by less than one entry; default 64 MiB

	Grace     time.Duration // for transactions that run when told to stop; default 10 s
	Backoff   fault.Backoff // of a transaction that fails
	Allocator memory.Allocator
	Observer  Observer
	Logger    zerolog.Logger
}

// run is a Loop at work.
type run struct {
	Loop
	schema string // fingerprint of the table's
	hand   *hand
	status *status
	stop   context.CancelCauseFunc // ends taking
}

// Run applies entries until take ends; then it takes no more, finishes what is
// running within the grace time, gives back the rest and returns nil. No entry
// is in its hands when it returns.
//
// A destination that cannot be reached makes it pause, visibly, and go on where
// it was. An error that remains ends it, marked permanent: everything is then
// committed that can be, except for the block that the error names, whose entry
// is not acknowledged.
func (l *Loop) Run(take context.Context) error {
	r := &run{Loop: *l, schema: entry.Fingerprint(l.Table.Schema)}
	r.Writers = cmp.Or(r.Writers, 1)
	r.Rows = cmp.Or(r.Rows, 20_000)
	r.Wait = cmp.Or(r.Wait, 200*time.Millisecond)
	r.Bytes = cmp.Or(r.Bytes, 32<<20)
	r.Gather = cmp.Or(r.Gather, 10*time.Second)
	r.Decoded = cmp.Or(r.Decoded, 64<<20)
	r.Grace = cmp.Or(r.Grace, 10*time.Second)
	if r.Observer == nil {
		r.Observer = nobody{}
	}
	r.hand = newHand(r.Bytes, r.Logger)
	r.status = &status{observer: r.Observer, logger: r.Logger}

	take, stop := context.WithCancelCause(take)
	defer stop(nil)
	r.stop = stop

	reporter := &reporter{run: r}
	reporting, end := context.WithCancel(context.WithoutCancel(take))
	var reports sync.WaitGroup
	reports.Go(func() { reporter.loop(reporting) })

	err := r.flow(take)
	end()
	reports.Wait()
	reporter.last(context.WithoutCancel(take), err)
	return err
}

// errStopped is why a context ended when nothing went wrong.
var errStopped = errors.New("stopping")

// flow runs pulling, collecting and applying, each ending when the one before
// it has.
func (r *run) flow(take context.Context) error {
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

	pulled, batches := make(chan *held), make(chan []*held)
	var flow sync.WaitGroup
	failed := make(chan error, r.Writers+1)
	flow.Go(func() {
		defer close(pulled)
		if err := r.pull(take, pulled); err != nil {
			failed <- err
			r.stop(err)
		}
	})
	flow.Go(func() { r.collect(pulled, batches) })
	for range r.Writers {
		flow.Go(func() {
			if err := r.work(take, do, batches); err != nil {
				failed <- err
			}
		})
	}
	flow.Wait()
	close(done)
	grace.Wait()
	close(failed)
	if err, ok := <-failed; ok {
		return fault.Permanent(fmt.Errorf("sink %q: %w", r.Table.Sink, err))
	}
	return nil
}

// pull takes messages while there is room for them.
func (r *run) pull(take context.Context, out chan<- *held) error {
	for {
		if r.hand.room(take) != nil {
			return nil
		}
		var m Message
		pause := r.status.pauser()
		err := fault.Retry(take, r.Backoff, func(ctx context.Context) (err error) {
			m, err = r.Source.Next(ctx)
			return err
		}, func(err error, _ time.Duration) { pause.because(fmt.Errorf("read the log: %w", err)) })
		pause.over()
		if err != nil {
			if take.Err() != nil {
				return nil
			}
			return fmt.Errorf("read the log: %w", err)
		}
		out <- r.hand.take(m)
	}
}
