package apply

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
)

// stageIdle is how long nothing may come after the last entry of a partition, or
// of a live lane that has an end, before a commit: then the log has been read to its
// end, and somebody may wait for it. In the middle of a partition more will come,
// from a slow source perhaps; and live entries wait for the whole time, since every
// block would be a commit of its own.
const stageIdle = 500 * time.Millisecond

// askIdle is how long nothing may come before it is asked whether anything will.
const askIdle = 50 * time.Millisecond

// staging is what a worker has staged and not acknowledged. Only the worker uses
// it.
type staging struct {
	sink.Staging
	staged []*message
	done   Commit
	inside bool      // the last entry of history does not end its partition
	live   bool      // some of it is
	last   bool      // nothing comes after it in the live lane
	full   bool      // the Staging says so
	asked  bool      // since the last was staged, and more will come
	since  time.Time // the first was staged
}

// workStaging is the one worker of a Stager: it takes the loads of all lanes.
func (r *run) workStaging(take, do context.Context, stager sink.Stager, in []*prefetch) error {
	w := &worker{run: r, take: take, do: do, pauser: r.status.pauser(), staging: &staging{Staging: stager.NewStaging()}}
	type loaded struct {
		load
		from *prefetch
	}
	all := make(chan loaded)
	var open sync.WaitGroup
	for _, a := range in {
		w.stalls = append(w.stalls, a.stall)
		open.Go(func() {
			for l := range a.loads {
				all <- loaded{l, a}
			}
		})
	}
	var closing sync.WaitGroup
	closing.Go(func() {
		open.Wait()
		close(all)
	})
	defer closing.Wait()
	for {
		wait, stop := w.due()
		select {
		case l, more := <-all:
			stop()
			if !more {
				// What is staged is committed, also after a failure: that is of something
				// else.
				w.failed(w.commitStaged(), true)
				return w.failure
			}
			w.load(l.load, l.from.live)
			l.from.done(l.load)
			if w.staging.full || (len(w.staging.staged) > 0 && time.Since(w.staging.since) >= w.StageTime) {
				w.failed(w.commitStaged(), true)
			}
		case <-wait:
			if w.askFirst() && !w.Ended(do) {
				w.staging.asked = true
				continue
			}
			w.failed(w.commitStaged(), true)
		}
	}
}

// due is when what is staged is to be committed, or [Loop.Ended] to be asked, if
// nothing comes before.
func (w *worker) due() (<-chan time.Time, func() bool) {
	g := w.staging
	if len(g.staged) == 0 {
		return nil, func() bool { return true }
	}
	wait := time.Until(g.since.Add(w.StageTime))
	switch {
	case w.askFirst():
		wait = min(wait, askIdle)
	case g.between():
		wait = min(wait, stageIdle)
	}
	timer := time.NewTimer(max(wait, 0))
	return timer.C, timer.Stop
}

// between reports whether what is staged ends at the end of a partition, or a live lane.
func (g *staging) between() bool { return !g.inside && (!g.live || g.last) }

// askFirst reports whether the answer of [Loop.Ended] decides about committing before
// stageIdle is over.
func (w *worker) askFirst() bool {
	g := w.staging
	return w.Ended != nil && g.between() && !g.asked && time.Since(g.since) < w.StageTime
}

// write applies changes, or stages them.
func (w *worker) write(ctx context.Context, changes []sink.Change) (sink.Applied, error) {
	if w.staging == nil {
		return w.Writer.Apply(ctx, changes)
	}
	staged, err := w.staging.Stage(ctx, changes)
	if errors.Is(err, sink.ErrRestage) {
		w.returnStaged()
	}
	w.staging.full = w.staging.full || staged.Full
	return sink.Applied{}, err
}

// addStaged notes units that are staged. Their payloads are not needed any more.
func (w *worker) addStaged(units []unit, done Commit) {
	g := w.staging
	if len(g.staged) == 0 {
		g.since = time.Now()
	}
	for _, u := range units {
		ends := u.change.Range.End >= u.change.End
		if u.message.Live {
			g.live, g.last = true, g.last || ends && u.change.End != 0
		} else {
			g.inside = !ends
		}
		u.message.release()
		u.message.staged = true
		g.staged = append(g.staged, u.message)
	}
	g.asked = false
	g.done.Entries += done.Entries
	g.done.Bytes += done.Bytes
	g.done.since(done.Oldest)
	g.done.Ranges = append(g.done.Ranges, done.Ranges...)
	g.done.Marks = append(g.done.Marks, done.Marks...)
}

// commitStaged commits what is staged and acknowledges it, however long that
// takes. After an error everything has been returned to the log; errStopped and a change
// that has to come again are none.
func (w *worker) commitStaged() error {
	g := w.staging
	if len(g.staged) == 0 {
		g.full = false
		return nil
	}
	begin := time.Now()
	defer w.calls(len(g.staged), g.staged[0].Range.Start)()
	applied, err := w.retry(func(ctx context.Context) (sink.Applied, error) {
		applied, err := g.Commit(ctx)
		if errors.Is(err, sink.ErrRestage) {
			return applied, fault.Permanent(err) // this commit is over
		}
		return applied, err
	})
	if err != nil {
		w.returnStaged()
		if errors.Is(err, sink.ErrRestage) || errors.Is(err, errStopped) {
			w.Logger.Info().Err(err).Msg("entries could not be committed and were returned to the log; they will come again")
			return nil
		}
		return err
	}
	for _, m := range g.staged {
		m.ack()
	}
	g.done.Applied, g.done.Took = applied, time.Since(begin)
	w.status.wrote(applied.Rows)
	w.Observer.OnApplied(g.done)
	w.resetStaging()
	return nil
}

// returnStaged returns staged entries to the log: they are not committed.
func (w *worker) returnStaged() {
	w.staging.Discard()
	for _, m := range w.staging.staged {
		m.staged = false
		m.nak(0)
	}
	w.outOfOrder()
	w.resetStaging()
}

func (w *worker) resetStaging() {
	w.staging.staged, w.staging.done = nil, Commit{}
	w.staging.inside, w.staging.live, w.staging.last, w.staging.full, w.staging.asked = false, false, false, false, false
}
