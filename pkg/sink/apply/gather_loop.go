package apply

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
)

// gatherIdle is how long nothing may come after the last entry of a partition, or
// of a live lane that has an end, before a commit: then the log has been read to its
// end, and somebody may wait for it. In the middle of a partition more will come,
// from a slow source perhaps; and live entries wait for the whole time, since every
// block would be a commit of its own.
const gatherIdle = 500 * time.Millisecond

// askIdle is how long nothing may come before it is asked whether anything will.
const askIdle = 50 * time.Millisecond

// gathering is what a worker has staged and not acknowledged. Only the worker uses
// it.
type gathering struct {
	sink.Staging
	staged []*held
	done   Commit
	inside bool      // the last entry of history does not end its partition
	live   bool      // some of it is
	last   bool      // nothing comes after it in the live lane
	full   bool      // the Staging says so
	asked  bool      // since the last was staged, and more will come
	since  time.Time // the first was staged
}

// workGathering is the one worker of a Stager: it takes the loads of all lanes.
func (r *run) workGathering(take, do context.Context, g sink.Stager, in []*ahead) error {
	w := &worker{run: r, take: take, do: do, pause: r.status.pauser(), gather: &gathering{Staging: g.NewStaging()}}
	type loaded struct {
		load
		from *ahead
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
			if w.gather.full || len(w.gather.staged) > 0 && time.Since(w.gather.since) >= w.StageTime {
				w.failed(w.commitStaged(), true)
			}
		case <-wait:
			if w.askFirst() && !w.Ended(do) {
				w.gather.asked = true
				continue
			}
			w.failed(w.commitStaged(), true)
		}
	}
}

// due is when what is staged is to be committed, or [Loop.Ended] to be asked, if
// nothing comes before.
func (w *worker) due() (<-chan time.Time, func() bool) {
	g := w.gather
	if len(g.staged) == 0 {
		return nil, func() bool { return true }
	}
	wait := time.Until(g.since.Add(w.StageTime))
	switch {
	case w.askFirst():
		wait = min(wait, askIdle)
	case g.between():
		wait = min(wait, gatherIdle)
	}
	timer := time.NewTimer(max(wait, 0))
	return timer.C, timer.Stop
}

// between reports whether what is staged ends with a partition, or a live lane.
func (g *gathering) between() bool { return !g.inside && (!g.live || g.last) }

// askFirst reports whether the answer of [Loop.Ended] decides about committing before
// gatherIdle is over.
func (w *worker) askFirst() bool {
	g := w.gather
	return w.Ended != nil && g.between() && !g.asked && time.Since(g.since) < w.StageTime
}

// write applies changes, or stages them.
func (w *worker) write(ctx context.Context, changes []sink.Change) (sink.Applied, error) {
	if w.gather == nil {
		return w.Writer.Apply(ctx, changes)
	}
	staged, err := w.gather.Stage(ctx, changes)
	if errors.Is(err, sink.ErrRestage) {
		w.giveBack()
	}
	w.gather.full = w.gather.full || staged.Full
	return sink.Applied{}, err
}

// keep notes units that are staged. Their payloads are not needed any more.
func (w *worker) keep(units []unit, done Commit) {
	g := w.gather
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
// takes. After an error everything has been given back; errStopped and a change
// that has to come again are none.
func (w *worker) commitStaged() error {
	g := w.gather
	if len(g.staged) == 0 {
		g.full = false
		return nil
	}
	begin := time.Now()
	defer w.calls(len(g.staged), g.staged[0].Range.Start)()
	applied, err := w.insist(func(ctx context.Context) (sink.Applied, error) {
		applied, err := g.Commit(ctx)
		if errors.Is(err, sink.ErrRestage) {
			return applied, fault.Permanent(err) // this commit is over
		}
		return applied, err
	})
	if err != nil {
		w.giveBack()
		if errors.Is(err, sink.ErrRestage) || errors.Is(err, errStopped) {
			w.Logger.Info().Err(err).Msg("entries were given back that could not be committed; they come again")
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
	w.forget()
	return nil
}

// giveBack returns staged entries to the log: they are not committed.
func (w *worker) giveBack() {
	w.gather.Discard()
	for _, m := range w.gather.staged {
		m.staged = false
		m.nak(0)
	}
	w.outOfOrder()
	w.forget()
}

func (w *worker) forget() {
	w.gather.staged, w.gather.done = nil, Commit{}
	w.gather.inside, w.gather.live, w.gather.last, w.gather.full, w.gather.asked = false, false, false, false, false
}
