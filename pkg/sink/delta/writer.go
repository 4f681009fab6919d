package delta

import (
	"context"
	"errors"
	"fmt"

	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/delta/deltalog"
	"github.com/ampipe/ampipe/pkg/sink/delta/storage"
)

// Writer is a Delta table. It implements [sink.Writer], [sink.Stager] and
// [sink.Digester]; docs/delta.md is its manual.
type Writer struct {
	cfg    config.Delta
	target *target
	store  storage.Store
	log    *deltalog.Log

	turn chan struct{} // held by the one that stages or commits
}

var (
	_ sink.Writer   = (*Writer)(nil)
	_ sink.Stager   = (*Writer)(nil)
	_ sink.Digester = (*Writer)(nil)

	errNotOpen = fault.Permanent(errors.New("the writer is not open"))
)

// New makes a Writer for a sink of the configuration. It allocates only;
// [Writer.Open] connects.
func New(cfg config.Delta) *Writer { return &Writer{cfg: cfg, turn: make(chan struct{}, 1)} }

// Close releases the connections.
func (w *Writer) Close() error {
	w.log = nil
	if w.store == nil {
		return nil
	}
	store := w.store
	w.store = nil
	if err := store.Close(); err != nil {
		return fmt.Errorf("close %s: %w", store, err)
	}
	return nil
}

// take waits for the turn. One at a time stages and commits.
func (w *Writer) take(ctx context.Context) (release func(), err error) {
	if w.log == nil {
		return nil, errNotOpen
	}
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	select {
	case w.turn <- struct{}{}:
		return func() { <-w.turn }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// refresh returns the newest version of the table.
func (w *Writer) refresh(ctx context.Context) (*deltalog.Snapshot, error) {
	log := w.log
	if log == nil {
		return nil, errNotOpen
	}
	s, err := log.Refresh(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the log of %s: %w", w.store, err)
	}
	return s, nil
}

// State reads what is committed; see [sink.Writer].
func (w *Writer) State(ctx context.Context) (sink.State, error) {
	s, err := w.refresh(ctx)
	if err != nil {
		return sink.State{}, err
	}
	l, _, err := readCommitState(s, w.target.app)
	if err != nil {
		return sink.State{}, err
	}
	return l.State, nil
}

// Apply stages the changes and commits them at once; see [sink.Writer]. Each call
// makes a version of the table, so a loop does better with [Writer.NewStaging].
func (w *Writer) Apply(ctx context.Context, changes []sink.Change) (sink.Applied, error) {
	release, err := w.take(ctx)
	if err != nil {
		return sink.Applied{}, err
	}
	defer release()
	for attempt := 1; ; attempt++ {
		applied, err := w.attempt(ctx, changes)
		if err == nil || !errors.Is(err, errStale) || attempt == attempts {
			return applied, err
		}
		if err := fault.Sleep(ctx, conflictPause.Delay(attempt)); err != nil {
			return sink.Applied{}, err
		}
	}
}

func (w *Writer) attempt(ctx context.Context, changes []sink.Change) (sink.Applied, error) {
	s, err := w.begin(ctx)
	if err != nil {
		return sink.Applied{}, err
	}
	defer s.drop()
	if err := s.add(ctx, changes); err != nil {
		return sink.Applied{}, err
	}
	return w.commit(ctx, s)
}
