package plan_test

import (
	"testing"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/plan"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/state"
)

// TestStatusTellsHowFarBehindASinkIs in the live lane: the blocks that it lacks, and when
// the first entry was published that it has not acknowledged.
func TestStatusTellsHowFarBehindASinkIs(t *testing.T) {
	began := time.Now().Add(-time.Second) // the server has its own clock
	d := newLane(t, 1)
	d.acknowledge("warehouse", 4)
	d.acknowledge("cache", 2) // the invalidation and the first watermark
	history := block.Range{Start: 700, End: 800}
	d.reports("warehouse", d.mark(d.marks[2], 800, 900), history)
	d.reports("cache", d.mark(d.marks[0], 800, 820), block.Range{Start: 700, End: 730})
	d.run()
	of := func(s plan.Status, name string) plan.SinkStatus {
		for _, sink := range s.Sinks {
			if sink.Name == name {
				return sink
			}
		}
		t.Fatalf("the status lacks sink %s", name)
		return plan.SinkStatus{}
	}
	s := d.until("the lag is known", func(s plan.Status) bool { return !of(s, "cache").Oldest.IsZero() })
	warehouse, cache := of(s, "warehouse"), of(s, "cache")
	if warehouse.Behind != 0 || !warehouse.Oldest.IsZero() || warehouse.Missing != 0 || warehouse.Wanted != 100 {
		t.Errorf("a sink that has everything: %d blocks behind since %v, lacks %d of %d", warehouse.Behind, warehouse.Oldest, warehouse.Missing, warehouse.Wanted)
	}
	if cache.Behind != 80 || cache.Oldest.Before(began) || cache.Oldest.After(time.Now()) || cache.Missing != 70 || cache.Wanted != 100 {
		t.Errorf("a sink at block 820 of 900: %d blocks behind since %v, lacks %d of %d", cache.Behind, cache.Oldest, cache.Missing, cache.Wanted)
	}
	next, err := d.Log.At(t.Context(), d.marks[1])
	must(t, err)
	if !cache.Oldest.Equal(next.Time) {
		t.Errorf("the first entry that it lacks is of %v, want %v", cache.Oldest, next.Time)
	}
	if s.Epoch != 1 {
		t.Errorf("epoch %d, want 1", s.Epoch)
	}
}

// TestStatusCountsTasksAndMissingBlocks: those that failed are not missing.
func TestStatusCountsTasksAndMissingBlocks(t *testing.T) {
	d := setup(t)
	must(t, second(d.State.CreatePartition(t.Context(), part(0, 10, 0, state.PartitionFailed))))
	d.watch(block.Range{Start: 0, End: 40}, 10)
	s := d.until("the tasks are counted", func(s plan.Status) bool { return s.Tasks[queue.PartitionTask].Queued == 3 })
	if got := s.Sinks[0]; got.Wanted != 40 || got.Missing != 30 || got.Behind != 0 || !got.Oldest.IsZero() {
		t.Errorf("the sink wants %d blocks and lacks %d, want 40 and 30; it is %d behind since %v", got.Wanted, got.Missing, got.Behind, got.Oldest)
	}
	if load, counted := s.Tasks[queue.LiveTask]; counted {
		t.Errorf("nothing is followed, and there are live tasks: %+v", load)
	}
}
