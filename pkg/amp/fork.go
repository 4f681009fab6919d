package amp

import (
	"context"
	"errors"
	"fmt"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/fault"
)

// Fork asks how deep the reorg was with which the block left has left the chain. It
// returns the first block number at which the chain differs from left's branch, and the
// last block that both have, whose hash is zero if that number is 0. The server follows
// the parents of the blocks that it has replaced (AP 3.5). If it does not know the
// block any more, it answers that the chain differs from that very block on, however deep
// the reorg was (AP 3.4): an answer of left.Number proves nothing about what is below.
//
// If the block is in the chain after all, the answer is left.Number+1. Errors are those of
// [Client.Probe].
func (c *Client) Fork(ctx context.Context, sql string, left block.Cursor) (from block.Number, base block.Cursor, err error) {
	from, base, err = c.fork(ctx, sql, left)
	if err != nil {
		return 0, block.Cursor{}, fmt.Errorf("ask for the fork below %v: %w", left, err)
	}
	return from, base, nil
}

func (c *Client) fork(ctx context.Context, sql string, left block.Cursor) (block.Number, block.Cursor, error) {
	if left.Network == "" || left.Hash.IsZero() || left.Number > block.Max {
		return 0, block.Cursor{}, fault.Permanent(errors.New("a fork is asked for by a block of a network, with its hash"))
	}
	headers, err := streamHeaders(&left)
	if err != nil {
		return 0, block.Cursor{}, err
	}
	first, err := c.firstWithin(ctx, sql, headers)
	if err != nil {
		return 0, block.Cursor{}, err
	}
	start := first.Numbers.Start
	switch {
	case first.Network != left.Network:
		err = violation(opGet, fmt.Errorf("%w: %s", ErrOtherNetwork, first.inclusive()))
	case first.Numbers.Empty():
		err = violation(opGet, fmt.Errorf("%w: %s", ErrNoBlocks, first.inclusive()))
	case start > left.Number+1:
		err = violation(opGet, fmt.Errorf("%w: %s", ErrGap, first.inclusive()))
	case start > 0 && first.Prev.IsZero():
		err = violation(opGet, fmt.Errorf("%w: %s", ErrNoPrev, first.inclusive()))
	case start == left.Number+1 && first.Prev != left.Hash:
		err = violation(opGet, fmt.Errorf("%w: %s", ErrHashMismatch, first.inclusive()))
	}
	if err != nil || start == 0 {
		return start, block.Cursor{Network: left.Network}, err
	}
	return start, block.Cursor{Network: left.Network, Number: start - 1, Hash: first.Prev}, nil
}
