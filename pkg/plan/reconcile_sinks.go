package plan

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/state"
)

// drained is a sink that was seen at the log's end.
type drained struct {
	parts    uint64    // latest revision of a partition when it was first seen there
	read     time.Time // the destination last
	readings int       // since it was first seen there
}

// sinksStep reads how far each sink is and requeues what one of them has lost.
type sinksStep struct {
	*reconciler
	drained map[string]drained // by sink that was at the log's end under this plan
}

func (s *sinksStep) run(ctx context.Context, now *round) error {
	log, err := s.Log.State(ctx)
	if err != nil {
		return fmt.Errorf("read the state of the log: %w", err)
	}
	now.log = log
	var lost block.Set
	for _, name := range s.sinkNames() {
		sink, err := s.look(ctx, name, log)
		if err != nil {
			return err
		}
		now.Sinks = append(now.Sinks, sink)
		if s.readToEnd(sink, now.latest) {
			lost.AddAll(block.NewSet(MissingFromSink(Wanted(s.spec, sink.Report.Live), now.parts, sink.Report.Coverage)...))
		}
	}
	for _, r := range s.fill.unplanned.Ranges() { // these come anyway
		lost.Remove(r)
	}
	if lost.Len() == 0 {
		return nil
	}
	clear(s.drained)
	parts, _, err := s.create(ctx, lost.Ranges(), now.parts)
	made := planned(parts[len(now.parts):])
	if made.Len() > 0 {
		s.logMissing(made, now.parts)
	}
	return err
}

// look reads how far a sink is in a log.
func (s *sinksStep) look(ctx context.Context, name string, log queue.LogState) (SinkStatus, error) {
	position, err := s.Log.PositionAt(ctx, log, name, queue.History)
	var live queue.Position
	if err == nil {
		live, err = s.Log.PositionAt(ctx, log, name, queue.Live)
	}
	if err != nil {
		return SinkStatus{}, fmt.Errorf("read the position of sink %s: %w", name, err)
	}
	report, rev, err := s.readReport(ctx, name)
	if err != nil {
		return SinkStatus{}, err
	}
	replay, _, err := s.State.Replay(ctx, name)
	if err != nil && !errors.Is(err, queue.ErrNotFound) {
		return SinkStatus{}, fmt.Errorf("look for a replay of sink %s: %w", name, err)
	}
	sink := SinkStatus{
		Name: name, Report: report, Position: position, Live: live, Stopped: s.stopped(name, report),
		Replays: replay.UnderWay(), Replay: replayingOf(replay, s.spec, report),
		Paused:  report.State == state.SinkPaused && report.ByRequest,
		Covered: s.spec.History.Len() - missing(report.Coverage, s.spec.History), rev: rev, settles: settles(replay, report.Coverage),
	}
	if rev > s.since {
		sink.reported = rev
	}
	return sink, nil
}

// settles reports whether dead letters are still to be removed of blocks that were loaded
// again.
func settles(replay state.Replay, covered block.Set) bool {
	return slices.ContainsFunc(replay.Past, func(p state.PastLetters) bool { return p.Blocks.Intersect(covered).Len() > 0 })
}

// readReport returns what a sink has last reported; without a revision if it has not.
func (r *reconciler) readReport(ctx context.Context, name string) (state.SinkReport, uint64, error) {
	report, rev, err := r.State.Report(ctx, name)
	if err != nil && !errors.Is(err, queue.ErrNotFound) {
		return report, 0, fmt.Errorf("read the report of sink %s: %w", name, err)
	}
	return report, rev, nil
}

// logMissing logs which blocks come from now on that a sink lacks. Those that no partition
// has had are of a live lane that the sink did not see from its beginning: nothing was
// lost.
func (s *sinksStep) logMissing(lost block.Set, parts []state.Partition) {
	again, first := intersect(lost, planned(parts)), lost.Clone()
	for _, r := range again.Ranges() {
		first.Remove(r)
	}
	if first.Len() > 0 {
		s.Logger.Info().Stringer("blocks", first).Msg("a sink has joined the live lane above these blocks; they come as history")
	}
	if again.Len() > 0 {
		s.Logger.Warn().Stringer("blocks", again).Msg("blocks are neither in the log nor in a destination; they are loaded again")
	}
}

// readToEnd reports whether the sink has applied everything in the log, also what it reads
// again, and has read its destination since, so that what its report lacks is not on its way. The report
// that comes first may be of a reading before the last commit. A partition that has
// changed since may have brought entries that came and went between two rounds. A sink that
// is paused may be at the end because the log was trimmed without it: what it lacks comes
// when it has resumed, or it would be trimmed again, and come again.
func (s *sinksStep) readToEnd(sink SinkStatus, latest uint64) bool {
	if sink.Replays || sink.Paused || !sink.Position.Drained() {
		delete(s.drained, sink.Name)
		return false
	}
	read := readAt(sink.Report)
	seen, before := s.drained[sink.Name]
	if !before || seen.parts != latest {
		s.drained[sink.Name] = drained{parts: latest, read: read}
		return false
	}
	if read.After(seen.read) {
		seen.read = read
		seen.readings++
		s.drained[sink.Name] = seen
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
