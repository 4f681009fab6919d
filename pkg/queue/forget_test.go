package queue_test

import (
	"testing"

	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/state"
)

// TestForget removes what is kept of a sink, and then of a pipeline, and nothing of those
// whose names begin like theirs.
func TestForget(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	conn := mustConn(t)
	states, tasks := map[string]*queue.State{}, map[string]*queue.Tasks{}
	for _, pipeline := range []string{"pipe", "pipe-2"} {
		s := mustState(t, conn, pipeline)
		for _, sink := range []string{"lake", "lake-2"} {
			must(t, s.PutReport(ctx, state.SinkReport{Name: sink}))
			must(t, s.PutPause(ctx, sink, state.Pause{Paused: true}))
			_, err := s.Put(ctx, "process.sink-"+sink+".0", state.Process{Role: "sink-" + sink})
			must(t, err)
		}
		_, err := s.CreatePartition(ctx, state.Partition{End: 10})
		must(t, err)
		states[pipeline] = s
		tasks[pipeline], err = conn.Tasks(ctx, pipeline)
		must(t, err)
		_, err = tasks[pipeline].Add(ctx, queue.PartitionTask, "0.0")
		must(t, err)
	}
	left := func(pipeline string) (reports, processes, partitions int) {
		t.Helper()
		r, err := states[pipeline].StoredReports(ctx)
		must(t, err)
		p, err := states[pipeline].Processes(ctx)
		must(t, err)
		parts, err := states[pipeline].Partitions(ctx)
		must(t, err)
		return len(r), len(p), len(parts)
	}
	one, other := states["pipe"], states["pipe-2"]
	must(t, one.ForgetSink(ctx, "lake"))
	if r, p, parts := left("pipe"); r != 1 || p != 1 || parts != 1 {
		t.Errorf("without the sink: %d reports, %d processes, %d partitions", r, p, parts)
	}
	for _, sink := range []string{"lake", "lake-2"} {
		if p, err := one.Pause(ctx, sink); err != nil || p.Paused == (sink == "lake") {
			t.Errorf("sink %s: %+v, %v", sink, p, err)
		}
	}
	must(t, one.Forget(ctx))
	must(t, tasks["pipe"].Forget(ctx))
	must(t, tasks["pipe"].Forget(ctx)) // it can be repeated
	if r, p, parts := left("pipe"); r+p+parts > 0 {
		t.Errorf("without the pipeline: %d reports, %d processes, %d partitions", r, p, parts)
	}
	if r, p, parts := left("pipe-2"); r != 2 || p != 2 || parts != 1 {
		t.Errorf("the other pipeline has %d reports, %d processes, %d partitions", r, p, parts)
	}
	if p, err := other.Pause(ctx, "lake"); err != nil || !p.Paused {
		t.Errorf("the other pipeline's sink: %+v, %v", p, err)
	}
	if _, err := one.CreatePartition(ctx, state.Partition{End: 10}); err != nil {
		t.Errorf("it cannot be planned again: %v", err)
	}
	for pipeline, want := range map[string]bool{"pipe": true, "pipe-2": false} {
		if added, err := tasks[pipeline].Add(ctx, queue.PartitionTask, "0.0"); err != nil || added != want {
			t.Errorf("the task of %s is queued: %v, %v", pipeline, added, err)
		}
	}
}
