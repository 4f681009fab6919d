package extract

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/state"
)

// errEpoch ends the work on the live lane because the planner has begun an epoch.
var errEpoch = errors.New("an epoch has begun")

// lostPause is how long a lane that is lost waits for the planner.
const lostPause = time.Second

// live writes the chain to the live lane for as long as ctx lasts, which ends when the
// task is another process's. An error is the queue's, never the source's.
func (x *Extractor) live(ctx, take context.Context, begins func()) (outcome, error) {
	var spec state.Spec
	err := x.whileAway(ctx, func() (err error) {
		spec, _, err = x.State.LoadSpec(ctx)
		return err
	})
	if errors.Is(err, queue.ErrNotFound) || (err == nil && (!spec.Follows() || spec.Live.Open || spec.Live.Tentative)) {
		return finished, nil // of a plan that is gone; the planner queues it again when the lane may begin
	}
	if err != nil {
		return lost, fmt.Errorf("read the plan: %w", err)
	}
	ctx, stop := x.whileEpoch(ctx, spec.Epoch)
	defer stop()
	l, err := x.holdLive(ctx, spec)
	if err == nil {
		begins()
		err = fault.Catch(func() error { return l.follow(ctx, take) })
	}
	x.tellLive(nil)
	log := x.Logger.With().Uint64("epoch", spec.Epoch).Logger()
	switch cause := context.Cause(ctx); {
	case err == nil:
		log.Info().Uint64("until", uint64(l.next)).Msg("the live lane has reached max_block")
		return finished, l.save(ctx, state.LiveDone, nil)
	case errors.Is(err, errLost):
		log.Warn().Err(err).Msg("waiting for the planner to begin an epoch")
		return later, nil
	case errors.Is(err, errOccupied):
		log.Debug().Err(err).Msg("waiting for the planner to empty the live lane")
		return later, nil
	case errors.Is(err, errOutdated):
		log.Info().Err(err).Msg("waiting for the plan that the live lane belongs to")
		return later, nil
	case errors.Is(err, queue.ErrFenced), errors.Is(err, queue.ErrConflict), errors.Is(cause, queue.ErrTaskLost):
		log.Info().Err(err).AnErr("cause", cause).Msg("the live lane was taken over by another process")
		return lost, nil
	case errors.Is(cause, errEpoch):
		log.Info().Msg("an epoch has begun; the live lane begins again")
		return stopped, nil
	case errors.Is(err, errStop), take.Err() != nil:
		return stopped, nil
	case l != nil && fault.Of(err) == fault.ClassPermanent:
		failed(log, err).Msg("the live lane failed")
		return finished, l.save(ctx, state.LiveFailed, err) // waits for NATS, and a process that is to stop does not
	default:
		return lost, err
	}
}

// whileEpoch returns a context that ends when the plan's epoch is another one.
func (x *Extractor) whileEpoch(ctx context.Context, epoch uint64) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		err := x.watchSpec(ctx, func(spec state.Spec) error {
			if spec.Epoch == epoch {
				return nil
			}
			return errEpoch
		})
		if err != nil {
			cancel(err)
		}
	}()
	return ctx, func() {
		cancel(context.Canceled)
		<-done
	}
}

// follow turns the events of the stream into entries, until max_block is reached
// (nil) or something ends it.
func (l *lane) follow(ctx, take context.Context) error {
	defer l.trace.End()
	defer l.release()
	if l.done() {
		return nil
	}
	// Listening ends at once when the process is to stop: the next one rolls back what
	// is unfinished.
	listen, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	defer context.AfterFunc(take, func() { stop(errStop) })()

	for event, err := range l.x.Source.Follow(listen, l.query.Text(), l.options()) {
		if err != nil {
			if cause := context.Cause(listen); cause != nil {
				return cause
			}
			return err
		}
		switch e := event.(type) {
		case amp.Rows:
			err = l.rows(ctx, e)
		case amp.Watermark:
			err = l.watermark(ctx, e)
		case amp.Undo:
			err = l.undo(ctx, e)
		}
		if err != nil {
			return err
		}
		if l.done() {
			return nil
		}
	}
	return errStop // Follow ends with an error only
}

func (l *lane) options() amp.FollowOptions {
	o := amp.FollowOptions{
		Network: l.spec.Network, Resume: l.checkpoints.list, Backoff: l.x.liveBackoff(), Remember: 4 * denseCheckpoints,
		Head: l.query.Head(), Explain: l.explain,
		OnWait: func(w amp.Wait) {
			switch end := l.spec.MaxBlock; {
			case !errors.Is(w.Reason, amp.ErrSilence):
				l.tell(w.Reason)
			case end == nil: // the stream is open, and a chain may stand still
				l.tell(nil)
			default:
				l.tell(expected{fmt.Errorf("blocks below %d are wanted, and the server has none %s", *end, following(w.After))})
			}
		},
	}
	if workers := l.x.workers().N(); workers > 1 {
		o.Split = &amp.Split{Streams: workers, Query: func(r block.Range) string { return l.query.Wrap(l.spec.BlockColumn, r) }}
	}
	if l.spec.MaxBlock != nil {
		o.Silence = cmp.Or(l.x.NotYet, notYet)
	}
	first := min(l.spec.History.Start, l.next)
	o.Beginning = &first
	return o
}

