package plan_test

import (
	"context"
	"errors"
	"iter"
	"testing"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/plan"
	"github.com/ampipe/ampipe/pkg/state"
)

// TestANewPlanLeavesOutWhatEverySinkHolds: blocks of a table that was adopted are not read.
func TestANewPlanLeavesOutWhatEverySinkHolds(t *testing.T) {
	d := setup(t)
	d.AskSinks = time.Minute
	ended := d.watch(block.Range{Start: 0, End: 100}, 20)
	d.until("it has looked", func(s plan.Status) bool {
		if len(s.Partitions) > 0 {
			t.Fatalf("%v were planned before the sink has said what it holds", s.Partitions)
		}
		return true
	})
	reported := make(chan struct{})
	held := block.NewSet(block.Range{Start: 0, End: 40}, block.Range{Start: 50, End: 95})
	go func() {
		defer close(reported)
		d.report(held)
	}()
	s := d.until("what is missing is planned", func(s plan.Status) bool {
		var open block.Set
		for _, p := range s.Partitions {
			if p.State == state.PartitionOpen {
				open.Add(p.Range())
			}
		}
		return open.Equal(block.NewSet(block.Range{Start: 40, End: 50}, block.Range{Start: 95, End: 100}))
	})
	if !s.Extracted.Equal(held) {
		t.Errorf("%v count as read, and the sink holds %v", s.Extracted, held)
	}
	<-reported
	go func() {
		for range d.status {
		}
	}()
	d.extract(state.PartitionDone)
	d.extract(state.PartitionDone)
	have := d.apply(2, all)
	have.AddAll(held)
	d.report(have)
	must(t, <-ended)
	close(d.status)
}

// TestASilentSinkDoesNotHoldUpAPlan: a sink that does not say what it holds gets everything.
func TestASilentSinkDoesNotHoldUpAPlan(t *testing.T) {
	d := setup(t)
	d.report(block.NewSet(block.Range{Start: 0, End: 100})) // of an earlier run
	d.AskSinks = 50 * time.Millisecond
	d.watch(block.Range{Start: 0, End: 100}, 20)
	d.until("everything is planned", func(s plan.Status) bool { return len(s.Partitions) == 5 && s.Extracted.Len() == 0 })
}

// TestPartitionsAreCutByWhatIsFoundOutThen, after the sinks were asked, and not at all while that
// cannot be found out.
func TestPartitionsAreCutByWhatIsFoundOutThen(t *testing.T) {
	d := setup(t)
	d.AskSinks = time.Minute
	tries, size := 0, uint64(0)
	d.BeforeCut = func(context.Context) error {
		tries++
		if tries == 1 {
			return errors.New("NATS is away")
		}
		size = 50
		return nil
	}
	d.Cut = func(r block.Range) iter.Seq[block.Range] { return plan.CutEach(r, size) }
	d.watch(block.Range{Start: 0, End: 100}, 20)
	d.until("it has looked", func(plan.Status) bool {
		if tries > 0 {
			t.Error("it was found out before the sink has said what it holds")
		}
		return true
	})
	go d.report(block.Set{})
	d.until("everything is planned", func(s plan.Status) bool { return len(s.Partitions) == 2 })
	if tries != 2 {
		t.Errorf("it was tried %d times, want twice", tries)
	}
}
