package amp

import (
	"context"
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc/codes"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/fault"
)

// ErrUnanswered says that a server which has planned a query did not begin the stream of
// it. Of a block that the tables have, as their head shows, it means that the server is
// slow; else the block is above the head or below the earliest block.
var ErrUnanswered = errors.New("the server did not begin the stream")

// Probe returns the cursor from which a stream of the query begins exactly at a
// block above 0, which must lie between the earliest block and the head, and so
// proves that the query can be streamed. It asks for the stream with a hash that
// no block has, upon which the server begins at that very block and names the
// canonical hash of the one before (AP 3.4, 4.4).
//
// Errors are classed. Those to branch on are [ErrNotStreamable], whose text has the
// server's reason; [ErrUnanswered], which comes after 15 s or when ctx meets its
// deadline, and is to be tried later; [ErrNoAnswer]; [ErrNoData]; and
// [ErrCursorIgnored].
func (c *Client) Probe(ctx context.Context, sql, network string, at block.Number) (block.Cursor, error) {
	cursor, err := c.probe(ctx, sql, network, at)
	if err != nil {
		return block.Cursor{}, fmt.Errorf("probe the stream at %s block %d: %w", network, at, err)
	}
	return cursor, nil
}

func (c *Client) probe(ctx context.Context, sql, network string, at block.Number) (block.Cursor, error) {
	if network == "" || at == 0 || at > block.Max {
		return block.Cursor{}, fault.Permanent(errors.New("a probe needs a network and a block with one before it"))
	}
	headers, err := streamHeaders(&block.Cursor{Network: network, Number: at})
	if err != nil {
		return block.Cursor{}, err
	}
	first, err := c.firstWithin(ctx, sql, headers)
	switch {
	case err != nil:
		return block.Cursor{}, err
	case first.Network != network:
		return block.Cursor{}, violation(opGet, fmt.Errorf("%w: %s", ErrOtherNetwork, first.inclusive()))
	case first.Numbers.Empty():
		return block.Cursor{}, violation(opGet, fmt.Errorf("%w: %s", ErrNoBlocks, first.inclusive()))
	case first.Numbers.Start != at:
		return block.Cursor{}, fault.Permanent(fmt.Errorf("%s: %w: it sent %s", opGet, ErrCursorIgnored, first.inclusive()))
	case first.Prev.IsZero():
		return block.Cursor{}, violation(opGet, fmt.Errorf("%w: %s", ErrNoPrev, first.inclusive()))
	}
	return block.Cursor{Network: network, Number: at - 1, Hash: first.Prev}, nil
}

// firstWithin is firstRange with a limit, after which the answer is [ErrUnanswered].
func (c *Client) firstWithin(ctx context.Context, sql string, headers []string) (Range, error) {
	p, err := c.plan(ctx, sql, headers...)
	if err != nil {
		return Range{}, err
	}
	late := fmt.Errorf("%w within %v: if the block is one that the server has, "+
		"raise source.answer_timeout", ErrUnanswered, c.cfg.AnswerTimeout)
	ctx, cancel := context.WithTimeoutCause(ctx, c.cfg.AnswerTimeout, late)
	defer cancel()
	first, err := c.firstRange(ctx, p)
	var told *Error
	if err != nil && (errors.Is(context.Cause(ctx), context.DeadlineExceeded) || // the caller's own deadline
		(errors.As(err, &told) && told.Code == codes.DeadlineExceeded.String())) { // any, as the server has noticed it first
		err = fault.Later(fmt.Errorf("%w: %w", ErrUnanswered, err), 0)
	}
	return first, err
}

// firstRange opens a stream and returns its first range.
func (c *Client) firstRange(ctx context.Context, p planned) (Range, error) {
	a, err := c.get(ctx, p, patience{})
	if err != nil {
		return Range{}, err
	}
	defer a.close()
	m, err := a.next()
	switch {
	case errors.Is(err, io.EOF):
		return Range{}, fmt.Errorf("%s: %w", opGet, ErrStreamEnded)
	case err != nil:
		return Range{}, err
	case len(m.Ranges) == 0:
		return Range{}, fault.Later(fmt.Errorf("%s: %w", opGet, ErrNoData), 0)
	case len(m.Ranges) > 1:
		return Range{}, violation(opGet, ErrNetworks)
	}
	return m.Ranges[0], nil
}
