package status

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/state"
)

// Facts are what the state in NATS holds about a pipeline.
type Facts struct {
	Name  string
	Now   time.Time         // by the clock of NATS
	Spec  *state.Spec       // nil: nothing was planned yet
	Parts []state.Partition // records, in the order in which they were written
	Tasks queue.Load        // of partitions

	Position state.LivePosition // its Epoch is 0: the lane has never begun
	Tail     queue.Tail         // of the live lane

	Gone []Gone // that the pipeline has had, and somebody has deleted
	Log  queue.LogState

	Sinks     []SinkFacts
	Processes []state.Process
}

// SinkFacts are what the state in NATS holds about a sink.
type SinkFacts struct {
	Name     string
	Report   state.SinkReport
	Reported time.Time      // by the clock of NATS; zero: it has never reported
	History  queue.Position // in the lanes of the partitions
	Live     queue.Position // in the live lane
	Oldest   time.Time      // when the first live entry was written that it lacks; zero: it has all
	Replay   state.Replay   // the last that was asked for; its Step is empty: none was
	Dead     uint64         // dead letters
}

// Gone is a stream that a pipeline has had and that is not there any more.
type Gone int

const (
	GoneState Gone = iota // everything that is known of the pipeline
	GoneLog
	GoneTasks
)

// String returns what is to be said of it.
func (g Gone) String() string {
	what := map[Gone]string{GoneState: "state", GoneLog: "log", GoneTasks: "queue of tasks"}[g]
	return "the " + what + " of the pipeline is gone: somebody has deleted it in NATS"
}

// Read reads the facts of a pipeline, and changes nothing. A pipeline of which nothing is
// there yet is not an error.
func Read(ctx context.Context, conn *queue.Conn, name string) (Facts, error) {
	f := Facts{Name: name}
	conn = conn.Looking()
	ahead, err := conn.ClockAhead(ctx)
	if err != nil {
		return f, err
	}
	f.Now = time.Now().Add(-ahead).UTC()
	kv, err := conn.State(ctx, name)
	if errors.Is(err, queue.ErrNoStream) {
		_, err = conn.Log(ctx, name, queue.LogConfig{})
		if errors.Is(err, queue.ErrNoStream) {
			return f, nil
		}
		f.Gone = append(f.Gone, GoneState)
		return f, err
	}
	if err != nil {
		return f, err
	}
	processes, err := kv.Processes(ctx)
	if err != nil {
		return f, fmt.Errorf("read the processes: %w", err)
	}
	for _, p := range processes {
		f.Processes = append(f.Processes, p.Value)
	}
	spec, _, err := kv.LoadSpec(ctx)
	if errors.Is(err, queue.ErrNotFound) {
		return f, nil
	}
	if err != nil {
		return f, fmt.Errorf("read the plan: %w", err)
	}
	f.Spec = &spec
	return f, f.read(ctx, conn, kv)
}

// read reads what a pipeline has that was planned. Partitions are read before positions,
// and positions before reports, as the planner does: a sink cannot look as if it lacked
// what it has meanwhile got.
func (f *Facts) read(ctx context.Context, conn *queue.Conn, kv *queue.State) error {
	parts, err := kv.Partitions(ctx)
	if err != nil {
		return fmt.Errorf("read the partitions: %w", err)
	}
	slices.SortFunc(parts, func(a, b queue.Stored[state.Partition]) int { return cmp.Compare(a.Rev, b.Rev) })
	records := make([]state.Partition, len(parts))
	for i, p := range parts {
		records[i] = p.Value
	}
	if f.Parts, err = state.WithoutMerged(records); err != nil {
		return err
	}
	tasks, err := conn.Tasks(ctx, f.Name)
	if err == nil {
		f.Tasks, err = tasks.Look(ctx, queue.PartitionTask)
	}
	switch {
	case errors.Is(err, queue.ErrNoStream):
		f.Gone = append(f.Gone, GoneTasks)
	case err != nil:
		return err
	}
	log, err := conn.Log(ctx, f.Name, queue.LogConfig{})
	if err == nil {
		err = f.readLog(ctx, log, kv)
	}
	there := err == nil
	switch {
	case errors.Is(err, queue.ErrNoStream):
		f.Gone, f.Sinks = append(f.Gone, GoneLog), nil
	case err != nil:
		return err
	}
	if err := f.readReports(ctx, kv); err != nil {
		return err
	}
	if there {
		if err := f.readOldest(ctx, log); err != nil {
			return err
		}
	}
	for i := range f.Sinks {
		letters, err := conn.DeadLetters(ctx, f.Name, f.Sinks[i].Name, 0)
		switch {
		case err == nil:
			f.Sinks[i].Dead = letters.Count()
		case !errors.Is(err, queue.ErrNoStream):
			return err
		}
	}
	return nil
}

