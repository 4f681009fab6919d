package plan_test

import (
	"slices"
	"testing"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/plan"
	"github.com/ampipe/ampipe/pkg/state"
)

func TestSize(t *testing.T) {
	for _, c := range []struct {
		name    string
		blocks  uint64
		workers int
		rows    float64
		want    uint64
	}{
		{"a share for each worker", 1600, 4, 1, 100},
		{"a share that is no whole number", 1000, 16, 1, 16},
		{"never more than a server can sort", 1_000_000, 4, 200, 5000},
		{"never more partitions than the state can hold", 20_000_000, 4, 1e6, 20_000_000 / 4096},
		{"at least one block", 3, 8, 1, 1},
		{"rows not known", 1600, 4, 0, 100},
	} {
		if got := plan.Size(c.blocks, c.workers, c.rows); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

func TestCut(t *testing.T) {
	r := block.Range{Start: 7, End: 30}
	parts := plan.Cut(r, 10)
	want := []block.Range{{Start: 7, End: 17}, {Start: 17, End: 27}, {Start: 27, End: 30}}
	if !slices.Equal(parts, want) {
		t.Errorf("%v is cut into %v", r, parts)
	}
	if parts := plan.Cut(block.Range{Start: 5, End: 5}, 10); len(parts) != 0 {
		t.Errorf("an empty range is cut into %v", parts)
	}
}

// TestCutEvenly: workers get as many partitions, of sizes that differ by a block, and the last in two.
func TestCutEvenly(t *testing.T) {
	for _, c := range []struct {
		name         string
		blocks, size uint64
		workers      int
		parts        int
		least, most  uint64
	}{
		{"a multiple of the workers, and the last divided", 1000, 16, 16, 80, 7, 16},
		{"it divides", 1600, 100, 4, 20, 50, 100},
		{"fewer than workers", 100, 30, 16, 4, 25, 25},
		{"one block each", 20, 1, 16, 20, 1, 1},
		{"one more", 21, 2, 4, 13, 1, 2},
		{"one worker", 1001, 250, 1, 6, 100, 201},
		{"nothing", 0, 10, 4, 0, 0, 0},
	} {
		at, parts, least, most := block.Number(7), 0, c.size, uint64(0)
		for r := range plan.CutEvenly(block.Range{Start: 7, End: 7 + block.Number(c.blocks)}, c.size, c.workers) {
			if r.Start != at || r.Empty() {
				t.Errorf("%s: blocks %v follow block %d", c.name, r, at)
			}
			at, parts, least, most = r.End, parts+1, min(least, r.Len()), max(most, r.Len())
		}
		if parts == 0 {
			least = 0
		}
		if at != 7+block.Number(c.blocks) || parts != c.parts || least != c.least || most != c.most {
			t.Errorf("%s: %d parts of %d to %d blocks up to %d, want %d of %d to %d", c.name, parts, least, most, at, c.parts, c.least, c.most)
		}
	}
}

func part(start, end block.Number, generation int, as state.PartitionState) state.Partition {
	return state.Partition{Start: start, End: end, Generation: generation, State: as}
}

func TestUnplannedIncludesATailThatWasNeverQueued(t *testing.T) {
	history := block.Range{Start: 0, End: 100}
	parts := []state.Partition{
		part(0, 25, 0, state.PartitionOpen), // was [0, 50) when its worker was killed
		part(50, 100, 0, state.PartitionFailed),
	}
	want := []block.Range{{Start: 25, End: 50}}
	if got := plan.Unplanned(history, parts); !slices.Equal(got, want) {
		t.Errorf("unplanned %v, want %v", got, want)
	}
}

func TestLostIsWhatFinishedPartitionsDidNotBring(t *testing.T) {
	history := block.Range{Start: 0, End: 100}
	parts := []state.Partition{
		part(0, 50, 0, state.PartitionDone),
		part(50, 80, 0, state.PartitionOpen),
		part(80, 100, 0, state.PartitionFailed),
	}
	coverage := block.NewSet(block.Range{Start: 0, End: 20}, block.Range{Start: 30, End: 50})
	want := []block.Range{{Start: 20, End: 30}}
	if got := plan.MissingFromSink(history, parts, coverage); !slices.Equal(got, want) {
		t.Errorf("lost %v, want %v", got, want)
	}
	// Queued again, the blocks are on their way and no longer lost.
	parts = append(parts, plan.Fresh(want, parts)...)
	if got := plan.MissingFromSink(history, parts, coverage); len(got) != 0 {
		t.Errorf("lost again: %v", got)
	}
}

func TestFreshPartitionsHaveNewLanes(t *testing.T) {
	parts := []state.Partition{part(0, 50, 0, state.PartitionDone), part(0, 20, 1, state.PartitionDone)}
	fresh := plan.Fresh([]block.Range{{Start: 0, End: 10}, {Start: 40, End: 45}}, parts)
	if fresh[0].ID() != "0.2" || fresh[1].ID() != "40.0" {
		t.Errorf("fresh partitions %s and %s", fresh[0].ID(), fresh[1].ID())
	}
	for _, p := range parts {
		if p.Lane() == fresh[0].Lane() {
			t.Errorf("lane %s is used twice", p.Lane())
		}
	}
}

func TestFailedUntilBroughtAfterAll(t *testing.T) {
	parts := []state.Partition{part(0, 50, 0, state.PartitionFailed), part(0, 20, 1, state.PartitionDone)}
	if got := plan.Failed(parts); !got.Equal(block.NewSet(block.Range{Start: 20, End: 50})) {
		t.Errorf("failed %v", got)
	}
}

// TestReadAgainAndFailed: blocks that were brought, then lost, and could not be read
// again have failed. The partition that brought them first does not hide that.
func TestReadAgainAndFailed(t *testing.T) {
	history := block.Range{Start: 0, End: 50}
	parts := []state.Partition{part(0, 50, 0, state.PartitionDone), part(10, 20, 0, state.PartitionFailed)}
	again := block.NewSet(block.Range{Start: 10, End: 20})
	if got := plan.Failed(parts); !got.Equal(again) {
		t.Errorf("failed %v, want %v", got, again)
	}
	var coverage block.Set
	if got := plan.MissingFromSink(history, parts, coverage); !slices.Equal(got, []block.Range{{Start: 0, End: 10}, {Start: 20, End: 50}}) {
		t.Errorf("lost %v", got)
	}
	// Retried and brought, they are neither; lost once more, they are lost.
	parts = append(parts, part(10, 20, 1, state.PartitionDone))
	if got := plan.Failed(parts); got.Len() > 0 {
		t.Errorf("failed %v after they were brought", got)
	}
	if got := plan.MissingFromSink(history, parts, coverage); !slices.Equal(got, []block.Range{history}) {
		t.Errorf("lost %v", got)
	}
}
