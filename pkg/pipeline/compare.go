package pipeline

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/extract"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/plan"
	"github.com/ampipe/ampipe/pkg/sink"
)

// maxSearched is how many blocks that cannot be compared are searched for one by one, in
// each sink. What cannot be read beyond them is named as the range that was asked for.
const maxSearched = 100

// sourceError is an error of the source, and not of the destination.
type sourceError struct{ error }

func (e *sourceError) Unwrap() error { return e.error }

// rowsError is about rows that the source has sent, and that the destination could not
// hold.
type rowsError struct{ error }

func (e *rowsError) Unwrap() error { return e.error }

func fromSource(err error) bool {
	_, is := errors.AsType[*sourceError](err)
	return is
}

// ofBlocks returns what is wrong with the source's rows of some of the blocks that were
// asked for, while those of others can be read; nil: it is another error.
func ofBlocks(err error) error {
	if e, is := errors.AsType[*rowsError](err); is {
		return fmt.Errorf("the destination could not hold a row of the source: %w", e.error)
	}
	for _, kind := range []error{amp.ErrRow, amp.ErrMessageSize, amp.ErrTooMuch} {
		if e, is := errors.AsType[*sourceError](err); is && errors.Is(err, kind) {
			return fmt.Errorf("the source cannot send it: %w", e.error)
		}
	}
	return nil
}

// compareRange compares the blocks of r. Blocks that one side cannot read are searched
// for, and become differences with a reason; an error means that nothing can be read of
// the source, or of the destination.
func (v *verification) compareRange(ctx context.Context, d sink.Digester, r block.Range) (Comparison, error) {
	var left []sink.Unreadable
	for {
		found, err := v.compareOnce(ctx, d, r, left)
		switch {
		case err == nil:
			return found, nil
		case ctx.Err() != nil:
			return found, context.Cause(ctx)
		case errors.Is(err, amp.ErrTooMuch) && r.Len() > 1:
			return v.compareHalves(ctx, d, r)
		case ofBlocks(err) != nil && left == nil:
			v.log.Info().Stringer("blocks", r).Err(err).Msg("some of these blocks cannot be read; searching for them")
			err := v.search(ctx, d, r, err, &left)
			if err != nil {
				return Comparison{}, err
			}
			if left == nil { // all of them can be read by now
				left = []sink.Unreadable{}
			}
		case ofBlocks(err) != nil: // others than before
			v.named++
			return Comparison{Differences: []Difference{{Blocks: r, Reason: ofBlocks(err)}}}, nil
		case fromSource(err):
			return Comparison{}, err
		default:
			return v.unread(ctx, d, r, err)
		}
	}
}

// compareHalves compares both halves of r.
func (v *verification) compareHalves(ctx context.Context, d sink.Digester, r block.Range) (Comparison, error) {
	var both Comparison
	for _, half := range plan.Cut(r, (r.Len()+1)/2) {
		found, err := v.compareRange(ctx, d, half)
		both.add(found)
		if err != nil {
			return both, err
		}
	}
	return both, nil
}

// unread is what becomes of blocks that the destination failed to read: if it can be
// opened, they are at fault, or some of them.
func (v *verification) unread(ctx context.Context, d sink.Digester, r block.Range, cause error) (Comparison, error) {
	if err := v.reachable(ctx); err != nil {
		return Comparison{}, cause
	}
	v.noMoreWaiting = true
	if r.Len() > 1 && d.Windowed() && v.named < maxSearched {
		v.log.Info().Stringer("blocks", r).Err(cause).Msg("some of these blocks cannot be read; searching for them")
		return v.compareHalves(ctx, d, r)
	}
	v.named++
	return Comparison{Differences: []Difference{{Blocks: r, Reason: notReadBack(cause)}}}, nil
}

// reachable reports why the destination cannot be opened, if it cannot.
func (v *verification) reachable(ctx context.Context) error {
	w, err := newWriter(v.options, v.sink)
	if err != nil {
		return err
	}
	if err = w.OpenStored(ctx, v.table); err != nil { // as before
		return errors.Join(err, w.Close())
	}
	return w.Close()
}

// compareOnce compares the blocks of r without those that are left out. An error that may
// pass is waited for, once in each sink.
func (v *verification) compareOnce(
	ctx context.Context, d sink.Digester, r block.Range, left []sink.Unreadable,
) (found Comparison, err error) {
	err = fault.Retry(ctx, v.backoff(), v.limited(func(ctx context.Context) (err error) {
		found, err = Compare(ctx, v.source, v.checked, d, r, left...)
		return err
	}), logged(v.log))
	return found, err
}

