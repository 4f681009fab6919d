package pipeline

import (
	"testing"

	"github.com/ampipe/ampipe/pkg/plan"
	"github.com/ampipe/ampipe/pkg/progress"
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
