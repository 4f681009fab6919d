package plan

import (
	"testing"
	"time"

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

// TestTheEndOfTheReplayWindowIsLookedForSeldom: while a chain is followed the window passes an
// entry with each block, and to find its end the server loads old files of the log.
func TestTheEndOfTheReplayWindowIsLookedForSeldom(t *testing.T) {
	t.Parallel()
	for replay, most := range map[time.Duration]int{72 * time.Hour: 22, time.Hour: 1516} {
		now := time.Now()
		oldest := now.Add(-replay) // an entry is published each second
		looks, kept := 0, time.Duration(0)
		for range 24 * 60 * 60 {
			now = now.Add(time.Second)
			kept = max(kept, now.Sub(oldest))
			if began, passed := replayWindow(replay, now, oldest); passed {
				looks++
				oldest = began
			}
		}
		if looks > most || looks < most-24 {
			t.Errorf("%v: it was looked for %d times in a day", replay, looks)
		}
		if kept > replay+replay/replaySlack+2*time.Second {
			t.Errorf("%v: an entry was kept for %v", replay, kept)
		}
	}
	now := time.Now()
	if began, passed := replayWindow(0, now, now.Add(-time.Nanosecond)); !passed || !began.Equal(now) {
		t.Error("without a window an entry stays")
	}
}
