package queue_test

import (
	"testing"
	"time"

	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/state"
)

func TestPause(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	s := mustState(t, mustConn(t), "pipe")
	if p, err := s.Pause(ctx, "lake"); err != nil || p.Paused {
		t.Errorf("never paused: %+v, %v", p, err)
	}
	want := state.Pause{Paused: true, Since: time.Date(2026, 11, 30, 1, 2, 3, 0, time.UTC)}
	waited := make(chan state.Pause, 1)
	go func() {
		p, err := s.WaitPause(ctx, "lake", true)
		if err != nil {
			t.Error(err)
		}
		waited <- p
	}()
	for sink, p := range map[string]state.Pause{"cache": {Paused: true}, "lake": want} { // that of another sink does not count
		if err := s.PutPause(ctx, sink, p); err != nil {
			t.Fatal(err)
		}
	}
	if p := <-waited; p != want {
		t.Errorf("waited for %+v", p)
	}
	if p, err := s.Pause(ctx, "lake"); err != nil || p != want {
		t.Errorf("read %+v, %v", p, err)
	}
	if reports, err := s.StoredReports(ctx); err != nil || len(reports) > 0 {
		t.Errorf("it is taken for a report: %+v, %v", reports, err)
	}
	if err := s.PutPause(ctx, "lake", state.Pause{}); err != nil {
		t.Fatal(err)
	}
	if p, err := s.WaitPause(ctx, "lake", false); err != nil || p.Paused {
		t.Errorf("resumed: %+v, %v", p, err)
	}
	if err := s.PutPause(ctx, "a.b", want); fault.Of(err) != fault.ClassPermanent {
		t.Errorf("a name that is none: %v", err)
	}
}
