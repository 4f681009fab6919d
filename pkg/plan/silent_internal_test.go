package plan

import (
	"strings"
	"testing"
	"time"

	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/state"
)

// TestWhyLiveEntriesWait: the planner reports it when the sink does not.
func TestWhyLiveEntriesWait(t *testing.T) {
	r := newReconciler(&Planner{
		Config:      &config.Pipeline{Sinks: []config.Sink{{Name: "warehouse"}}},
		SinkStopped: func(string) bool { return false },
	}, state.Spec{}, 1)
	now := time.Unix(1000, 0)
	status := SinkStatus{Name: "warehouse", rev: 1, Live: queue.Position{Exists: true, Pending: 3, AckFloor: 7}}
	status.Report.Live = state.LiveState{Started: true, Epoch: 2, Seq: 7}
	after := func(d time.Duration) string {
		now = now.Add(d)
		return r.waits.stillness(status, now)
	}
	want := func(got, part string) {
		t.Helper()
		if (part == "" && got != "") || !strings.Contains(got, part) {
			t.Errorf("told %q, want %q", got, part)
		}
	}
	want(after(0), "")
	want(after(44*time.Second), "")
	want(after(2*time.Second), "it has not reported since 00:16:40 UTC, and 3 live entries wait for it: is it running?")
	status.rev++
	want(after(time.Second), "3 live entries wait for it, and it has applied none since 00:16:40 UTC; its last is entry 7 of epoch 2")
	status.rev++
	status.Report.State, status.Report.Reason = "paused", "connection refused"
	want(after(time.Second), "") // the sink's own
	status.rev++
	status.Report.State, status.Report.Reason = state.SinkFailed, "block 5 is refused"
	want(after(time.Second), "it has stopped, and 3 live entries wait for it: block 5 is refused")
	status.rev++
	status.Report.State, status.Report.Reason = "running", ""
	status.Report.Live.Seq++
	want(after(time.Second), "") // it moves
	want(after(40*time.Second), "")
	status.Live.Pending = 0
	want(after(time.Hour), "") // nothing waits
	status.Live.Pending = 1
	want(after(time.Hour), "")
}

// TestStillnessOfASinkThatTheConfigurationLacks, or has in another place: the sinks are
// those of the plan, which another planner's configuration may have made.
func TestStillnessOfASinkThatTheConfigurationLacks(t *testing.T) {
	slow := &config.Delta{MaxCommitDelay: time.Hour}
	r := newReconciler(&Planner{Config: &config.Pipeline{Sinks: []config.Sink{{Name: "lake", Delta: slow}}}}, state.Spec{}, 1)
	waiting := queue.Position{Exists: true, Pending: 3}
	now := time.Unix(1000, 0)
	for range 2 {
		fresh := r.waits.stillness(SinkStatus{Name: "new", rev: 1, Live: waiting}, now)
		lake := r.waits.stillness(SinkStatus{Name: "lake", rev: 1, Live: waiting}, now)
		if now.Unix() > 1000 && (fresh == "" || lake != "") {
			t.Errorf("told of the new sink %q, and of the one that gathers for an hour %q", fresh, lake)
		}
		now = now.Add(time.Minute)
	}
}
