package plan

import (
	"testing"
	"time"

	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/state"
)

// TestWhatAPausedSinkLacksIsNotLost: the log was trimmed without it, and would be again. When
// it has resumed, it has to be seen at the log's end anew.
func TestWhatAPausedSinkLacksIsNotLost(t *testing.T) {
	r := newReconciler(&Planner{}, state.Spec{}, 1)
	sink := SinkStatus{Name: "lake", Position: queue.Position{Exists: true}}
	now := time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC)
	look := func(paused bool) bool {
		now = now.Add(time.Second)
		sink.Paused, sink.Report.Read = paused, now
		return r.sinks.readToEnd(sink, 1)
	}
	for range 2 * confirmingReadings {
		if look(true) {
			t.Fatal("what it lacks counts while it is paused")
		}
	}
	looks := 1
	for !look(false) {
		looks++
	}
	if looks != confirmingReadings+1 {
		t.Errorf("it counts after %d looks", looks)
	}
}
