package sink

import (
	"context"
	"maps"

	"github.com/ampipe/ampipe/pkg/block"
)

// Pruner is a Writer that can drop the rows of old blocks for good.
type Pruner interface {
	Writer

	// Prune removes the rows of all blocks below a number. From its first step on these
	// blocks count as covered, whether they were loaded or not, and whatever comes of them
	// later is dropped: an entry of the log, a Removal, an Invalidate or a Rejoin that
	// reaches below leaves them as they are ([CommitState.Prune]). Others may read and write
	// the table meanwhile. Interrupted, it can be repeated. The Writer is open, by Open or by
	// OpenStored. A number below that of an earlier call stands for that one.
	Prune(ctx context.Context, o PruneOptions) (Pruned, error)
}

// PruneOptions is what Prune is to do.
type PruneOptions struct {
	Before block.Number // the first block that stays
	Detach bool         // partitions are left as tables of their own
	Dry    bool         // nothing is changed

	Tell func(progress string) // hears what is done next, for people; nil: nobody does
}

// Pruned is what Prune did, or would do.
type Pruned struct {
	Before     block.Number // the first block that stays
	Partitions []string     // that were dropped or detached as a whole
	Bytes      uint64       // of these
	Rows       uint64       // deleted from what stays
}

// Prune takes the blocks below n out for good: they are covered from now on, and Take never
// writes or deletes rows of them.
func (l *CommitState) Prune(n block.Number) {
	if n <= l.Pruned {
		return
	}
	l.Pruned = n
	l.Coverage.Add(block.Range{End: n})
	maps.DeleteFunc(l.Partial, func(p block.Number, _ Partial) bool { return p < n })
}

// voided returns the range of every block at or above n that was not pruned.
func (l *CommitState) voided(n block.Number) block.Range {
	return block.Range{Start: max(n, l.Pruned), End: block.Max + 1}
}
