package pipeline

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rs/zerolog"

	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/extract"
	"github.com/ampipe/ampipe/pkg/health"
	"github.com/ampipe/ampipe/pkg/plan"
	"github.com/ampipe/ampipe/pkg/progress"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/apply"
	"github.com/ampipe/ampipe/pkg/state"
)

// extractObserver reports what extractors do to the meter, and results to the program.
type extractObserver struct {
	pipeline string
	meter    *progress.Meter
	idle     *idleClock
	result   func(Result)
}

func (w extractObserver) Reading(claim string, blocks block.Range) { w.meter.Reading(claim, blocks) }

func (w extractObserver) Published(_ state.Partition, h entry.Header, bytes int) {
	w.meter.Published(h.Range, h.Rows, bytes)
}

func (w extractObserver) Waiting(part string, reason error) {
	w.meter.WaitingFor(kindOf(reason), part, text(reason))
}

// kindOf returns what kind of wait a reason of an extractor is.
func kindOf(reason error) health.Kind {
	switch {
	case errors.Is(reason, queue.ErrFull):
		return health.BackPressure
	case extract.Expected(reason):
		return health.Expected
	case amp.Away(reason):
		return health.AmpAway
	default:
		return kindOfSink(reason)
	}
}

// kindOfSink returns what kind of wait a reason of a sink is.
func kindOfSink(reason error) health.Kind {
	if sink.IsInTurn(reason) {
		return health.InTurn
	}
	return health.Fault
}

func (w extractObserver) Live(h entry.Header, bytes int) {
	if h.Kind == entry.Data {
		w.meter.Published(block.Range{}, h.Rows, bytes)
	}
	if h.Closes() {
		w.meter.Seen(h.Range.Last(), h.Seen)
	}
}

func (w extractObserver) Reorg(block.Number) { w.meter.Reorged() }

func (w extractObserver) Finished(p state.Partition) {
	w.idle.finished()
	w.result(resultOf(w.pipeline, p))
}

func (w extractObserver) Idle(worker int, from, to time.Time) { w.idle.add(worker, from, to) }

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// sinkObserver reports what a sink's loop does to the meter, and live blocks to the program.
type sinkObserver struct {
	pipeline, name string
	meter          *progress.Meter
	live           func(LiveBlocks)
	logger         zerolog.Logger
}

func (w sinkObserver) OnApplied(c apply.Commit) {
	w.meter.Applied(w.name, c.Rows)
	w.meter.Committed(w.name, c.Entries, c.Took)
	w.meter.Refused(w.name, c.Dead)
	if !c.Oldest.IsZero() {
		w.meter.Behind(w.name, time.Since(c.Oldest))
	}
	committed := time.Now()
	for _, mark := range c.Marks {
		w.meter.Reached(w.name, mark.Number, mark.Seen)
		if mark.Seen.IsZero() {
			continue
		}
		// By how long after the extractor has heard of the block.
		w.logger.Debug().Uint64("block", uint64(mark.Number)).Int64("heard_us", mark.Seen.UnixMicro()).
			Dur("published_ms", mark.Stored.Sub(mark.Seen)).Dur("pulled_ms", mark.Pulled.Sub(mark.Seen)).
			Dur("begun_ms", committed.Add(-c.Took).Sub(mark.Seen)).Dur("committed_ms", committed.Sub(mark.Seen)).
			Msg("live block committed")
	}
	for _, step := range c.Live {
		w.live(LiveBlocks{
			Pipeline: w.pipeline, Sink: w.name, Blocks: step.Blocks, Undone: step.Undone, Hash: step.Hash, Seen: step.Seen,
		})
	}
}

func (w sinkObserver) OnPause(reason error) {
	w.meter.WaitingFor(kindOfSink(reason), stageSink(w.name), text(reason))
}

func (w sinkObserver) OnResume() { w.meter.Waiting(stageSink(w.name), "") }

// replayObserver reports to the meter what a replay loads. It waits by itself.
type replayObserver struct{ sinkObserver }

func (w replayObserver) OnPause(reason error) {
	w.meter.WaitingFor(kindOfSink(reason), w.part(), text(reason))
}

func (w replayObserver) OnResume() { w.meter.Waiting(w.part(), "") }

func (w replayObserver) part() string { return "replay of sink " + w.name }

