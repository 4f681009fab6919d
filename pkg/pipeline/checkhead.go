package pipeline

import (
	"context"
	"errors"
	"fmt"

	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/plan"
	"github.com/ampipe/ampipe/pkg/sink"
)

// checkHead refuses a server whose head is below what a destination holds of the chain
// that it follows: nothing would come for as long as that is so. A destination that
// cannot be read holds nothing yet; whether it can be written was checked before.
func checkHead(ctx context.Context, o Options, p *config.Pipeline, c config.Sink, table sink.Table, checked *plan.Checked) error {
	if len(checked.Head) == 0 {
		return nil
	}
	state, err := stored(ctx, o, c, table)
	if err != nil {
		return err
	}
	loaded := state.Live.Cursor
	if end := p.Range.MaxBlock; end != nil && state.Coverage.Covers(block.Range{Start: p.Range.MinBlock, End: *end}) {
		return nil // it has everything
	}
	if behind(checked.Head, loaded) == nil {
		return nil
	}
	// The head is older than what was just read of a destination that follows the chain.
	source, err := openSource(ctx, p)
	if err != nil {
		return err
	}
	head, err := source.Head(ctx, checked.Query.Head())
	if err = errors.Join(err, source.Close()); err != nil {
		return fmt.Errorf("ask %s for the head of source.query: %w", p.Source.Amp, err)
	}
	return behind(head, loaded)
}

// behind returns an error if the head is below a block that is loaded.
func behind(head []amp.Range, loaded block.Cursor) error {
	for _, have := range head {
		if loaded.Network == have.Network && !have.Numbers.Empty() && loaded.Number > have.Numbers.Last() {
			return amp.Behind(have.Numbers.Last(), loaded.Number)
		}
	}
	return nil
}

// stored returns what a destination holds.
func stored(ctx context.Context, o Options, c config.Sink, table sink.Table) (state sink.State, err error) {
	w, err := newWriter(o, c)
	if err != nil {
		return sink.State{}, err
	}
	if w.OpenStored(ctx, table) != nil {
		return sink.State{}, w.Close()
	}
	state, err = w.State(ctx)
	switch {
	case errors.Is(err, sink.ErrNotLoaded):
		err = nil
	case err != nil:
		err = fmt.Errorf("read what the destination holds: %w", err)
	}
	return state, errors.Join(err, w.Close())
}
