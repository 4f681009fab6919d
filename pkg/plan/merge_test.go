package plan_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/plan"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/state"
)

// TestFinishedPartitionsAreMerged, also those of an earlier version and those that a planner
// has left which was killed. What became of each of them is not lost, none is loaded again,
// and what is lost later comes under a name that no partition has had.
func TestFinishedPartitionsAreMerged(t *testing.T) {
	d := setup(t)
	ctx := t.Context()
	const blocks = 700
	done := make([]state.Partition, blocks)
	for i := range done {
		done[i] = part(block.Number(i), block.Number(i+1), 0, state.PartitionDone)
		done[i].Rows, done[i].Attempts = uint64(i), 1
	}
	failed := part(300, 301, 0, state.PartitionFailed)
	done[300] = part(300, 301, 1, state.PartitionDone)
	revs, err := d.State.CreatePartitions(ctx, append([]state.Partition{failed}, done...))
	must(t, err)
	if slices.Contains(revs, 0) {
		t.Fatalf("the revisions are %v", revs)
	}
	left, err := state.Merge(done[0], done[:2]) // and the second was not removed
	must(t, err)
	must(t, second(d.State.UpdatePartition(ctx, left, revs[1])))

	d.watch(block.Range{End: blocks}, 1)
	s := d.until("one record is left, and the failed one", func(s plan.Status) bool { return len(s.Partitions) == 2 })
	each, err := state.Separate(s.Partitions)
	must(t, err)
	if len(each) != blocks+1 || s.Extracted.Len() != blocks || s.Failed.Len() != 0 {
		t.Fatalf("%d partitions, %v extracted, %v failed", len(each), s.Extracted, s.Failed)
	}
	for _, p := range done {
		if !slices.Contains(each, p) {
			t.Errorf("what became of %v is lost", p.Range())
		}
	}
	stored, err := d.State.Partitions(ctx)
	must(t, err)
	if len(stored) != 2 || stored[1].Value.Range() != (block.Range{End: blocks}) {
		t.Errorf("stored are %+v", stored)
	}

	// The sink has read the log to its end, and has lost some blocks.
	e, err := d.encoder.Encode(entry.Header{Kind: entry.Data, Network: "test", Range: block.Range{End: blocks}, End: blocks}, nil)
	must(t, err)
	must(t, second(d.Log.Publish(ctx, "p.0.0", 0, "0.0", entry.Group{e})))
	coverage := d.apply(1, all)
	coverage.Remove(block.Range{Start: 200, End: 202})
	coverage.Remove(block.Range{Start: 300, End: 301})
	var again []string
	d.until("the lost blocks are queued", func(s plan.Status) bool {
		d.report(coverage)
		again = nil
		for _, p := range s.Partitions {
			if p.State == state.PartitionOpen {
				again = append(again, p.ID())
			}
		}
		return len(again) == 3
	})
	slices.Sort(again)
	if fmt.Sprint(again) != "[200.2 201.2 300.2]" {
		t.Errorf("loaded again are %v", again)
	}
}

// TestPartitionsAreMadeAheadOfTheWorkers: so many are open that no worker waits, however many
// the history has, and more are made when a quarter of them is done.
func TestPartitionsAreMadeAheadOfTheWorkers(t *testing.T) {
	d := setup(t)
	const ahead, made = 4096, 1024
	history := block.Range{End: 1_000_000_000}
	d.watch(history, 1000)
	counts := func(s plan.Status) (open, done int) {
		for _, p := range s.Partitions {
			if p.State == state.PartitionOpen {
				open++
			} else {
				done += p.Count()
			}
		}
		return open, done
	}
	s := d.until("partitions are made", func(s plan.Status) bool { return len(s.Partitions) > 0 })
	if open, _ := counts(s); open != ahead {
		t.Fatalf("%d partitions are open, want %d", open, ahead)
	}
	load, err := d.Tasks.Load(t.Context(), queue.PartitionTask)
	must(t, err)
	if load.Queued != ahead {
		t.Errorf("%d tasks are queued, want %d", load.Queued, ahead)
	}
	for range made {
		d.extract(state.PartitionDone)
	}
	s = d.until("others are made", func(s plan.Status) bool {
		open, done := counts(s)
		if open > ahead || open < ahead-made {
			t.Errorf("%d partitions are open", open)
		}
		return open == ahead && done > 0
	})
	if gaps := plan.Unplanned(block.Range{End: 1000 * (ahead + made)}, s.Partitions); len(gaps) > 0 {
		t.Errorf("%v have no partition", gaps)
	}
}

// TestFailedPartitionsAreRetriedOnceWhileOthersAreStillToBeMade: more blocks than fit at a
// time do not have what fails again be tried for ever.
func TestFailedPartitionsAreRetriedOnceWhileOthersAreStillToBeMade(t *testing.T) {
	d := setup(t)
	must(t, second(d.State.CreatePartition(t.Context(), part(0, 10, 0, state.PartitionFailed))))
	d.Retry = true
	d.watch(block.Range{End: 1_000_000}, 10)
	find := func(s plan.Status, id string) (found state.Partition, is bool) {
		at := slices.IndexFunc(s.Partitions, func(p state.Partition) bool { return p.ID() == id })
		if at < 0 {
			return found, false
		}
		return s.Partitions[at], true
	}
	d.until("it is tried again", func(s plan.Status) bool {
		_, is := find(s, "0.1")
		return is
	})
	failed := make(chan state.Partition, 1)
	go func() { failed <- d.extract(state.PartitionFailed) }()
	d.until("it has failed again", func(s plan.Status) bool {
		p, is := find(s, "0.1")
		return is && p.State == state.PartitionFailed
	})
	if p := <-failed; p.ID() != "0.1" {
		t.Errorf("the first task was %s", p.ID())
	}
	for range 10 {
		d.until("a round", func(s plan.Status) bool {
			if _, is := find(s, "0.2"); is {
				t.Fatal("it is tried once more")
			}
			return true
		})
	}
}
