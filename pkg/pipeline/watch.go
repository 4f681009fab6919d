package pipeline

import (
	"time"

	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/plan"
	"github.com/ampipe/ampipe/pkg/progress"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/sink"
)

// extractWatch passes what extractors tell to the meter.
type extractWatch struct {
	meter *progress.Meter
	idle  *idleClock
}

func (w extractWatch) Published(_ queue.Partition, h entry.Header, bytes int) {
	w.meter.Published(h.Range, h.Rows, bytes)
}

func (w extractWatch) Waiting(id string, reason error) {
	w.meter.Waiting("partition "+id, text(reason))
}

func (w extractWatch) Finished(queue.Partition) { w.idle.finished() }

func (w extractWatch) Idle(worker int, from, to time.Time) { w.idle.add(worker, from, to) }

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// sinkWatch passes what a sink's loop tells to the meter.
type sinkWatch struct {
	name  string
	meter *progress.Meter
}

func (w sinkWatch) OnApplied(c sink.Commit) { w.meter.Applied(w.name, c.Rows) }

func (w sinkWatch) OnPause(reason error) { w.meter.Waiting("sink "+w.name, text(reason)) }

func (w sinkWatch) OnResume() { w.meter.Waiting("sink "+w.name, "") }

// planWatch passes what the planner finds to the meter.
func planWatch(meter *progress.Meter) func(plan.Status) {
	return func(s plan.Status) {
		meter.Planned(s.History, s.Extracted)
		for _, sink := range s.Sinks {
			meter.Covered(sink.Name, sink.Covered)
		}
	}
}
