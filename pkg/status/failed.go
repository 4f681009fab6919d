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
	var later block.Set // blocks of partitions that were written after
	for _, p := range slices.Backward(parts) {
		if p.State == state.PartitionFailed {
			if own := block.NewSet(later.Missing(p.Range())...); own.Len() > 0 {
				failed = append(failed, FailedPartition{p, own})
			}
		}
		later.Add(p.Range())
	}
	slices.SortFunc(failed, func(a, b FailedPartition) int { return cmp.Compare(a.Start, b.Start) })
	return failed
}
