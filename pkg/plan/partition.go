package plan

import (
	"iter"
	"slices"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/state"
)

// Bounds of the partitions that are chosen automatically.
const (
	// rowsPerPartition keeps a range moderate: a server that cannot prove the
	// order sorts the whole range in its memory before the first row (AP 4.5).
	rowsPerPartition = 1_000_000

	// mostPartitions bounds the state that is kept about them.
	mostPartitions = 4096

	// partitionsPerWorker is how many of the largest there are for each worker: the last one
	// is divided further; see CutEvenly.
	partitionsPerWorker = 2

	// lastHalvings is how often the last partitions are halved.
	lastHalvings = 2
)

// Size chooses the number of blocks of a partition for a history of that many
// blocks, read by that many workers, with about rowsPerBlock rows in a block.
func Size(blocks uint64, workers int, rowsPerBlock float64) uint64 {
	each := uint64(max(workers, 1) * partitionsPerWorker)
	size := blocks/each + min(1, blocks%each)
	if rowsPerBlock > 0 {
		size = min(size, uint64(rowsPerPartition/rowsPerBlock))
	}
	return max(size, blocks/mostPartitions, 1)
}

// Cut divides r into ranges of size blocks; the last may be smaller.
func Cut(r block.Range, size uint64) []block.Range { return slices.Collect(CutEach(r, size)) }

// CutEach yields the ranges of [Cut].
func CutEach(r block.Range, size uint64) iter.Seq[block.Range] {
	return func(yield func(block.Range) bool) {
		for !r.Empty() {
			part := block.Range{Start: r.Start, End: min(r.End, r.Start+block.Number(size))}
			if !yield(part) {
				return
			}
			r.Start = part.End
		}
	}
}

// CutEvenly divides r for so many workers into equal ranges of at most size blocks. If there
// are more of them than workers, each worker gets as many: a few that are left over would be
// read by a few workers while the others wait. The last that it gets is divided into a half
// and two quarters, since blocks are not alike, and workers should end together.
func CutEvenly(r block.Range, size uint64, workers int) iter.Seq[block.Range] {
	return func(yield func(block.Range) bool) {
		each := uint64(max(workers, 1))
		parts := evenly(r.Len(), size, each)
		for ; parts > each; parts-- {
			if !yield(cutFirst(&r, parts)) {
				return
			}
		}
		halvings := 0
		if parts == each {
			halvings = lastHalvings
		}
		for ; !r.Empty(); halvings-- {
			now := r
			if halvings > 0 {
				perWorker := (r.Len() + 2*each - 1) / (2 * each)
				now.End = min(r.End, r.Start+block.Number(perWorker*each))
			}
			r.Start = now.End
			for left := parts; !now.Empty(); left-- {
				if !yield(cutFirst(&now, left)) {
					return
				}
			}
		}
	}
}

// cutFirst returns the first of so many equal parts of r, and leaves the others.
func cutFirst(r *block.Range, parts uint64) block.Range {
	first := *r
	first.End = r.Start + block.Number((r.Len()+parts-1)/parts)
	r.Start = first.End
	return first
}

// evenly returns into how many ranges of at most size blocks to divide so many: a multiple of
// each, if there are more than that.
func evenly(blocks, size, each uint64) uint64 {
	parts := (blocks + size - 1) / size
	if parts > each {
		parts = min(blocks, (parts+each-1)/each*each)
	}
	return parts
}

// Unplanned returns the parts of the history that no partition has, whatever its
// state: ranges never planned, and tails split off by a worker that was killed before it
// could queue them.
func Unplanned(history block.Range, parts []state.Partition) []block.Range {
	return planned(parts).Missing(history)
}

// MissingFromSink returns the blocks that a sink which has read the log to its end still
// lacks, although the partition that held each of them last is done. parts are in the
// order in which they were written. Blocks of failed partitions are not lost: they were
// given up, and say so.
func MissingFromSink(history block.Range, parts []state.Partition, coverage block.Set) []block.Range {
	explained := coverage.Clone()
	explained.AddAll(latest(parts, func(p state.Partition) bool { return p.State != state.PartitionDone }))
	return explained.Missing(history)
}

// Failed returns the blocks that were given up and that no other partition has brought
// after all, or is to bring. parts are in the order in which they were written: blocks
// that were lost after they had been brought may have failed when they were read again.
func Failed(parts []state.Partition) block.Set {
	return latest(parts, func(p state.Partition) bool { return p.State == state.PartitionFailed })
}

// failedBefore returns the blocks that were given up with a query before a version.
func failedBefore(parts []state.Partition, version int) block.Set {
	return latest(parts, func(p state.Partition) bool { return p.State == state.PartitionFailed && p.Version < version })
}

// latest returns the blocks of which the partition that was written last is as wanted.
func latest(parts []state.Partition, wanted func(state.Partition) bool) block.Set {
	var blocks block.Set
	for _, p := range parts {
		if wanted(p) {
			blocks.Add(p.Range())
		} else {
			blocks.Remove(p.Range())
		}
	}
	return blocks
}

// Fresh makes open partitions for the ranges, each of a generation that its
// start has not had yet, so that its lane is new.
func Fresh(ranges []block.Range, parts []state.Partition) []state.Partition {
	next := map[block.Number]int{}
	var merged []state.Partition
	for _, p := range parts {
		next[p.Start] = max(next[p.Start], p.Latest()+1)
		if p.Merged != nil {
			merged = append(merged, p)
		}
	}
	fresh := make([]state.Partition, len(ranges))
	for i, r := range ranges {
		for _, m := range merged {
			if m.Range().Has(r.Start) {
				next[r.Start] = max(next[r.Start], m.Latest()+1)
			}
		}
		fresh[i] = state.Partition{Start: r.Start, End: r.End, Generation: next[r.Start], State: state.PartitionOpen}
	}
	return fresh
}

func planned(parts []state.Partition) block.Set {
	var s block.Set
	for _, p := range parts {
		s.Add(p.Range())
	}
	return s
}

// missing counts the blocks of a range that are not in a set.
func missing(have block.Set, of block.Range) uint64 {
	gaps := block.NewSet(have.Missing(of)...)
	return gaps.Len()
}

func count(parts []state.Partition, as state.PartitionState) (n int) {
	for _, p := range parts {
		if p.State == as {
			n++
		}
	}
	return n
}
