package status

import (
	"cmp"
	"slices"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/state"
)

// FailedPartition is a partition that could not be read, and its blocks that no later one
// has brought, or is to bring.
type FailedPartition struct {
	state.Partition
	Blocks block.Set
}

// FailedPartitions returns the partitions that could not be read, by their first block.
// parts are in the order in which they were written.
func FailedPartitions(parts []state.Partition) []FailedPartition {
	var failed []FailedPartition
	eachDeciding(parts, func(p state.Partition, own []block.Range) {
		if p.State == state.PartitionFailed {
			failed = append(failed, FailedPartition{p, block.NewSet(own...)})
		}
	})
	sortFailed(failed)
	return failed
}

func sortFailed(failed []FailedPartition) {
	slices.SortFunc(failed, func(a, b FailedPartition) int { return cmp.Compare(a.Start, b.Start) })
}
