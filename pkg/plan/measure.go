package plan

import (
	"context"
	"fmt"
	"time"

	"github.com/ampipe/ampipe/pkg/queue"
)

// oldest is the first live entry that a sink has not acknowledged.
type oldest struct {
	epoch uint64 // of the plan
	after uint64 // the last that it has
	at    time.Time
}

// measureStep adds to a status what people and autoscalers want to know and nothing is decided
// by.
type measureStep struct {
	*reconciler
	count  pace
	tasks  map[string]queue.Load // as of the last count
	ask    pace
	oldest map[string]oldest // by sink
}

func (m *measureStep) run(ctx context.Context, now *round) error {
	err := m.countTasks(ctx, now)
	if err == nil {
		err = m.measureSinks(ctx, now)
	}
	if now.Complete {
		return nil
	}
	return err
}

func (m *measureStep) countTasks(ctx context.Context, now *round) error {
	if due := m.count.due(now.began); due || m.tasks == nil {
		tasks := make(map[string]queue.Load)
		kinds := []string{queue.PartitionTask}
		if m.spec.Follows() {
			kinds = append(kinds, queue.LiveTask)
		}
		for _, kind := range kinds {
			load, err := m.Tasks.Load(ctx, kind)
			if err != nil {
				return fmt.Errorf("read the task queue: %w", err)
			}
			tasks[kind] = load
		}
		m.tasks = tasks
	}
	now.Tasks = m.tasks
	return nil
}

func (m *measureStep) measureSinks(ctx context.Context, now *round) (err error) {
	ask := m.ask.due(now.began)
	for i := range now.Sinks {
		sink := &now.Sinks[i]
		wanted := Wanted(m.spec, sink.Report.Live)
		sink.Wanted, sink.Missing = wanted.Len(), missing(now.accounted(*sink), wanted)
		if !now.Live.Follows {
			continue
		}
		first := now.Live.Start
		if mark := sink.Report.Live; mark.Started && mark.Epoch == m.spec.Epoch {
			first = mark.After()
		}
		sink.Behind = uint64(max(now.Live.Next, first) - first)
		if sink.Oldest, err = m.oldestLive(ctx, *sink, ask); err != nil {
			return err
		}
	}
	return nil
}

// oldestLive returns when the first live entry was published that a sink has not
// acknowledged; zero if it has all. The log is asked once for each such entry.
func (m *measureStep) oldestLive(ctx context.Context, sink SinkStatus, ask bool) (time.Time, error) {
	if sink.Live.Drained() {
		delete(m.oldest, sink.Name)
		return time.Time{}, nil
	}
	known, before := m.oldest[sink.Name]
	same := before && known.epoch == m.spec.Epoch && known.after == sink.Live.AckFloor
	if same || !ask {
		return known.at, nil
	}
	next, err := m.Log.Next(ctx, queue.LiveLane, sink.Live.AckFloor+1)
	if err != nil || !next.Found {
		return time.Time{}, err
	}
	m.oldest[sink.Name] = oldest{epoch: m.spec.Epoch, after: sink.Live.AckFloor, at: next.Time}
	return next.Time, nil
}
