package sink

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/fault"
)

// worker applies batches, one transaction after the other.
type worker struct {
	*run
	take, do context.Context
	decoder  *entry.Decoder
	pause    *pauser
	gather   *gathering // nil: every batch is committed by itself
}

// early is how long an entry that came before its predecessor stays away.
const early = time.Second

// work applies batches until there are no more. After a failure, its own or
// that of another, it gives back what comes.
func (r *run) work(take, do context.Context, in <-chan []*held) error {
	w := &worker{run: r, take: take, do: do, decoder: entry.NewDecoder(r.Allocator), pause: r.status.pauser(), gather: newGathering(r.Writer)}
	var failure error
	for {
		batch, more, err := w.next(in)
		if !more {
			break
		}
		if failure == nil {
			if err == nil {
				err = w.batch(batch)
			}
			switch {
			case errors.Is(err, errStopped):
				r.Logger.Info().Int("entries", len(batch)).Msg("told to stop before everything was committed; the rest stays in the log")
			case errors.Is(err, ErrGap):
				for _, m := range batch {
					r.hand.nak(m, early)
				}
			case err != nil:
				failure = err
				r.stop(err)
			}
		}
		for _, m := range batch {
			r.hand.nak(m, 0)
		}
	}
	return cmp.Or(failure, w.last())
}

// batch applies messages in as few transactions as the memory allows, and
// acknowledges those that are committed. What is hopeless does not keep it from
// the rest, except on the live lane; the error is then the first.
func (w *worker) batch(batch []*held) error {
	var hopeless error
	for len(batch) > 0 {
		live := batch[0].Live
		units, broken := w.decode(batch)
		batch = batch[len(units):]
		var err error
		if len(units) > 0 {
			err = w.apply(units, &isolation{left: isolations})
		}
		for _, u := range units {
			release(u.change)
		}
		if err != nil && fault.Of(err) != fault.ClassPermanent {
			return err
		}
		if broken != nil {
			batch = batch[1:]
		}
		if hopeless == nil {
			hopeless = cmp.Or(err, broken)
		}
		if hopeless != nil && live {
			break
		}
	}
	return hopeless
}

// apply commits units together or, when one of them is hopeless, those that can
// be. It acknowledges what is committed. The error is of the first that is not.
func (w *worker) apply(units []unit, i *isolation) error {
	changes := make([]Change, len(units))
	done := Commit{Entries: len(units)}
	for k, u := range units {
		changes[k] = u.change
		done.Ranges = append(done.Ranges, u.change.Range)
		done.Bytes += len(u.message.Payload)
	}
	begin := time.Now()
	applied, err := w.commit(changes)
	if err != nil {
		if fault.Of(err) == fault.ClassPermanent || errors.Is(err, ErrGap) {
			return w.isolate(units, err, i)
		}
		return err
	}
	if w.gather != nil {
		w.keep(units, done)
		return nil
	}
	for _, u := range units {
		w.hand.ack(u.message)
	}
	done.Applied, done.Took = applied, time.Since(begin)
	w.status.wrote(applied.Rows)
	w.Observer.OnApplied(done)
	return nil
}

// commit makes changes by one transaction, however long that takes. The errors
// are: errStopped; ErrGap; one that is permanent, which may be due to one of the
// changes; or one that is not, when every attempt has failed.
func (w *worker) commit(changes []Change) (Applied, error) {
	return w.insist(func(context.Context) (Applied, error) { return w.write(changes) })
}

// insist repeats a call of the Writer by the class of its errors; see commit.
func (w *worker) insist(call func(context.Context) (Applied, error)) (_ Applied, err error) {
	defer func() {
		if !errors.Is(err, errStopped) { // then the reason is still the reason
			w.pause.over()
		}
	}()
	for failed, waited := 0, 0; ; {
		applied, err := call(w.do)
		if err == nil {
			return applied, nil
		}
		if w.do.Err() != nil {
			return Applied{}, errStopped
		}
		if errors.Is(err, ErrGap) {
			return Applied{}, err
		}
		var pause time.Duration
		switch classOf(err) {
		case fault.ClassPermanent:
			return Applied{}, fault.Permanent(err)
		case fault.ClassLater:
			waited++
			if pause = fault.After(err); pause <= 0 {
				pause = w.Backoff.Delay(waited)
			}
			w.pause.because(err)
		default:
			if failed++; failed >= w.Backoff.Tries() {
				return Applied{}, fmt.Errorf("gave up after %d attempts: %w", failed, err)
			}
			pause = w.Backoff.Delay(failed)
			w.Logger.Warn().Err(err).Int("attempt", failed).Dur("pause", pause).Msg("transaction failed; trying again")
		}
		if fault.Sleep(w.take, pause) != nil {
			return Applied{}, errStopped
		}
	}
}

// classOf is the class of an error of a Writer. A refused row is hopeless even
// if it was not marked so.
func classOf(err error) fault.Class {
	if _, bad := errors.AsType[*BadRowError](err); bad {
		return fault.ClassPermanent
	}
	return fault.Of(err)
}
