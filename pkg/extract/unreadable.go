package extract

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/sqlcheck"
)

// streamWindow is how many blocks a server sends in one go at most (AP 3.1).
const streamWindow = 1000

// Unreadable returns the error for a block of the live chain whose rows cannot be computed.
// The blocks of the chain from one on wait for it.
func Unreadable(n, from block.Number, cause error) error {
	return fmt.Errorf("block %d of the live chain cannot be read, and the blocks from %d on wait: %w", n, from, cause)
}

// Fetcher is what [FirstUnreadable] needs of a [Source].
type Fetcher interface {
	Fetch(ctx context.Context, query string) iter.Seq2[amp.Message, error]
}

// FirstUnreadable returns the first of the first 1000 blocks of r of which the server
// cannot compute a row of the query, and the server's reason; reason is nil if there is
// none. err is of another failure.
func FirstUnreadable(
	ctx context.Context, source Fetcher, query *sqlcheck.Query, column string, r block.Range,
) (n block.Number, reason, err error) {
	r.End = min(r.End, r.Start+streamWindow)
	if r.Empty() {
		return 0, nil, nil
	}
	if reason, err = uncomputed(ctx, source, query.Wrap(column, r)); reason == nil || err != nil {
		return 0, nil, err
	}
	for r.Len() > 1 { // one of them fails
		half := block.Range{Start: r.Start, End: r.Start + block.Number(r.Len()/2)}
		found, err := uncomputed(ctx, source, query.Wrap(column, half))
		switch {
		case err != nil:
			return 0, nil, err
		case found != nil:
			r, reason = half, found
		default:
			r.Start = half.End
		}
	}
	return r.Start, reason, nil
}

// uncomputed returns why the server cannot compute a row of a query; nil: it can.
func uncomputed(ctx context.Context, source Fetcher, query string) (reason, err error) {
	for _, err := range source.Fetch(ctx, query) {
		if errors.Is(err, amp.ErrRow) {
			return err, nil
		}
		if err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// explain names the block of the live chain whose rows cannot be computed, and what
// becomes of it: nothing can follow it, and the stream is asked for again until the
// block, or the server, is another one.
func (l *lane) explain(ctx context.Context, _ *block.Cursor, cause error) error {
	r := block.Range{Start: l.next, End: block.Max}
	if l.bad >= l.next { // the one that was found last comes first
		r = block.Closed(l.bad, l.bad)
	}
	find := func() (block.Number, error, error) {
		return FirstUnreadable(ctx, l.x.Source, l.query, l.spec.BlockColumn, r)
	}
	n, reason, err := find()
	if err == nil && reason == nil && r.End != block.Max { // it can be computed by now
		r = block.Range{Start: l.next, End: block.Max}
		n, reason, err = find()
	}
	if err != nil || reason == nil {
		return cause // the stream is asked for again as it is
	}
	l.bad = n
	return Unreadable(n, l.next, cause)
}
