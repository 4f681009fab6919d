package state_test

import (
	"encoding/json"
	"math"
	"reflect"
	"slices"
	"testing"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/state"
)

// done returns a partition as a worker leaves it.
func done(start, end block.Number, generation int) state.Partition {
	return state.Partition{
		Start: start, End: end, Generation: generation, State: state.PartitionDone, Version: 2,
		Rows: uint64(start) * 10, Seconds: float64(start) / 4, Attempts: generation + 1,
	}
}

// TestMerge: a record for many partitions has their range and sums, and still says what became
// of each of them, however often it was merged.
func TestMerge(t *testing.T) {
	t.Parallel()
	parts := []state.Partition{
		done(7, 9, 0), done(5, 7, 0), done(9, 20, 0),
		done(8, 12, 1),             // was loaded again
		done(20, math.MaxInt64, 3), // however large
	}
	low, err := state.Merge(parts[1], parts[:3])
	if err != nil {
		t.Fatal(err)
	}
	if want := (block.Range{Start: 5, End: 20}); low.Range() != want || low.ID() != "5.0" || low.Count() != 3 || low.Latest() != 0 ||
		low.Rows != 210 || low.Seconds != 5.25 || low.Attempts != 1 || low.State != state.PartitionDone || low.Version != 2 {
		t.Errorf("three are %+v", low)
	}
	all, err := state.Merge(low, []state.Partition{low, parts[1], parts[3], parts[4]}) // one of low was left
	if err != nil {
		t.Fatal(err)
	}
	if want := (block.Range{Start: 5, End: math.MaxInt64}); all.Range() != want || all.ID() != "5.0" || all.Count() != 5 || all.Latest() != 3 {
		t.Errorf("all are %+v", all)
	}
	text, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	var read state.Partition
	if err := json.Unmarshal(text, &read); err != nil {
		t.Fatal(err)
	}
	if got, err := read.Parts(); err != nil || !reflect.DeepEqual(got, parts) {
		t.Errorf("it stands for %+v (%v), want %+v", got, err, parts)
	}
	if one, err := parts[0].Parts(); err != nil || !slices.Equal(one, parts[:1]) || parts[0].Count() != 1 || parts[3].Latest() != 1 {
		t.Errorf("one that was not merged stands for %+v (%v)", one, err)
	}
}

// TestWithoutMerged: a planner that merges records may be killed before it has removed those that are
// part of the merged one. They count once, and what only lies in its range stays.
func TestWithoutMerged(t *testing.T) {
	t.Parallel()
	a, b, c := done(5, 7, 0), done(7, 9, 0), done(9, 20, 0)
	merged, err := state.Merge(a, []state.Partition{a, b})
	if err != nil {
		t.Fatal(err)
	}
	again := done(7, 9, 1)
	failed := state.Partition{Start: 8, End: 9, State: state.PartitionFailed}
	got, err := state.WithoutMerged([]state.Partition{failed, again, b, c, merged})
	if want := []state.Partition{failed, again, c, merged}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v are left (%v), want %v", got, err, want)
	}
	each, err := state.Separate([]state.Partition{b, c, merged})
	if want := []state.Partition{b, c, a}; err != nil || !reflect.DeepEqual(each, want) {
		t.Errorf("each by itself are %v (%v), want %v", each, err, want)
	}
}

// TestDamagedResults: a record that says of too few partitions what became of them is refused.
func TestDamagedResults(t *testing.T) {
	t.Parallel()
	a, b := done(5, 7, 0), done(7, 900, 0)
	merged, err := state.Merge(a, []state.Partition{a, b})
	if err != nil {
		t.Fatal(err)
	}
	whole := merged.Merged.Results
	for n := range len(whole) {
		merged.Merged.Results = whole[:n]
		if parts, err := merged.Parts(); err == nil {
			t.Errorf("%d of %d bytes: %v", n, len(whole), parts)
		}
	}
}

// TestMergedForEarlierVersions: a process that does not know merged records sees a partition
// that is done, so that it does not load its blocks.
func TestMergedForEarlierVersions(t *testing.T) {
	t.Parallel()
	a, b := done(0, 7, 0), done(7, 900, 0)
	a.Version, b.Version = 0, 0
	merged, err := state.Merge(a, []state.Partition{a, b})
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(merged)
	if err != nil {
		t.Fatal(err)
	}
	var earlier struct {
		Start, End block.Number
		State      string
		Rows       uint64
		Seconds    float64
	}
	if err := json.Unmarshal(text, &earlier); err != nil {
		t.Fatal(err)
	}
	if earlier.Start != 0 || earlier.End != 900 || earlier.State != "done" || earlier.Rows != 70 || earlier.Seconds != 1.75 {
		t.Errorf("it sees %+v in %s", earlier, text)
	}
}
