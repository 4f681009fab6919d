package queue_test

import (
	"errors"
	"testing"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/state"
)

func TestOlderThan(t *testing.T) {
	ctx := testContext(t)
	log := mustLog(t, mustConn(t), 1<<30)
	if got, err := log.OlderThan(ctx, time.Now().Add(time.Hour), 100); err != nil || got != 0 {
		t.Errorf("an empty log has message %d, %v", got, err)
	}
	mustFill(t, log, "p.0.0", 9, 100)
	middle := time.Now()
	mustFill(t, log, "p.1.0", 8, 100)
	for _, c := range []struct {
		name string
		t    time.Time
		upto uint64
		want uint64
	}{
		{"nothing is that old", middle.Add(-time.Hour), 17, 0},
		{"the first half", middle, 17, 9},
		{"everything", time.Now().Add(time.Hour), 17, 17},
		{"no more than allowed", time.Now().Add(time.Hour), 4, 4},
		{"no more than there is", time.Now().Add(time.Hour), 1000, 17},
	} {
		if got, err := log.OlderThan(ctx, c.t, c.upto); err != nil || got != c.want {
			t.Errorf("%s: %d, %v, want %d", c.name, got, err, c.want)
		}
	}
	if err := log.Trim(ctx, 5); err != nil {
		t.Fatal(err)
	}
	if got, err := log.OlderThan(ctx, middle, 17); err != nil || got != 9 {
		t.Errorf("after a trim: %d, %v, want 9", got, err)
	}
}

func TestReport(t *testing.T) {
	ctx := testContext(t)
	kv := mustState(t, mustConn(t), "p")
	if _, _, err := kv.Report(ctx, "warehouse"); !errors.Is(err, queue.ErrNotFound) {
		t.Errorf("a report that nobody made: %v", err)
	}
	var last uint64
	for end := block.Number(1); end < 4; end++ {
		want := state.SinkReport{Name: "warehouse", Coverage: block.NewSet(block.Range{Start: 0, End: end})}
		if err := kv.PutReport(ctx, want); err != nil {
			t.Fatal(err)
		}
		got, rev, err := kv.Report(ctx, "warehouse")
		if err != nil || !got.Coverage.Equal(want.Coverage) || rev <= last {
			t.Errorf("report %+v, revision %d after %d, %v", got, rev, last, err)
		}
		last = rev
	}
}
