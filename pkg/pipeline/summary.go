package pipeline

import (
	"errors"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/ampipe/ampipe/pkg/ops"
	"github.com/ampipe/ampipe/pkg/plan"
	"github.com/ampipe/ampipe/pkg/progress"
	"github.com/ampipe/ampipe/pkg/queue"
)

// summarize tells at the end of a run what was done and what to do next.
func (s *stages) summarize(out io.Writer, status plan.Status, took time.Duration, err error) {
	s.summarizePlan(out, status, took)
	for _, sink := range s.config.Sinks {
		rows := s.meter.Rows(sink.Name)
		say(out, "  %-12s %d rows written, %s rows/s", sink.Name, rows, progress.Count(uint64(float64(rows)/took.Seconds())))
	}
	if live := s.meter.Live(); live != "" {
		say(out, "  %-12s %s", "live", live)
	}
	stops := s.meter.Stops()
	for _, part := range slices.Sorted(maps.Keys(stops)) {
		say(out, "  %-12s %s: %s", "STOPPED", part, stops[part])
	}
	say(out, "  %-12s %d, idle at most %.0f %% of the time", "workers", s.config.Extract.Workers, 100*s.idle.worst())
	switch {
	case errors.Is(err, ops.ErrInterrupted):
		say(out, "  interrupted: what was written is kept; the same command goes on from here")
	case err == nil:
		say(out, "  next: ampipe verify %s", s.config.Name)
	}
}

// summarizePlan tells what became of the partitions.
func (s *stages) summarizePlan(out io.Writer, status plan.Status, took time.Duration) {
	done := 0
	for _, p := range status.Partitions {
		if p.State == queue.PartitionDone {
			done++
		}
	}
	say(out, "%s: blocks %v, %d of %d partitions done, %s", s.config.Name, status.History,
		done, len(status.Partitions), progress.Duration(took))
	for _, p := range status.Partitions {
		if p.State == queue.PartitionFailed {
			say(out, "  FAILED       blocks %v: %s", p.Range(), p.Error)
		}
	}
}
