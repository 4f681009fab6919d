package plan

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/state"
)

// mostHeld bounds the partitions that are recorded as done because every sink holds
// them. Shorter ranges are read again, and skipped by the sinks.
const mostHeld = 1024

// recordHeld records blocks that every sink holds already as partitions that are done,
// so that a new plan does not read them: a table that was adopted, or all that was
// loaded before the state of NATS was lost. It reports false while a sink has not said
// yet what it holds; after AskSinks nothing is taken as held.
func (w *reconciler) recordHeld(ctx context.Context) (parts []state.Partition, asked bool, err error) {
	held := block.NewSet(w.spec.History)
	for _, name := range w.sinks() {
		report, rev, err := w.State.Report(ctx, name)
		if err != nil && !errors.Is(err, queue.ErrNotFound) {
			return nil, false, fmt.Errorf("read the report of sink %s: %w", name, err)
		}
		switch {
		case rev > w.since:
			held = intersect(held, ownHistory(report))
		case w.sinkStopped(name):
		case time.Since(w.asking) < w.AskSinks:
			if !w.askTold && time.Since(w.asking) > time.Second {
				w.askTold = true
				w.Logger.Info().Str("sink", name).Stringer("at_most", w.AskSinks).Msg("before the history is planned, the sink is asked what it holds")
			}
			return nil, false, nil
		default:
			return nil, true, nil
		}
	}
	ranges := longest(held.Ranges(), mostHeld)
	if len(ranges) == 0 {
		return nil, true, nil
	}
	fresh := Fresh(ranges, nil)
	for _, p := range fresh {
		p.State, p.Version, p.Held = state.PartitionDone, w.spec.Version, true
		_, err := w.State.CreatePartition(ctx, p)
		if errors.Is(err, queue.ErrConflict) {
			continue // another planner was faster
		}
		if err != nil {
			return parts, false, fmt.Errorf("record partition %s: %w", p.ID(), err)
		}
		parts = append(parts, p)
	}
	kept := block.NewSet(ranges...)
	w.Logger.Info().Uint64("blocks", kept.Len()).Msg("every sink holds these blocks of the history already; they are not read again")
	return parts, true, nil
}

// ask has the sinks asked what they hold before a plan that has no partitions is filled.
func (w *reconciler) ask() {
	w.asking, w.askTold, w.asked, w.filled = time.Now(), false, false, false
}

// ownHistory returns what a sink holds below its live lane. Blocks of the lane may have
// left the chain: what becomes of them is decided when the next lane begins.
func ownHistory(r state.SinkReport) block.Set {
	have := r.Coverage.Clone()
	if r.Live.Started {
		have.Remove(block.Range{Start: r.Live.Start, End: block.Max + 1})
	}
	return have
}

// intersect returns the blocks that are in both sets.
func intersect(a, b block.Set) (both block.Set) {
	for _, r := range a.Ranges() {
		gaps := block.NewSet(b.Missing(r)...)
		for _, shared := range gaps.Missing(r) {
			both.Add(shared)
		}
	}
	return both
}

// longest returns the n longest ranges, in their order.
func longest(ranges []block.Range, n int) []block.Range {
	if len(ranges) <= n {
		return ranges
	}
	byLength := slices.Clone(ranges)
	slices.SortStableFunc(byLength, func(a, b block.Range) int { return cmp.Compare(b.Len(), a.Len()) })
	byLength = byLength[:n]
	slices.SortFunc(byLength, func(a, b block.Range) int { return cmp.Compare(a.Start, b.Start) })
	return byLength
}
