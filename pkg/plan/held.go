package plan

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/state"
)

// mostHeld bounds the partitions that are recorded as done because every sink holds
// them. Shorter ranges are read again, and skipped by the sinks.
const mostHeld = 1024

// heldStep records blocks that every sink holds already as partitions that are done,
// so that a new plan does not read them: a table that was adopted, or all that was
// loaded before the state of NATS was lost. Until every sink has said what it holds the
// round ends here; after AskSinks nothing is taken as held.
type heldStep struct {
	*reconciler
	asking time.Time // since when the sinks are asked
	told   bool      // that they are was logged
	asked  bool      // they have said it, or were not waited for
}

func (h *heldStep) run(ctx context.Context, now *round) error {
	if len(now.parts) > 0 || h.spec.History.Empty() || h.AskSinks <= 0 || h.asked {
		return nil
	}
	held := block.NewSet(h.spec.History)
	for _, name := range h.sinkNames() {
		report, rev, err := h.readReport(ctx, name)
		waited := time.Since(h.asking)
		switch {
		case err != nil:
			return err
		case rev > h.since:
			held = intersect(held, ownHistory(report))
		case h.sinkStopped(name):
		case waited >= h.AskSinks:
			held = block.Set{}
		default:
			if !h.told && waited > time.Second {
				h.told = true
				h.Logger.Info().Str("sink", name).Stringer("at_most", h.AskSinks).Msg("before the history is planned, the sink is asked what it holds")
			}
			now.History, now.Epoch, now.over = h.spec.History, h.spec.Epoch, true
			return nil
		}
	}
	err := h.recordHeld(ctx, held, now)
	h.asked = err == nil
	return err
}

func (h *heldStep) recordHeld(ctx context.Context, held block.Set, now *round) (err error) {
	ranges := longest(held.Ranges(), mostHeld)
	if len(ranges) == 0 {
		return nil
	}
	fresh := Fresh(ranges, nil)
	for i := range fresh {
		fresh[i].State, fresh[i].Held = state.PartitionDone, true
	}
	now.parts, err = h.record(ctx, fresh, now.parts)
	if err == nil {
		kept := block.NewSet(ranges...)
		h.Logger.Info().Uint64("blocks", kept.Len()).Msg("every sink holds these blocks of the history already; they are not read again")
	}
	return err
}

// ask has the sinks asked what they hold before a plan that has no partitions is filled.
func (r *reconciler) ask() {
	r.held = heldStep{reconciler: r, asking: time.Now()}
	r.fill.begun = false
}

// shortestPause is the shortest between two rounds.
const shortestPause = 10 * time.Millisecond

// nextPause returns how long to wait before the next round. Sinks that have just started
// report within milliseconds what they hold, and until they have nothing is read.
func (h *heldStep) nextPause(every time.Duration) time.Duration {
	return min(every, max(shortestPause, time.Since(h.asking)/4))
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
