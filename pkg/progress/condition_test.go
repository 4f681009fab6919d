package progress_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/health"
	"github.com/ampipe/ampipe/pkg/progress"
)

// TestWaitsCountFromWhenTheyBegan: another reason continues a wait, another kind of wait
// begins anew, and so does one that comes again.
func TestWaitsCountFromWhenTheyBegan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := progress.NewMeter()
		wait := func(kind health.Kind, reason string) time.Duration {
			time.Sleep(time.Minute)
			m.WaitingFor(kind, "live", reason)
			waits := m.Health("").Waits
			if len(waits) != 1 || waits[0].Reason != reason || waits[0].Kind != kind {
				t.Fatalf("%+v after %q", waits, reason)
			}
			return time.Since(waits[0].Since)
		}
		for i, c := range []struct {
			kind   health.Kind
			reason string
			want   time.Duration
		}{
			{health.BackPressure, "the log is full", 0},
			{health.BackPressure, "the log is still full", time.Minute},
			{health.AmpAway, "is Amp running?", 0},
			{health.AmpAway, "is it?", time.Minute},
		} {
			if got := wait(c.kind, c.reason); got != c.want {
				t.Errorf("wait %d began %v ago, want %v", i, got, c.want)
			}
		}
		m.Waiting("live", "")
		if waits := m.Health("").Waits; len(waits) > 0 {
			t.Errorf("it still waits: %+v", waits)
		}
		if got := wait(health.AmpAway, "again"); got != 0 {
			t.Errorf("a wait that has come again began %v ago", got)
		}
	})
}

// TestWhatMovesTheLog is an entry that it takes, and what the planner sees.
func TestWhatMovesTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := progress.NewMeter("lake")
		for name, move := range map[string]func(){
			"an entry": func() { m.Published(block.Range{}, 1, 1) }, "room": m.Moved,
		} {
			time.Sleep(time.Minute)
			move()
			if moved := m.Health("").Moved; time.Since(moved) != 0 {
				t.Errorf("%s: moved %v ago", name, time.Since(moved))
			}
		}
		time.Sleep(time.Minute)
		m.Applied("lake", 1) // another sink may be what the log waits for
		if moved := m.Health("").Moved; time.Since(moved) == 0 {
			t.Error("a sink alone has moved the log")
		}
	})
}

// TestASinkWhoseTransactionsTakeTurns waits since its last commit.
func TestASinkWhoseTransactionsTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := progress.NewMeter("lake", "cache")
		since := func() time.Duration { return time.Since(m.Health("").Waits[0].Since) }
		m.WaitingFor(health.InTurn, "sink lake", "waits for a lock")
		time.Sleep(time.Minute)
		m.Applied("cache", 1)
		if got := since(); got != time.Minute {
			t.Errorf("another sink commits: it waits for %v", got)
		}
		m.Applied("lake", 1)
		if got := since(); got != 0 {
			t.Errorf("it has just committed, and waits for %v", got)
		}
		if got := m.Snapshot().State; got == progress.StateWaiting {
			t.Error("it is shown as one that waits")
		}
		m.Waiting("sink lake", "connection refused")
		time.Sleep(time.Minute)
		m.Applied("lake", 1)
		if got := since(); got != time.Minute {
			t.Errorf("a fault lasts for %v", got)
		}
	})
}

func TestStagesAndLoops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := progress.NewMeter("lake", "cache")
		only := func() health.Stage {
			t.Helper()
			stages := m.Health("").Stages
			if len(stages) != 1 {
				t.Fatalf("%+v", stages)
			}
			return stages[0]
		}
		m.Unready("sink lake", "the destination is not open yet")
		time.Sleep(time.Minute)
		m.Lacks("sink lake", "7 blocks are missing", 7)
		if s := only(); s.Unready == "" || s.Missing != 7 || time.Since(s.Since) != time.Minute {
			t.Errorf("%+v", s)
		}
		m.Ready("sink lake", health.NATSAway)
		if s := only(); s.Unready != "" || s.Missing != 0 || len(s.Needs) != 1 {
			t.Errorf("%+v", s)
		}
		m.Stopped("cache", "of another process")
		if s := only(); s.Unready != "" {
			t.Errorf("a stage of another process has made it unready: %+v", s)
		}
		m.Stopped("lake", "block 7: too large")
		if s := only(); s.Unready != "it has stopped: block 7: too large" {
			t.Errorf("it is ready although it has stopped: %+v", s)
		}
		m.Stopped("lake", "")
		m.GaveUp("7 blocks could not be read")
		if s, stops := only(), m.Health("").Stops; s.Unready != "" || len(stops) != 2 {
			t.Errorf("%+v %+v", s, stops)
		}
		m.GaveUp("")
		m.Heartbeat("planner")
		time.Sleep(time.Minute)
		if loops := m.Health("").Loops; len(loops) != 1 || time.Since(loops[0].Last) != time.Minute {
			t.Errorf("%+v", loops)
		}
		m.Failed("the chain cannot be followed")
		if p := m.Health(""); len(p.Loops) > 0 || only().Unready == "" || len(p.Stops) != 2 {
			t.Errorf("a pipeline that has failed: %+v", p)
		}
	})
}
