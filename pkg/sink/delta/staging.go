package delta

import (
	"context"
	"errors"
	"fmt"

	"github.com/ampipe/ampipe/pkg/sink"
)

// staging implements [sink.Staging]: changes are staged in the spool until
// they are committed.
type staging struct {
	w     *Writer
	stage *stage // nil: nothing is staged
}

// NewStaging returns an empty staging; see [sink.Stager].
func (w *Writer) NewStaging() sink.Staging { return &staging{w: w} }

// Stage takes changes in; see [sink.Staging].
func (g *staging) Stage(ctx context.Context, changes []sink.Change) (sink.Staged, error) {
	release, err := g.w.take(ctx)
	if err != nil {
		return sink.Staged{}, err
	}
	defer release()
	s := g.stage
	if s == nil {
		if s, err = g.w.begin(ctx); err != nil {
			return sink.Staged{}, err
		}
	}
	if err := s.add(ctx, changes); err != nil {
		if s.broken {
			err = fmt.Errorf("%w: %w", sink.ErrRestage, err)
		}
		if s.broken || g.stage == nil {
			s.drop()
			g.stage = nil
		}
		return sink.Staged{}, err
	}
	g.stage = s
	return sink.Staged{Full: s.bytes() >= g.w.target.fileSize}, nil
}

// Commit makes what is staged a version of the table; see [sink.Staging].
func (g *staging) Commit(ctx context.Context) (sink.Applied, error) {
	release, err := g.w.take(ctx)
	if err != nil {
		return sink.Applied{}, err
	}
	defer release()
	if g.stage == nil {
		return sink.Applied{}, nil
	}
	applied, err := g.w.commit(ctx, g.stage)
	if err == nil || errors.Is(err, sink.ErrRestage) {
		g.Discard()
	}
	return applied, err
}

// Discard forgets what is staged.
func (g *staging) Discard() {
	if g.stage != nil {
		g.stage.drop()
		g.stage = nil
	}
}
