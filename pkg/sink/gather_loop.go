package sink

import (
	"context"
	"errors"
	"time"

	"github.com/ampipe/ampipe/pkg/fault"
)

// gatherIdle is how long nothing may come after the last entry of a partition
// before history is committed: then the log has been read to its end, and somebody
// may wait for it. In the middle of a partition more will come, from a slow source
// perhaps; and live entries wait for the whole time, since every block would be a
// commit of its own.
const gatherIdle = 500 * time.Millisecond

// gathering is what a worker has staged and not acknowledged. Only the worker uses
// it.
type gathering struct {
	Gathering
	staged []*held
	done   Commit
	live   bool      // some of it is
	ends   bool      // the last entry ends its partition
	full   bool      // the Gathering says so
	since  time.Time // the first was staged
}

// newGathering gives nil for a Writer that commits every batch.
func newGathering(w Writer) *gathering {
	if g, ok := w.(Gatherer); ok {
		return &gathering{Gathering: g.Gather()}
	}
	return nil
}

// write applies changes, or stages them.
func (w *worker) write(changes []Change) (Applied, error) {
	if w.gather == nil {
		return w.Writer.Apply(w.do, changes)
	}
	staged, err := w.gather.Stage(w.do, changes)
	if errors.Is(err, ErrRestage) {
		w.giveBack()
	}
	w.gather.full = w.gather.full || staged.Full
	return Applied{}, err
}

// keep notes units that are staged. Their payloads are not needed any more.
func (w *worker) keep(units []unit, done Commit) {
	g := w.gather
	if len(g.staged) == 0 {
		g.since = time.Now()
	}
	for _, u := range units {
		g.live = g.live || u.message.Live
		g.ends = u.message.Range.End >= u.message.End
		w.hand.release(u.message)
		u.message.staged = true
		g.staged = append(g.staged, u.message)
	}
	g.done.Entries += done.Entries
	g.done.Bytes += done.Bytes
	g.done.Ranges = append(g.done.Ranges, done.Ranges...)
}

// next waits for a batch and commits what is staged when its time has come. It
// gives false when there are no more batches. The error is of a commit.
func (w *worker) next(in <-chan []*held) ([]*held, bool, error) {
	g := w.gather
	if g == nil {
		batch, ok := <-in
		return batch, ok, nil
	}
	if g.full {
		if err := w.commitStaged(); err != nil {
			return nil, true, err
		}
	}
	if len(g.staged) == 0 {
		batch, ok := <-in
		return batch, ok, nil
	}
	wait := time.Until(g.since.Add(w.Gather))
	if g.ends && !g.live {
		wait = min(wait, gatherIdle)
	}
	timer := time.NewTimer(max(wait, 0))
	defer timer.Stop()
	select {
	case batch, ok := <-in:
		if ok && time.Since(g.since) >= w.Gather {
			return batch, true, w.commitStaged()
		}
		return batch, ok, nil
	case <-timer.C:
		return nil, true, w.commitStaged()
	}
}

// last commits what is staged when the worker ends, also after a failure: that is
// of something else.
func (w *worker) last() error {
	if w.gather == nil {
		return nil
	}
	return w.commitStaged()
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
	applied, err := w.insist(func(ctx context.Context) (Applied, error) {
		applied, err := g.Commit(ctx)
		if errors.Is(err, ErrRestage) {
			return applied, fault.Permanent(err) // this commit is over
		}
		return applied, err
	})
	if err != nil {
		w.giveBack()
		if errors.Is(err, ErrRestage) || errors.Is(err, errStopped) {
			w.Logger.Info().Err(err).Msg("entries were given back that could not be committed; they come again")
			return nil
		}
		return err
	}
	for _, m := range g.staged {
		w.hand.ack(m)
	}
	g.done.Applied, g.done.Took = applied, time.Since(begin)
	w.status.wrote(applied.Rows)
	w.Observer.OnApplied(g.done)
	w.forget()
	return nil
}

// giveBack gives staged entries back: they are not committed.
func (w *worker) giveBack() {
	w.gather.Discard()
	for _, m := range w.gather.staged {
		m.staged = false
		w.hand.nak(m, 0)
	}
	w.forget()
}

func (w *worker) forget() {
	*w.gather = gathering{Gathering: w.gather.Gathering}
}

// release says that the payload of a message is not needed any more. It is still
// in hand, and still to be answered.
func (h *hand) release(one *held) {
	h.mu.Lock()
	h.bytes -= len(one.Payload)
	h.mu.Unlock()
	one.Payload = nil
	if r, ok := one.Reply.(interface{ Release() }); ok {
		r.Release()
	}
	select {
	case h.freed <- struct{}{}:
	default:
	}
}
