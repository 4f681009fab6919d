package plan

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/state"
)

// liveStart returns the first block of the live lane: the last reorg_buffer blocks
// below the head are not read as history, because they may still change.
func liveStart(want config.Range, have amp.Range) block.Number {
	buffer := want.ReorgBuffer
	if own, ok := want.ReorgBuffers[have.Network]; ok {
		buffer = own
	}
	return max(want.MinBlock, have.Numbers.End-min(have.Numbers.End, block.Number(buffer)))
}

// checkLive sets whether the chain is followed, and checks that the query can be: a server
// answers that only when it is asked for the stream (AP 3.7, 4.4).
// Without max_block a query that cannot be followed is refused; with it everything
// is read as history.
func (c *Checked) checkLive(ctx context.Context, source Source, want config.Range) error {
	if len(c.Head) == 0 {
		if want.MaxBlock == nil {
			return fault.Later(errors.New("the server has no data for this query yet, and so nothing to follow"), 0)
		}
		return nil
	}
	have := c.Head[0]
	start := liveStart(want, have)
	if len(c.Head) == 1 && have.Numbers.Empty() {
		return fault.Later(fmt.Errorf("the tables of the query have no block in common yet: %v", have.Numbers), 0)
	}
	if want.MaxBlock != nil && *want.MaxBlock <= start {
		return nil
	}
	err := c.streamable(ctx, source, have)
	switch {
	case err == nil:
		c.Follow, c.LiveStart = true, start
		return nil
	case !errors.Is(err, errCannotFollow):
		return err
	case want.MaxBlock != nil:
		c.Warnings = append(c.Warnings, fmt.Sprintf("%v; everything below max_block is read as history, "+
			"also the last %d blocks below the head, which may still be reorganised",
			err, have.Numbers.End-min(have.Numbers.End, start)))
		return nil
	default:
		return fault.Permanent(fmt.Errorf("%w. Set range.max_block to load a finite range of it", err))
	}
}

// errCannotFollow is a query that no server streams.
var errCannotFollow = errors.New("this query cannot be followed live")

func (c *Checked) streamable(ctx context.Context, source Source, have amp.Range) error {
	if len(c.Head) > 1 {
		names := make([]string, len(c.Head))
		for i, r := range c.Head {
			names[i] = r.Network
		}
		return fmt.Errorf("%w: it reads tables of several networks (%v), and a stream has one", errCannotFollow, names)
	}
	at := have.Numbers.Last()
	if at == 0 {
		return nil // a chain of one block: there is nothing to probe with
	}
	_, err := source.Probe(ctx, c.Query.Text(), have.Network, at)
	switch {
	case errors.Is(err, amp.ErrNotStreamable):
		return fmt.Errorf("%w: %w", errCannotFollow, err)
	case errors.Is(err, amp.ErrRow): // so that the query was accepted
		c.Warnings = append(c.Warnings, fmt.Sprintf("block %d cannot be read as it is now: %v", at, err))
		return nil
	}
	if err != nil {
		return fmt.Errorf("ask whether source.query can be followed: %w", err)
	}
	return nil
}

// Origin returns where the live lane begins: at the first of the blocks that the
// history leaves out, after a block whose hash is known. Older blocks show later how
// deep a reorg is that reaches below it. The oldest is the one before the first block
// that is loaded: what lies below that does not matter. If the server has no block
// before the first one, the stream is asked for from there. The origin is tentative:
// the sinks have not been asked.
func (c *Checked) Origin(ctx context.Context, source Source) (*state.Origin, error) {
	have := c.Head[0]
	o := &state.Origin{Start: c.LiveStart, Tentative: true}
	switch {
	case o.Start <= have.Numbers.Start:
		return o, nil // the stream begins at the server's earliest block
	case o.Start > have.Numbers.End:
		o.Open = true
		return o, nil
	case o.Start == have.Numbers.End:
		o.Points = append(o.Points, block.Cursor{Network: have.Network, Number: have.Numbers.Last(), Hash: have.Hash})
	}
	var at []block.Number
	if len(o.Points) == 0 {
		at = append(at, o.Start)
	}
	const leastStep = 64
	for step := block.Number(leastStep); o.Start > max(c.First, have.Numbers.Start)+step; step *= 2 {
		at = append(at, o.Start-step)
	}
	if c.First > have.Numbers.Start && c.First < o.Start {
		at = append(at, c.First)
	}
	points, err := c.probeAll(ctx, source, have.Network, at)
	if err != nil {
		return nil, err
	}
	o.Points = append(o.Points, points...)
	slices.Reverse(o.Points)
	return o, nil
}

// mostProbes is how many blocks are asked about at once.
const mostProbes = 4

// probeAll asks for the hashes of the blocks before some.
func (c *Checked) probeAll(ctx context.Context, source Source, network string, at []block.Number) ([]block.Cursor, error) {
	points := make([]block.Cursor, len(at))
	g, asking := errgroup.WithContext(ctx)
	g.SetLimit(mostProbes)
	for i, n := range at {
		g.Go(func() (err error) {
			if points[i], err = probe(asking, source, c.Query, network, n); err != nil {
				return fmt.Errorf("ask for the hash of block %d: %w", n-1, err)
			}
			return nil
		})
	}
	return points, g.Wait()
}