// planObserver returns a function that reports to the meter what the planner finds.
func planObserver(meter *progress.Meter) func(plan.Status) {
	var names []string // of the sinks of the status before: another planner may take one out
	var slowest plan.SinkStatus
	return func(s plan.Status) {
		meter.Planned(s.History, s.Extracted)
		meter.Reorgs(s.Live.Reorgs)
		meter.SetOverview(overview(s))
		meter.GaveUp(givenUp(s.Failed))
		kind := health.Fault
		if s.Live.Expected {
			kind = health.Expected
		}
		reason := s.Live.Waits
		if s.Live.Soon {
			reason = ""
		}
		meter.WaitingFor(kind, "start of the live lane", reason)
		before := names
		names = nil
		for _, sink := range s.Sinks {
			names = append(names, sink.Name)
			meter.Covered(sink.Name, sink.Covered)
			if sink.Name == s.Log.Slowest {
				if sink.Name != slowest.Name || sink.Position.AckFloor != slowest.Position.AckFloor || sink.Live.AckFloor != slowest.Live.AckFloor {
					meter.Moved()
				}
				slowest = sink
			}
			meter.Waiting("live lane of sink "+sink.Name, sink.Waits)
		}
		for _, name := range before {
			if !slices.Contains(names, name) {
				meter.Waiting("live lane of sink "+name, "")
			}
		}
		meter.WaitingFor(health.BackPressure, "log", fullLog(s.Log))
	}
}

// overview returns what the metrics show of a planner's status.
func overview(s plan.Status) progress.Overview {
	o := progress.Overview{
		Epoch: s.Epoch, Partitions: map[string]int{}, FailedBlocks: s.Failed.Len(), Follows: s.Live.Follows,
		Log:   progress.LogOverview{Size: s.Log.Bytes, Limit: s.Log.MaxBytes, Entries: s.Log.Entries},
		Tasks: map[string]progress.Tasks{}, Sinks: map[string]progress.SinkOverview{},
	}
	for _, each := range []state.PartitionState{state.PartitionOpen, state.PartitionDone, state.PartitionFailed} {
		o.Partitions[string(each)] = 0
	}
	for _, p := range s.Partitions {
		if p.State == state.PartitionFailed && slices.Equal(s.Failed.Missing(p.Range()), []block.Range{p.Range()}) {
			continue // its blocks were brought by others
		}
		o.Partitions[string(p.State)] += p.Count()
	}
	for kind, load := range s.Tasks {
		o.Tasks[kind] = progress.Tasks{Queued: load.Queued, Held: load.Held, Idle: load.Waiting}
	}
	for _, sink := range s.Sinks {
		history := sink.Position.Unread()
		if !sink.Position.Exists { // it has never read, and is to read everything
			history = s.Log.Entries
		}
		unbuilt, indexing := 0, sink.Report.Indexing
		if indexing != nil {
			unbuilt = max(1, indexing.Unbuilt) // some are, though it may not be known how many
		}
		o.Sinks[sink.Name] = progress.SinkOverview{
			Wanted: sink.Wanted, Missing: sink.Missing, Behind: sink.Behind, Oldest: sink.Oldest,
			ReplayBlocks: sink.Replay.Blocks, ReplayLeft: sink.Replay.Left, ReplayFailed: sink.Replay.Failed,
			Pruned: uint64(sink.Report.Pruned), UnbuiltIndexes: unbuilt, IndexingFailed: indexing != nil && indexing.Error != "",
			Pending:      map[string]uint64{"history": history, "live": sink.Live.Unread()},
			Acknowledged: map[string]uint64{"history": sink.Position.AckFloor, "live": sink.Live.AckFloor},
		}
	}
	return o
}

// givenUp returns which blocks could not be read, or "" if all could.
func givenUp(failed block.Set) string {
	if failed.Len() == 0 {
		return ""
	}
	return fmt.Sprintf("%s could not be read: %v; mend the cause and start again with --retry-failed", counted(failed.Len(), "block"), failed)
}

// fullLog returns which sink a log that is nearly full waits for, or "" if it has room.
func fullLog(log plan.LogStatus) string {
	const full = 95 // percent
	if log.MaxBytes == 0 || log.Bytes < log.MaxBytes/100*full {
		return ""
	}
	return fmt.Sprintf("it is %d %% full, and sink %s has %s still to apply",
		min(100, log.Bytes*100/log.MaxBytes), log.Slowest, counted(log.Unread, "entry"))
}