func following(c *block.Cursor) string {
	if c == nil {
		return "yet"
	}
	return "after " + c.String()
}

// done reports whether the lane has every block below max_block.
func (l *lane) done() bool { return l.spec.MaxBlock != nil && l.next >= *l.spec.MaxBlock }

// begun opens the range that is arriving, if it is not open.
func (l *lane) begun(r amp.Range) error {
	if l.cutter != nil {
		return nil
	}
	l.tell(nil)
	if r.Numbers.Start != l.next {
		return fault.Permanent(fmt.Errorf("the stream goes on at block %d, where block %d was to come", r.Numbers.Start, l.next))
	}
	cutter, err := entry.NewCutter(entry.CutOptions{
		Range: r.Numbers, Column: l.x.Column, Target: l.x.EntryBytes, Encoder: l.encoder,
		Header: entry.Header{Epoch: l.spec.Epoch, Network: r.Network, Seen: now()},
	})
	if err != nil {
		return fault.Permanent(err)
	}
	l.cutter, l.open, l.seen = cutter, r, now()
	l.trace.Reads()
	if end := l.spec.MaxBlock; end != nil && *end < r.Numbers.End {
		return cutter.Lower(*end) // the rest was not asked for
	}
	return nil
}

func (l *lane) rows(ctx context.Context, e amp.Rows) error {
	if err := l.begun(e.Range); err != nil {
		return err
	}
	l.trace.Cuts()
	groups, err := l.cutter.Push(e.Record)
	l.trace.Cut()
	if err != nil {
		return fault.Permanent(err)
	}
	if err := l.append(ctx, groups); err != nil || !l.cutter.Done() {
		return err
	}
	l.release() // the rest of the range is beyond max_block
	l.next = *l.spec.MaxBlock
	return nil
}

func (l *lane) append(ctx context.Context, groups []entry.Group) error {
	for _, group := range groups {
		for i := range group {
			group[i].End = 0
			if end := l.spec.MaxBlock; end != nil {
				group[i].End = *end
			}
		}
		if err := l.publish(ctx, group); err != nil {
			return err
		}
	}
	return nil
}

// watermark completes the range: the only place a cursor comes from. A range that
// reaches beyond max_block is cut there and gets none, so that a later run with a
// higher max_block reads it again.
func (l *lane) watermark(ctx context.Context, w amp.Watermark) error {
	if err := l.begun(w.Range); err != nil {
		return err
	}
	l.trace.Cuts()
	groups, err := l.cutter.Finish()
	l.trace.Cut()
	if err != nil {
		return fault.Permanent(err)
	}
	r := w.Range
	end := l.spec.MaxBlock
	cut := end != nil && *end < r.Numbers.End
	complete := !cut && l.complete(groups, r)
	if err := l.append(ctx, groups); err != nil {
		return err
	}
	l.release()
	if cut {
		l.next = *end
		return nil
	}
	if !complete {
		err = l.publish(ctx, entry.Group{{Header: entry.Header{
			Kind: entry.Watermark, Epoch: l.spec.Epoch, Network: r.Network, Range: r.Numbers,
			Hash: r.Hash, Prev: r.Prev, Seen: l.seen,
		}}})
		if err != nil {
			return err
		}
	}
	l.closed, l.next = l.seq, r.Numbers.End
	l.checkpoints.add(r.Cursor())
	if time.Since(l.saved) >= saveEvery {
		return l.save(ctx, state.LiveRunning, nil)
	}
	return nil
}

// complete makes the one entry that has all rows of a range also close it, and reports
// whether there is one: then nothing has to follow, neither in the log nor in a sink.
func (l *lane) complete(groups []entry.Group, r amp.Range) bool {
	if len(groups) != 1 || len(groups[0]) != 1 || groups[0][0].Range != r.Numbers {
		return false
	}
	h := &groups[0][0].Header
	h.Complete, h.Hash, h.Prev = true, r.Hash, r.Prev
	return true
}

// undo rolls back what the stream has taken back, if the lane, or the history, has it.
func (l *lane) undo(ctx context.Context, u amp.Undo) error {
	l.release()
	gone := max(l.next, l.writtenUpTo) // what the lane, or the history, has published
	if u.Reorg && gone > u.From {
		l.reorgs++
		l.noteReorg(u.From, uint64(gone-u.From))
		l.x.Logger.Info().Uint64("from", uint64(u.From)).Uint64("blocks", uint64(gone-u.From)).Msg("reorg")
		if l.x.Observer != nil {
			l.x.Observer.Reorg(u.From)
		}
	}
	l.counts.cut(u.From)
	l.checkpoints.cut(u.From)
	if u.Base != nil {
		l.checkpoints.close(*u.Base)
	}
	if u.From >= l.next && l.writtenUpTo <= l.next {
		return nil // nothing of it was published
	}
	return l.invalidate(ctx, u.From)
}

func (l *lane) release() {
	if l.cutter != nil {
		l.cutter.Release()
		l.cutter = nil
	}
}

// livePart is the live lane as the observer knows it.
const livePart = "live"

// tellLive reports what the live lane waits for; nil: nothing.
func (x *Extractor) tellLive(reason error) { (&publisher{x: x, name: livePart}).tell(reason) }