// backoff returns how long to retry after an error that may pass.
func (v *verification) backoff() fault.Backoff {
	if v.noMoreWaiting {
		return fault.Backoff{Attempts: 2}
	}
	return fault.Backoff{GiveUp: commandGiveUp}
}

// limited returns op, with errors that are of single blocks for good, and a destination that
// is away waited for no longer than any other error.
func (v *verification) limited(op func(context.Context) error) func(context.Context) error {
	var first time.Time
	return func(ctx context.Context) error {
		err := op(ctx)
		switch {
		case err == nil, fromSource(err) && ofBlocks(err) == nil:
			return err
		case ofBlocks(err) != nil:
			return fault.Permanent(err)
		case first.IsZero():
			first = time.Now()
		case fault.Of(err) == fault.ClassLater && (v.noMoreWaiting || time.Since(first) > commandGiveUp):
			return fault.Permanent(err)
		}
		return err
	}
}

// search finds the blocks of r that the source cannot send, or whose rows the destination
// could not hold: cause is the error of them all.
func (v *verification) search(ctx context.Context, d sink.Digester, r block.Range, cause error, into *[]sink.Unreadable) error {
	if r.Len() == 1 || v.named >= maxSearched {
		v.named++
		*into = append(*into, sink.Unreadable{Blocks: r, Err: ofBlocks(cause)})
		return nil
	}
	for _, half := range plan.Cut(r, (r.Len()+1)/2) {
		err := fault.Retry(ctx, v.backoff(), v.limited(func(ctx context.Context) error {
			_, err := digestSource(ctx, v.source, v.checked, d, half, false)
			return err
		}), logged(v.log))
		if err != nil && ofBlocks(err) != nil && ctx.Err() == nil {
			err = v.search(ctx, d, half, err, into)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Compare reads the blocks of r from both sides, at the same time, and compares them.
// Blocks of left are not read from the source, and are differences with their reasons,
// as are those that the destination reports it cannot read.
func Compare(
	ctx context.Context, source plan.Source, checked *plan.Checked, d sink.Digester, r block.Range, left ...sink.Unreadable,
) (Comparison, error) {
	var want, have = sink.Digests{}, sink.Digests{}
	var unreadable []sink.Unreadable
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		want, err = digestSource(ctx, source, checked, d, r, false, left...)
		return err
	})
	g.Go(func() error {
		err := d.DigestStored(ctx, r, have)
		if some, others := unreadableBy(err); others {
			unreadable = some
			return nil
		}
		return err
	})
	if err := g.Wait(); err != nil {
		return Comparison{}, err
	}
	differences := leaveOut(want, have, left, unreadable)
	c := differ(want, have)
	c.Differences = append(c.Differences, differences...)
	c.sort()
	return c, nil
}

// sourceBehind is how long a source that lacks blocks is waited for.
const sourceBehind = 3 * time.Second

// digestSource reads the blocks of r from the source, without those that are left out, as
// the destination would hold them. With whole the source must have all of them: an answer
// says nothing when rows are missing because they are not there yet (AP 2).
func digestSource(
	ctx context.Context, source plan.Source, checked *plan.Checked, d sink.Digester, r block.Range, whole bool, left ...sink.Unreadable,
) (sink.Digests, error) {
	digest := d.DigestSource()
	var out block.Set
	for _, u := range left {
		out.Add(u.Blocks)
	}
	for _, part := range out.Missing(r) {
		if err := digestPart(ctx, source, checked, digest, part, whole); err != nil {
			return nil, err
		}
	}
	return digest.Digests(), nil
}

func digestPart(ctx context.Context, source plan.Source, checked *plan.Checked, digest sink.SourceDigest, r block.Range, whole bool) error {
	for msg, err := range source.Fetch(ctx, checked.Query.Wrap(checked.BlockColumn(), r)) {
		if err != nil {
			return fmt.Errorf("read blocks %v of the source: %w", r, &sourceError{err})
		}
		if whole {
			if err := extract.Available(msg.Ranges, r, sourceBehind); err != nil {
				return err
			}
			whole = false
		}
		if err := digest.Add(msg.Record); err != nil {
			return fmt.Errorf("digest blocks %v of the source: %w", r, &rowsError{err})
		}
	}
	return nil
}
