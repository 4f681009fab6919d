package pipeline

import (
	"context"
	"errors"
	"reflect"
	"time"

	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/plan"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/state"
)

const (
	indexingEvery = 5 * time.Second // between two looks whether the history is loaded, at most
	indexingPause = time.Minute     // the longest after indexes could not be built
	indexingLook  = 5 * time.Second // for a destination to say what it lacks
)

// indexing has a sink build the indexes that its destination lacks, when they are due.
type indexing struct {
	*historyMonitor
	writer sink.Indexer
	wait   bool // for the history
}

// newIndexing returns nil if the destination of a sink has all of its indexes. Until run has
// seen that it has them, reports say that it has not.
func newIndexing(ctx context.Context, h *historyMonitor, c config.Sink, w sink.Writer) *indexing {
	indexer, can := w.(sink.Indexer)
	if !can {
		return nil
	}
	looking, cancel := context.WithTimeout(ctx, indexingLook)
	defer cancel()
	missing, err := indexer.Unbuilt(looking)
	if err == nil && missing == 0 {
		h.setIndexing(nil)
		return nil
	}
	x := &indexing{h, indexer, c.Postgres == nil || c.Postgres.BuildIndexes != config.AtStart}
	text := "indexes are missing"
	if x.wait {
		text = "indexes are built when the history is loaded"
	}
	x.setIndexing(&state.Indexing{Progress: text, Unbuilt: missing})
	return x
}

// run builds the indexes. It ends when they are there, or ctx ends.
func (x *indexing) run(ctx context.Context) {
	retrier := fault.Retrier{Backoff: fault.Backoff{GiveUp: fault.Forever, Min: indexingEvery, Max: indexingPause}}
	for x.wait && !x.loaded(ctx) {
		select {
		case <-ctx.Done():
			return
		case <-x.reported:
		case <-time.After(indexingEvery): // of what was given up there is no report
		}
	}
	told := ""
	for ctx.Err() == nil {
		missing, err := x.writer.Unbuilt(ctx)
		if err == nil && missing == 0 {
			x.setIndexing(nil)
			return
		}
		if err == nil {
			err = x.writer.BuildIndexes(ctx, func(left int, progress string) {
				missing = left
				x.setIndexing(&state.Indexing{Progress: progress, Unbuilt: left})
			})
		}
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, sink.ErrBuiltElsewhere):
			_ = fault.Sleep(ctx, indexingEvery) // its end is seen above
		case err != nil:
			x.setIndexing(&state.Indexing{Progress: "indexes are tried again", Unbuilt: missing, Error: brief(err).Error()})
			if err.Error() != told {
				told = err.Error()
				x.logger.Warn().Err(err).Str("sink", x.sink).Msg("could not build indexes; will retry")
			}
			pause, _ := retrier.Pause(fault.Again(err)) // never ends
			_ = fault.Sleep(ctx, pause)                 // its end is seen above
		default:
			retrier.Progress()
			x.logger.Info().Str("sink", x.sink).Msg("built the indexes")
		}
	}
}

// loaded reports whether the destination holds the history, but for what was given up.
func (x *indexing) loaded(ctx context.Context) bool {
	spec, _, err := x.state.LoadSpec(ctx)
	x.mu.Lock()
	report := x.report
	x.mu.Unlock()
	if err != nil || report.Read.IsZero() {
		return false
	}
	wanted := plan.Wanted(spec, report.Live)
	if report.Coverage.Covers(wanted) {
		return true
	}
	stored, err := x.state.Partitions(ctx)
	if err != nil {
		return false
	}
	have := report.Coverage.Clone()
	parts := make([]state.Partition, len(stored))
	for i, one := range stored {
		parts[i] = one.Value
	}
	have.AddAll(plan.Failed(parts))
	return have.Covers(wanted)
}

// setIndexing sets what reports say of the indexes, and has one made if that has changed.
func (h *historyMonitor) setIndexing(is *state.Indexing) {
	h.mu.Lock()
	same := reflect.DeepEqual(h.indexing, is)
	h.indexing = is
	h.mu.Unlock()
	if !same {
		signal(h.ask)
	}
}
