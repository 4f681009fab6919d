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

// staged has the Writer stage what it is passed, commits many batches together, and
// acknowledges their entries then. Only its worker uses it.
type staged struct {
	*worker
	staging sink.Staging
	pending
}

// pending is what is staged and not committed.
type pending struct {
	messages []*message
	done     Commit
	inside   bool      // the last entry of history does not end its partition
	hasLive  bool      // some of it is of the live lane
	last     bool      // nothing comes after it in the live lane
	full     bool      // the Staging says so
	since    time.Time // the first was staged
	latest   time.Time // the last was staged
}

// workStaged is the one worker of a Stager: it takes the loads of all lanes.
func (r *run) workStaged(take, do context.Context, stager sink.Stager, in []*prefetch) error {
	w := &worker{run: r, take: take, do: do, pauser: r.status.pauser(), step: "stage", work: r.Tracer.Work()}
	g := &staged{worker: w, staging: stager.NewStaging()}
	w.committer = g
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
		wait, stop := g.due()
		select {
		case l, more := <-all:
			stop()
			if !more {
				// What is staged is committed, also after a failure: that is of something
				// else.
				w.failed(g.commitStaged(), true)
				return w.failure
			}
			w.load(l.load, l.from.live)
			l.from.done(l.load)
			if g.full || (len(g.messages) > 0 && time.Since(g.since) >= w.StageTime) {
				w.failed(g.commitStaged(), true)
			}
		case <-wait:
			if g.asks() {
				if !w.Ended(do) {
					continue
				}
				w.status.ended()
			}
			w.failed(g.commitStaged(), true)
		}
	}
}

// due is when what is staged is to be committed, or [Loop.Ended] to be asked, if
// nothing comes before.
func (g *staged) due() (<-chan time.Time, func() bool) {
	if len(g.messages) == 0 {
		return nil, func() bool { return true }
	}
	wait := time.Until(g.since.Add(g.StageTime))
	if g.between() {
		wait = min(wait, time.Until(g.latest.Add(stageIdle)))
	}
	if g.asks() {
		wait = min(wait, askIdle)
	}
	timer := time.NewTimer(max(wait, 0))
	return timer.C, timer.Stop
}

// between reports whether what is staged ends at the end of a partition, or a live lane.
func (p *pending) between() bool { return !p.inside && (!p.hasLive || p.last) }

// asks reports whether the answer of [Loop.Ended] decides about committing, before stageIdle is
// over.
func (g *staged) asks() bool {
	return g.Ended != nil && g.between() && time.Since(g.latest) < stageIdle && time.Since(g.since) < g.StageTime
}

// write stages changes.
func (g *staged) write(ctx context.Context, changes []sink.Change) (sink.Applied, error) {
	now, err := g.staging.Stage(ctx, changes)
	if errors.Is(err, sink.ErrRestage) {
		g.discard()
	}
	g.full = g.full || now.Full
	return sink.Applied{}, err
}

// wrote notes units that are staged. Their payloads are not needed any more.
func (g *staged) wrote(units []unit, _ sink.Applied, _ time.Duration) {
	g.latest = time.Now()
	if len(g.messages) == 0 {
		g.since = g.latest
	}
	for _, u := range units {
		ends := u.change.Range.End >= u.change.End
		if u.message.Live() {
			g.hasLive, g.last = true, g.last || ends && u.change.End != 0
		} else {
			g.inside = !ends
		}
		g.done.add(u)
		u.message.Release()
		u.message.staged = true
		g.messages = append(g.messages, u.message)
	}
}

func (g *staged) holds() bool { return len(g.messages) > 0 }

func (g *staged) panicked() { g.discard() }

// commitStaged commits what is staged and acknowledges it, however long that takes. After an
// error everything has been returned to the log; errStopped and a change that has to come
// again are none.
func (g *staged) commitStaged() error {
	if len(g.messages) == 0 {
		g.full = false
		return nil
	}
	begin := time.Now()
	defer g.calls(len(g.messages), g.messages[0].Range.Start)()
	applied, err := g.retry(func(ctx context.Context) (sink.Applied, error) {
		applied, err := g.staging.Commit(ctx)
		if errors.Is(err, sink.ErrRestage) {
			return applied, fault.Permanent(err) // this commit is over
		}
		return applied, err
	})
	for _, m := range g.messages {
		m.trace.Worked("commit", g.work, len(g.messages), err)
	}
	if err != nil {
		g.discard()
		if errors.Is(err, sink.ErrRestage) || errors.Is(err, errStopped) {
			g.Logger.Info().Err(err).Msg("entries could not be committed and were returned to the log; they will come again")
			return nil
		}
		return err
	}
	for _, m := range g.messages {
		m.ack()
	}
	g.done.Applied, g.done.Took = applied, time.Since(begin)
	g.observe(g.done)
	g.pending = pending{}
	return nil
}

// discard returns what is staged to the log: it is not committed.
func (g *staged) discard() {
	g.staging.Discard()
	for _, m := range g.messages {
		m.staged = false
		m.nak(0)
	}
	g.outOfOrder()
	g.pending, g.lane = pending{}, liveLane{}
}
