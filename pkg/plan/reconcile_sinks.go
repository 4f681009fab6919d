package plan

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/state"
)

// reconcileSinks reads how far each sink is and requeues what one of them has lost.
func (w *reconciler) reconcileSinks(ctx context.Context, parts []state.Partition) ([]SinkStatus, error) {
	names := w.sinks()
	sinks := make([]SinkStatus, len(names))
	var lost block.Set
	for i, name := range names {
		position, err := w.Log.Position(ctx, name, queue.History)
		var live queue.Position
		if err == nil {
			live, err = w.Log.Position(ctx, name, queue.Live)
		}
		if err != nil {
			return nil, fmt.Errorf("read the position of sink %s: %w", name, err)
		}
		report, rev, err := w.State.Report(ctx, name)
		if err != nil && !errors.Is(err, queue.ErrNotFound) {
			return nil, fmt.Errorf("read the report of sink %s: %w", name, err)
		}
		sinks[i] = SinkStatus{
			Name: name, Report: report, Position: position, Live: live,
			Covered: covered(report.Coverage, w.spec.History), rev: rev,
		}
		if rev > w.since {
			sinks[i].reported = rev
		}
		sinks[i].Stopped = w.stopped(name, report)
		if !w.readToEnd(name, position, report) {
			continue
		}
		for _, r := range MissingFromSink(Wanted(w.spec, report.Live), parts, report.Coverage) {
			lost.Add(r)
		}
	}
	if len(lost.Ranges()) == 0 {
		return sinks, nil
	}
	w.logMissing(lost, parts)
	clear(w.drained)
	var ranges []block.Range
	for _, r := range lost.Ranges() {
		ranges = append(ranges, Cut(r, w.size)...)
	}
	_, err := w.create(ctx, ranges, parts)
	return sinks, err
}

// logMissing logs which blocks come from now on that a sink lacks. Those that no partition
// has had are of a live lane that the sink did not see from its beginning: nothing was
// lost.
func (w *reconciler) logMissing(lost block.Set, parts []state.Partition) {
	had := planned(parts)
	var again, first block.Set
	for _, r := range lost.Ranges() {
		first.AddAll(block.NewSet(had.Missing(r)...))
	}
	again = lost.Clone()
	for _, r := range first.Ranges() {
		again.Remove(r)
	}
	if first.Len() > 0 {
		w.Logger.Info().Stringer("blocks", first).Msg("a sink has joined the live lane above these blocks; they come as history")
	}
	if again.Len() > 0 {
		w.Logger.Warn().Stringer("blocks", again).Msg("blocks are neither in the log nor in a destination; they are loaded again")
	}
}

// readToEnd reports whether the sink has applied everything in the log and has read
// its destination since, so that what its report lacks is not on its way. The report
// that comes first may be of a reading before the last commit. A partition that has
// changed since may have brought entries that came and went between two rounds.
func (w *reconciler) readToEnd(sink string, at queue.Position, report state.SinkReport) bool {
	if !at.Drained() {
		delete(w.drained, sink)
		return false
	}
	seen, before := w.drained[sink]
	read := readAt(report)
	if !before || seen.parts != w.parts {
		w.drained[sink] = drained{parts: w.parts, read: read}
		return false
	}
	if read.After(seen.read) {
		seen.read = read
		seen.readings++
		w.drained[sink] = seen
	}
	return seen.readings >= confirmingReadings
}

// readAt returns when the destination was read that a report is of.
func readAt(r state.SinkReport) time.Time {
	if r.Read.IsZero() {
		return r.Updated // of an older version
	}
	return r.Read
}

func covered(coverage block.Set, history block.Range) uint64 {
	n := history.Len()
	for _, gap := range coverage.Missing(history) {
		n -= gap.Len()
	}
	return n
}

func (w *reconciler) complete(s Status) bool {
	if count(s.Partitions, state.PartitionOpen) > 0 || (w.spec.Follows() && w.spec.MaxBlock == nil) {
		return false
	}
	all := w.spec.History
	if w.spec.Follows() {
		all.End = *w.spec.MaxBlock
	}
	for _, sink := range s.Sinks {
		if w.sinkStopped(sink.Name) {
			continue
		}
		have := sink.Report.Coverage.Clone()
		have.AddAll(s.Failed)
		if !have.Covers(all) {
			return false
		}
	}
	return true
}