// readLog reads how full the log is, where its live lane ends and how far the sinks have
// come.
func (f *Facts) readLog(ctx context.Context, log *queue.Log, kv *queue.State) (err error) {
	if f.Log, err = log.State(ctx); err != nil {
		return err
	}
	if f.Spec.Live != nil {
		f.Position, _, err = kv.LivePosition(ctx)
		if err != nil && !errors.Is(err, queue.ErrNotFound) {
			return fmt.Errorf("read the position of the live lane: %w", err)
		}
		if f.Tail, err = log.Tail(ctx, queue.LiveLane); err != nil {
			return err
		}
	}
	for _, name := range f.Spec.Sinks {
		s := SinkFacts{Name: name}
		if s.History, err = log.Position(ctx, name, queue.History); err != nil {
			return err
		}
		if f.Spec.Live != nil {
			if s.Live, err = log.Position(ctx, name, queue.Live); err != nil {
				return err
			}
		}
		f.Sinks = append(f.Sinks, s)
	}
	return nil
}

// readOldest reads when the first live entry was published that each sink lacks. The
// position in the lane is gone with an embedded server that has ended: then the report says
// what the destination has.
func (f *Facts) readOldest(ctx context.Context, log *queue.Log) error {
	for i := range f.Sinks {
		s := &f.Sinks[i]
		after := s.Live.AckFloor
		switch has := s.Report.Live; {
		case s.Live.Unread() > 0:
		case !s.Live.Exists && f.Spec.Live != nil && has.Started && has.Epoch == f.Spec.Epoch:
			after = has.Seq
		default:
			continue
		}
		next, err := log.Next(ctx, queue.LiveLane, after+1)
		if err != nil {
			return err
		}
		s.Oldest = next.Time // zero if there is none, or it was trimmed
	}
	return nil
}

// readReports reads what was asked of the sinks, and then what they say: a replay is done
// when a report has said what came of it.
func (f *Facts) readReports(ctx context.Context, kv *queue.State) error {
	replays := map[string]state.Replay{}
	for _, name := range f.Spec.Sinks {
		replay, _, err := kv.Replay(ctx, name)
		if err != nil && !errors.Is(err, queue.ErrNotFound) {
			return fmt.Errorf("look for a replay of sink %s: %w", name, err)
		}
		replays[name] = replay
	}
	reports, err := kv.StoredReports(ctx)
	if err != nil {
		return fmt.Errorf("read the reports of the sinks: %w", err)
	}
	if len(f.Sinks) == 0 {
		for _, name := range f.Spec.Sinks {
			f.Sinks = append(f.Sinks, SinkFacts{Name: name})
		}
	}
	for i := range f.Sinks {
		f.Sinks[i].Replay = replays[f.Sinks[i].Name]
		for _, r := range reports {
			if r.Value.Name == f.Sinks[i].Name {
				f.Sinks[i].Report, f.Sinks[i].Reported = r.Value, r.Written
			}
		}
	}
	return nil
}
