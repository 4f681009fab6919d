package plan

import (
	"context"
	"fmt"
	"time"

	"github.com/ampipe/ampipe/pkg/queue"
)

// countEvery is how many rounds pass between two counts of the tasks.
const countEvery = 8

// oldest is the first live entry that a sink has not acknowledged.
type oldest struct {
	epoch uint64 // of the plan
	after uint64 // the last that it has
	at    time.Time
}

// measure adds to a status what people and autoscalers want to know and nothing is decided
// by.
func (w *reconciler) measure(ctx context.Context, s *Status) error {
	if w.tasks == nil || w.rounds%countEvery == 0 {
		tasks := make(map[string]queue.Load)
		kinds := []string{queue.PartitionTask}
		if w.spec.Follows() {
			kinds = append(kinds, queue.LiveTask)
		}
		for _, kind := range kinds {
			load, err := w.Tasks.Load(ctx, kind)
			if err != nil {
				return fmt.Errorf("read the task queue: %w", err)
			}
			tasks[kind] = load
		}
		w.tasks = tasks
	}
	s.Tasks = w.tasks
	for i := range s.Sinks {
		sink := &s.Sinks[i]
		wanted := Wanted(w.spec, sink.Report.Live)
		have := sink.Report.Coverage.Clone()
		have.AddAll(s.Failed)
		sink.Wanted = wanted.Len()
		for _, gap := range have.Missing(wanted) {
			sink.Missing += gap.Len()
		}
		if !s.Live.Follows {
			continue
		}
		first := s.Live.Start
		if mark := sink.Report.Live; mark.Started && mark.Epoch == w.spec.Epoch {
			first = mark.After()
		}
		sink.Behind = uint64(max(s.Live.Next, first) - first)
		var err error
		if sink.Oldest, err = w.oldestLive(ctx, *sink); err != nil {
			return err
		}
	}
	return nil
}

// oldestLive returns when the first live entry was published that a sink has not
// acknowledged; zero if it has all. The log is asked once for each such entry.
func (w *reconciler) oldestLive(ctx context.Context, sink SinkStatus) (time.Time, error) {
	if sink.Live.Drained() {
		delete(w.oldest, sink.Name)
		return time.Time{}, nil
	}
	known, before := w.oldest[sink.Name]
	same := before && known.epoch == w.spec.Epoch && known.after == sink.Live.AckFloor
	if same || w.rounds%liveEvery != 1 {
		return known.at, nil
	}
	next, err := w.Log.Next(ctx, queue.LiveLane, sink.Live.AckFloor+1)
	if err != nil || !next.Found {
		return time.Time{}, err
	}
	if w.oldest == nil {
		w.oldest = make(map[string]oldest)
	}
	w.oldest[sink.Name] = oldest{epoch: w.spec.Epoch, after: sink.Live.AckFloor, at: next.Time}
	return next.Time, nil
}
