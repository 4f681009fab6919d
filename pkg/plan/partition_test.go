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
		{"half a share for each worker", 1600, 4, 1, 200},
		{"a share that is no whole number", 1000, 16, 1, 32},
		{"never more than a server can sort", 1_000_000, 4, 200, 5000},
		{"never more partitions than the state can hold", 20_000_000, 4, 1e6, 20_000_000 / 4096},
		{"at least one block", 3, 8, 1, 1},
		{"rows not known", 1600, 4, 0, 200},
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

// TestCutEvenly: workers get as many partitions, of sizes that differ by a block, and the last
// is halved until it is small.
func TestCutEvenly(t *testing.T) {
	for _, c := range []struct {
		name         string
		blocks, size uint64
		workers      int
		want         [][2]uint64 // how many partitions of how many blocks follow
	}{
		{"the last is halved", 1600, 200, 4, [][2]uint64{{4, 200}, {4, 100}, {8, 50}}},
		{"more of one size", 1600, 100, 4, [][2]uint64{{12, 100}, {4, 50}, {8, 25}}},
		{"not a multiple of the workers", 1000, 32, 16, [][2]uint64{{8, 32}, {8, 31}, {16, 16}, {16, 8}, {16, 7}}},
		{"fewer than workers", 100, 30, 16, [][2]uint64{{4, 25}}},
		{"one block each", 20, 1, 16, [][2]uint64{{20, 1}}},
		{"one more", 21, 2, 4, [][2]uint64{{8, 2}, {5, 1}}},
		{"one worker", 1001, 501, 1, [][2]uint64{{1, 501}, {1, 250}, {2, 125}}},
		{"nothing", 0, 10, 4, nil},
	} {
		at := block.Number(7)
		var got [][2]uint64
		for r := range plan.CutEvenly(block.Range{Start: 7, End: 7 + block.Number(c.blocks)}, c.size, c.workers) {
			if r.Start != at || r.Empty() {
				t.Errorf("%s: blocks %v follow block %d", c.name, r, at)
			}
			at = r.End
			if last := len(got) - 1; last >= 0 && got[last][1] == r.Len() {
				got[last][0]++
				continue
			}
			got = append(got, [2]uint64{1, r.Len()})
		}
		if at != 7+block.Number(c.blocks) || !slices.Equal(got, c.want) {
			t.Errorf("%s: %v up to %d, want %v", c.name, got, at, c.want)
		}
	}
}

// TestWorkersEndTogether: each takes the next partition when it has read one. Nobody is idle
// while another reads more than two blocks.
func TestWorkersEndTogether(t *testing.T) {
	t.Parallel()
	for _, blocks := range []uint64{640, 997, 1000, 100_003} {
		for _, workers := range []int{1, 2, 3, 4, 8, 16, 64} {
			read, partitions := make([]uint64, workers), 0
			r := block.Range{End: block.Number(blocks)}
			for part := range plan.CutEvenly(r, plan.Size(blocks, workers, 0), workers) {
				first := slices.Index(read, slices.Min(read))
				read[first] += part.Len()
				partitions++
			}
			if idle := slices.Max(read) - slices.Min(read); idle > 2 || partitions > 5*workers {
				t.Errorf("%d blocks, %d workers: %d partitions, and the first to end waits for %d blocks", blocks, workers, partitions, idle)
			}
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
