package pipeline

import (
	"errors"
	"fmt"
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/health"
	"github.com/ampipe/ampipe/pkg/plan"
	"github.com/ampipe/ampipe/pkg/progress"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/state"
)

// TestASinkThatWasTakenOutIsNotWaitedFor: its reason leaves with it.
func TestASinkThatWasTakenOutIsNotWaitedFor(t *testing.T) {
	meter := progress.NewMeter("warehouse", "cache")
	tell := planObserver(meter)
	tell(plan.Status{Sinks: []plan.SinkStatus{{Name: "warehouse", Waits: "is it running?"}, {Name: "cache", Waits: "is it running?"}}})
	tell(plan.Status{Sinks: []plan.SinkStatus{{Name: "cache", Waits: "is it running?"}}})
	if waits := meter.Health("").Waits; len(waits) != 1 || waits[0].Part != "live lane of sink cache" {
		t.Errorf("waits %+v", waits)
	}
}

// TestWhatMetricsSayOfIndexes and of what was pruned: some indexes are missing as soon as a
// sink says so, also one that does not say how many.
func TestWhatMetricsSayOfIndexes(t *testing.T) {
	for name, c := range map[string]struct {
		report state.SinkReport
		want   progress.SinkOverview
	}{
		"there":   {state.SinkReport{Pruned: 7}, progress.SinkOverview{Pruned: 7}},
		"missing": {state.SinkReport{Indexing: &state.Indexing{Unbuilt: 3}}, progress.SinkOverview{UnbuiltIndexes: 3}},
		"some":    {state.SinkReport{Indexing: &state.Indexing{}}, progress.SinkOverview{UnbuiltIndexes: 1}},
		"failed":  {state.SinkReport{Indexing: &state.Indexing{Unbuilt: 2, Error: "full"}}, progress.SinkOverview{UnbuiltIndexes: 2, IndexingFailed: true}},
	} {
		got := overview(plan.Status{Sinks: []plan.SinkStatus{{Name: "warehouse", Report: c.report}}}).Sinks["warehouse"]
		if got.Pruned != c.want.Pruned || got.UnbuiltIndexes != c.want.UnbuiltIndexes || got.IndexingFailed != c.want.IndexingFailed {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

// TestKindsOfWaits: what an extractor waits for is known by its error.
func TestKindsOfWaits(t *testing.T) {
	client, err := amp.Open(t.Context(), amp.Config{URL: "grpc://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }() // nothing is in flight
	_, away := client.Head(t.Context(), "SELECT 1")
	for _, c := range []struct {
		err  error
		want health.Kind
	}{
		{fmt.Errorf("publish: %w", queue.ErrFull), health.BackPressure},
		{fmt.Errorf("ask for the head: %w", away), health.AmpAway},
		{fmt.Errorf("fetch: %w", amp.ErrNoAnswer), health.AmpAway},
		{amp.ErrTooMuch, health.Fault},
		{errors.New("rows are out of order"), health.Fault},
		{fault.Later(sink.InTurn(errors.New("waits for a lock")), 0), health.InTurn},
	} {
		if got := kindOf(c.err); got != c.want {
			t.Errorf("%v is of kind %v, want %v", c.err, got, c.want)
		}
	}
}

// TestKindsOfWaitsOfASink: one that waits for another transaction of ampipe is in order.
func TestKindsOfWaitsOfASink(t *testing.T) {
	meter := progress.NewMeter("warehouse")
	observer := sinkObserver{name: "warehouse", meter: meter}
	for _, w := range []interface{ OnPause(reason error) }{observer, replayObserver{observer}} {
		w.OnPause(sink.InTurn(errors.New("waits for a lock")))
	}
	waits := meter.Health("").Waits
	if len(waits) != 2 || waits[0].Kind != health.InTurn || waits[1].Kind != health.InTurn {
		t.Errorf("the waits are %+v", waits)
	}
	observer.OnPause(queue.ErrFull) // of dead letters
	if waits = meter.Health("").Waits; waits[0].Part != "sink warehouse" || waits[0].Kind != health.Fault {
		t.Errorf("the waits are %+v", waits)
	}
}

// TestWhatAPlannerSees: a full log is back-pressure that moves with the sink that holds
// it, the chain that is awaited is expected, and blocks that were given up are not well.
func TestWhatAPlannerSees(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		meter := progress.NewMeter("warehouse", "lake")
		tell := planObserver(meter)
		status := plan.Status{
			Log: plan.LogStatus{Bytes: 99, MaxBytes: 100, Slowest: "warehouse", Unread: 7},
			Sinks: []plan.SinkStatus{
				{Name: "lake", Position: queue.Position{AckFloor: 1}}, {Name: "warehouse", Position: queue.Position{AckFloor: 1}},
			},
		}
		moves := func() bool {
			before := meter.Health("").Moved
			time.Sleep(time.Second)
			tell(status)
			return meter.Health("").Moved.After(before)
		}
		if !moves() || moves() {
			t.Error("the first look is to count as movement, and the same again not")
		}
		status.Sinks[0].Position.AckFloor++
		if moves() {
			t.Error("a sink that does not hold the log has moved it")
		}
		status.Sinks[1].Live.AckFloor++
		if !moves() {
			t.Error("the sink that holds the log has acknowledged something, and the log stands still")
		}
		status.Live = plan.LiveStatus{Waits: "the chain has not reached block 7", Expected: true}
		tell(status)
		kinds := map[string]health.Kind{}
		for _, w := range meter.Health("").Waits {
			kinds[w.Part] = w.Kind
		}
		if len(kinds) != 2 || kinds["log"] != health.BackPressure || kinds["start of the live lane"] != health.Expected {
			t.Errorf("the waits are of kinds %v", kinds)
		}
		status.Failed = block.NewSet(block.Range{Start: 3, End: 5})
		tell(status)
		a := health.Healthy(time.Now(), []health.Pipeline{meter.Health("")})
		if a.OK || a.Parts[0].Part != "history" || a.Parts[0].State != health.StateStopped {
			t.Errorf("blocks were given up, and it says %+v", a)
		}
	})
}

// TestOverview: a partition that failed counts until another has brought its blocks, and
// a sink that has never read the log has all of it before it.
func TestOverview(t *testing.T) {
	part := func(start, end block.Number, generation int, as state.PartitionState) state.Partition {
		return state.Partition{Start: start, End: end, Generation: generation, State: as}
	}
	parts := []state.Partition{
		part(0, 10, 0, state.PartitionFailed), part(10, 20, 0, state.PartitionFailed), part(20, 30, 0, state.PartitionOpen),
		part(10, 20, 1, state.PartitionDone),
	}
	o := overview(plan.Status{
		Partitions: parts, Failed: plan.Failed(parts), Epoch: 3,
		Log: plan.LogStatus{Bytes: 5, MaxBytes: 10, Entries: 7},
		Sinks: []plan.SinkStatus{
			{Name: "warehouse", Position: queue.Position{Exists: true, AckFloor: 4, Pending: 1, AckPending: 2}, Missing: 1, Wanted: 2},
			{Name: "cache"},
		},
	})
	if want := map[string]int{"failed": 1, "done": 1, "open": 1}; !maps.Equal(o.Partitions, want) || o.FailedBlocks != 10 {
		t.Errorf("partitions %v with %d failed blocks, want %v with 10", o.Partitions, o.FailedBlocks, want)
	}
	if a, b := o.Sinks["warehouse"], o.Sinks["cache"]; a.Pending["history"] != 3 || a.Acknowledged["history"] != 4 || b.Pending["history"] != 7 {
		t.Errorf("sinks %+v %+v", a, b)
	}
}
