package pipeline

import (
	"maps"
	"testing"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/plan"
	"github.com/ampipe/ampipe/pkg/progress"
	"github.com/ampipe/ampipe/pkg/queue"
)

// TestASinkThatWasTakenOutIsNotWaitedFor: its reason leaves with it.
func TestASinkThatWasTakenOutIsNotWaitedFor(t *testing.T) {
	meter := progress.NewMeter("warehouse", "cache")
	tell := planWatch(meter)
	tell(plan.Status{Sinks: []plan.SinkStatus{{Name: "warehouse", Waits: "is it running?"}, {Name: "cache", Waits: "is it running?"}}})
	tell(plan.Status{Sinks: []plan.SinkStatus{{Name: "cache", Waits: "is it running?"}}})
	if waits := meter.Health("").Waits; len(waits) != 1 || waits[0].Part != "live lane of sink cache" {
		t.Errorf("waits %+v", waits)
	}
}

// TestOverview: a partition that failed counts until another has brought its blocks, and
// a sink that has never read the log has all of it before it.
func TestOverview(t *testing.T) {
	part := func(start, end block.Number, generation int, state queue.PartitionState) queue.Partition {
		return queue.Partition{Start: start, End: end, Generation: generation, State: state}
	}
	parts := []queue.Partition{
		part(0, 10, 0, queue.PartitionFailed), part(10, 20, 0, queue.PartitionFailed), part(20, 30, 0, queue.PartitionOpen),
		part(10, 20, 1, queue.PartitionDone),
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
