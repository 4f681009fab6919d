package plan

import (
	"reflect"
	"testing"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/state"
)

// TestMergeable: partitions that are done and lie beside each other, unless the order in
// which they were written says more than that they are done.
func TestMergeable(t *testing.T) {
	t.Parallel()
	part := func(start, end block.Number, generation int, as state.PartitionState) state.Partition {
		return state.Partition{Start: start, End: end, Generation: generation, State: as, Version: 1}
	}
	done := func(start, end block.Number) state.Partition { return part(start, end, 0, state.PartitionDone) }
	held, earlier := done(5, 9), done(5, 9)
	held.Held, earlier.Version = true, 0
	merged := func(n int, parts ...state.Partition) state.Partition {
		whole, err := state.Merge(parts[0], parts)
		if err != nil {
			t.Fatal(err)
		}
		whole.Merged.Partitions = n
		return whole
	}
	for name, c := range map[string]struct {
		parts []state.Partition // in the order in which they were written
		want  [][]string
	}{
		"nothing":                    {},
		"neighbours, in any order":   {[]state.Partition{done(5, 9), done(9, 12), done(0, 5)}, [][]string{{"0.0", "5.0", "9.0"}}},
		"two groups":                 {[]state.Partition{done(0, 5), done(5, 9), done(10, 12), done(12, 15)}, [][]string{{"0.0", "5.0"}, {"10.0", "12.0"}}},
		"one alone":                  {[]state.Partition{done(0, 5), done(6, 9)}, nil},
		"an open one between":        {[]state.Partition{done(0, 5), part(5, 9, 0, state.PartitionOpen), done(9, 12)}, nil},
		"a failed one between":       {[]state.Partition{done(0, 5), part(5, 9, 0, state.PartitionFailed), done(9, 12)}, nil},
		"one that every sink held":   {[]state.Partition{done(0, 5), held, done(9, 12)}, nil},
		"one of an earlier query":    {[]state.Partition{done(0, 5), earlier, done(9, 12)}, nil},
		"an empty one":               {[]state.Partition{done(0, 5), done(5, 5), done(5, 9)}, [][]string{{"0.0", "5.0"}}},
		"failed, and loaded since":   {[]state.Partition{part(5, 9, 0, state.PartitionFailed), done(0, 5), part(5, 9, 1, state.PartitionDone)}, [][]string{{"0.0", "5.1"}}},
		"loaded, and lost since":     {[]state.Partition{done(0, 5), done(5, 9), part(6, 7, 1, state.PartitionOpen)}, nil},
		"loaded twice":               {[]state.Partition{done(0, 5), done(5, 9), part(5, 9, 1, state.PartitionDone)}, [][]string{{"0.0", "5.0", "5.1"}}},
		"a merged one":               {[]state.Partition{done(5, 9), merged(2, done(0, 3), done(3, 5))}, [][]string{{"0.0", "5.0"}}},
		"a part of a merged one":     {[]state.Partition{done(3, 5), merged(2, done(0, 3), done(3, 5))}, nil},
		"a merged one that is full":  {[]state.Partition{merged(mostMerged, done(0, 3), done(3, 5)), done(5, 9), done(9, 12)}, [][]string{{"5.0", "9.0"}}},
		"after one that is that big": {[]state.Partition{merged(mostMerged-1, done(0, 3), done(3, 5)), done(5, 9), done(9, 12)}, [][]string{{"0.0", "5.0"}}},
	} {
		var stored []queue.Stored[state.Partition]
		for i, p := range c.parts {
			stored = append(stored, queue.Stored[state.Partition]{Value: p, Rev: uint64(i + 1)})
		}
		var got [][]string
		for _, group := range mergeable(stored, 1) {
			var ids []string
			for _, s := range group {
				ids = append(ids, s.Value.ID())
			}
			got = append(got, ids)
		}
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
