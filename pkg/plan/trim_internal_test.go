package plan

import (
	"testing"

	"github.com/ampipe/ampipe/pkg/queue"
)

// TestTheSinkThatHoldsTheLog is the one that was never started, though nothing counts as
// unread for it.
func TestTheSinkThatHoldsTheLog(t *testing.T) {
	log := queue.LogState{Messages: 100, Bytes: 900, MaxBytes: 1000}
	at := func(unread uint64) queue.Position { return queue.Position{Exists: true, Pending: unread} }
	for name, c := range map[string]struct {
		idle    SinkStatus
		follows bool
		slowest string
		unread  uint64
	}{
		"never started":                      {SinkStatus{Name: "idle"}, true, "idle", 100},
		"never started, nothing is followed": {SinkStatus{Name: "idle"}, false, "idle", 100},
		"has only the history":               {SinkStatus{Name: "idle", Position: at(0)}, true, "idle", 100},
		"needs only the history":             {SinkStatus{Name: "idle", Position: at(0)}, false, "slow", 7},
		"has read everything":                {SinkStatus{Name: "idle", Position: at(0), Live: at(0)}, true, "slow", 7},
	} {
		slow := SinkStatus{Name: "slow", Position: at(5), Live: at(2)}
		if s := logStatus(log, []SinkStatus{slow, c.idle}, c.follows); s.Slowest != c.slowest || s.Unread != c.unread {
			t.Errorf("%s: sink %s with %d entries, want %s with %d", name, s.Slowest, s.Unread, c.slowest, c.unread)
		}
	}
}
