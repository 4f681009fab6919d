package apply

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/trace"
)

// worker applies loads, one transaction after the other.
type worker struct {
	*run
	take, do  context.Context
	pauser    *pauser
	stalls    []*stall // of the lanes whose entries it applies
	committer committer

	lane liveLane // see takeBack

	step string      // what the committer does with changes, in traces
	work *trace.Work // the call of the Writer that runs, or the last

	failure   error     // the first
	bisection bisection // of what is hopeless, from the first failure on
	end       bool      // nothing is applied any more
}

// committer is how a worker has changes committed: directly, or staged first. docs/design.md
// draws the states of an entry with each.
type committer interface {
	// write passes changes to the Writer.
	write(ctx context.Context, changes []sink.Change) (sink.Applied, error)
	// wrote notes units that write has taken, in which time.
	wrote(units []unit, applied sink.Applied, took time.Duration)
	// holds reports whether write has taken changes that are not committed.
	holds() bool
	// panicked notes that a call of the Writer has: nobody knows what is staged there.
	panicked()
}

// direct commits every batch by itself.
type direct struct{ *worker }

func (d direct) write(ctx context.Context, changes []sink.Change) (sink.Applied, error) {
	return d.Writer.Apply(ctx, changes)
}

func (d direct) wrote(units []unit, applied sink.Applied, took time.Duration) {
	done := Commit{Applied: applied, Took: took}
	for _, u := range units {
		done.add(u)
		u.message.ack()
	}
	d.observe(done)
}

func (direct) holds() bool { return false }

func (direct) panicked() {}

// early is the delay after which an entry that came before its predecessor is delivered
// again.
const early = time.Second

// work applies loads until there are no more. What is hopeless ends the taking,
// but does not keep it from what was taken already, except on the live lane;
// after any other failure it returns to the log what comes. The error is the first. When
// leave is closed it ends after the load that it applies: there are fewer workers now.
func (r *run) work(take, do context.Context, in *prefetch, leave <-chan struct{}) error {
	w := &worker{run: r, take: take, do: do, pauser: r.status.pauser(), stalls: []*stall{r.stall}, step: "transaction", work: r.Tracer.Work()}
	w.committer = direct{w}
	for {
		select {
		case <-leave: // before what comes next
			return w.failure
		default:
		}
		select {
		case <-leave:
			return w.failure
		case l, more := <-in.loads:
			if !more {
				return w.failure
			}
			w.load(l, r.live)
			in.done(l)
		}
	}
}

// load applies one load, unless something has failed for good.
func (w *worker) load(l load, live bool) {
	if w.failure == nil {
		w.bisection.left = maxBisections
	}
	if w.end {
		return
	}
	err := w.apply(l.units, &w.bisection)
	switch {
	case errors.Is(err, errStopped):
		w.Logger.Info().Int("entries", len(l.messages)).Msg("stopped before everything was committed; the rest stays in the log")
	case errors.Is(err, sink.ErrGap):
		w.tooEarly(l.messages)
	default:
		w.failed(cmp.Or(err, l.broken), live || err != nil && fault.Of(err) != fault.ClassPermanent)
	}
}

// failed notes the first failure, which ends the taking; end: and the applying.
func (w *worker) failed(err error, end bool) {
	if err == nil {
		return
	}
	w.failure = cmp.Or(w.failure, err)
	w.end = w.end || end
	w.stop(w.failure)
}

// tooEarly returns live entries that came before their predecessor.
func (w *worker) tooEarly(messages []*message) {
	for _, m := range messages {
		m.nak(early)
	}
	w.outOfOrder()
}

// outOfOrder makes the order of live entries start again from what the destination says.
func (w *worker) outOfOrder() {
	select {
	case w.gap <- struct{}{}:
	default:
	}
}

// apply commits units together or, when one of them is hopeless, those that can
// be. It acknowledges what is committed. The error is of the first that is not.
func (w *worker) apply(units []unit, i *bisection) error {
	if len(units) == 0 {
		return nil
	}
	changes := make([]sink.Change, len(units))
	for k, u := range units {
		changes[k] = u.change
	}
	before := w.lane
	after, err := w.takeBack(changes)
	if err != nil {
		return err
	}
	begin := time.Now()
	applied, err := w.commit(changes)
	for _, u := range units {
		u.message.trace.Worked(w.step, w.work, len(units), err)
	}
	if err != nil {
		if fault.Of(err) == fault.ClassPermanent || errors.Is(err, sink.ErrGap) {
			return w.bisect(units, err, i)
		}
		return err
	}
	w.moved(before, after)
	w.committer.wrote(units, applied, time.Since(begin))
	return nil
}

// observe reports what a transaction did.
func (w *worker) observe(done Commit) {
	w.status.wrote(done.Rows, done.ending)
	done.Live = stepsOf(done.changes)
	w.Observer.OnApplied(done)
}

// commit makes changes by one transaction, however long that takes. The errors
// are: errStopped; ErrGap; one that is permanent, which may be due to one of the
// changes; or one that is not, when every attempt has failed.
func (w *worker) commit(changes []sink.Change) (sink.Applied, error) {
	defer w.calls(len(changes), changes[0].Range.Start)()
	return w.retry(func(ctx context.Context) (sink.Applied, error) { return w.committer.write(ctx, changes) })
}

// retry repeats a call of the Writer by the class of its errors; see commit.
func (w *worker) retry(call func(context.Context) (sink.Applied, error)) (sink.Applied, error) {
	w.work.Begin()
	for retrier := (fault.Retrier{Backoff: w.Backoff}); ; {
		applied, err := w.attempt(call)
		if err == nil {
			w.pauser.Resume()
			return applied, nil
		}
		if fault.Stack(err) != "" {
			w.committer.panicked()
		}
		if w.do.Err() != nil {
			return sink.Applied{}, errStopped
		}
		if errors.Is(err, sink.ErrGap) {
			w.pauser.Resume()
			return sink.Applied{}, err
		}
		if classOf(err) == fault.ClassPermanent {
			w.pauser.Resume() // the destination has answered
			return sink.Applied{}, fault.Permanent(err)
		}
		pause, end := retrier.Pause(err)
		if end != nil {
			return sink.Applied{}, errors.Unwrap(end) // not permanent, so that no change is looked for that is to blame
		}
		w.pauser.Pause(err)
		w.work.Failed(err)
		if fault.Sleep(w.take, pause) != nil {
			return sink.Applied{}, errStopped
		}
	}
}

// attempt calls the Writer once. What the call says that it waits for is shown.
func (w *worker) attempt(call func(context.Context) (sink.Applied, error)) (applied sink.Applied, err error) {
	ctx, returned := sink.WithWaits(w.do, func(reason error) {
		if reason == nil {
			w.pauser.Resume()
			return
		}
		w.pauser.Pause(reason)
	})
	defer returned()
	err = w.caught("applying entries", func() (err error) {
		applied, err = call(ctx)
		return err
	})
	return applied, err
}

// classOf returns the class of an error of a Writer. A refused row is permanent
// even if it was not marked so.
func classOf(err error) fault.Class {
	if _, bad := errors.AsType[*sink.BadRowError](err); bad {
		return fault.ClassPermanent
	}
	return fault.Of(err)
}
