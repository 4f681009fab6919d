package plan

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/state"
)

const (
	// mergeWorth is how many records a merge has to save: a record is written again when
	// others are merged into it.
	mergeWorth = 512
	// mostMerged bounds the partitions of a record, which take about 10 bytes each.
	mostMerged = 4096
)

// mergeStep merges the records of partitions that are done and lie beside each other, so
// that what is kept, read and compared does not grow with what is done. What became of each
// of them stays in the record that is left.
type mergeStep struct {
	*reconciler
	clean bool // no record is left that is part of another
}

func (m *mergeStep) run(ctx context.Context, _ *round) error {
	if !m.State.Removes() {
		return nil
	}
	if !m.clean {
		return m.removeMerged(ctx)
	}
	groups := mergeable(m.stored, m.spec.Version)
	saved := 0
	for _, group := range groups {
		saved += len(group) - 1
	}
	if saved < mergeWorth {
		return nil
	}
	for _, group := range groups {
		if err := m.merge(ctx, group); err != nil {
			m.clean = false
			return err
		}
	}
	return nil
}

// merge writes the record of a group in place of the first, and then removes the others.
func (m *mergeStep) merge(ctx context.Context, group []queue.Stored[state.Partition]) error {
	first := group[0]
	slices.SortFunc(group, func(a, b queue.Stored[state.Partition]) int { return cmp.Compare(a.Rev, b.Rev) })
	whole, err := state.Merge(first.Value, valuesOf(group))
	if err != nil {
		return err
	}
	rest := slices.DeleteFunc(group, func(s queue.Stored[state.Partition]) bool { return s.Rev == first.Rev })
	revs, err := m.State.ReplacePartitions(ctx, whole, first.Rev, rest)
	for i, rev := range revs {
		switch {
		case i == 0:
			m.changes.wrote(whole, rev)
		case rev > 0:
			m.changes.removed(rest[i-1].Value.ID(), rev)
		}
	}
	if errors.Is(err, queue.ErrConflict) { // another planner was faster
		m.clean = false
		return nil
	}
	if err != nil {
		return fmt.Errorf("merge partitions %v: %w", whole.Range(), err)
	}
	return nil
}

// removeMerged removes records that are part of others: the planner that merged them was
// killed before it had removed them.
func (m *mergeStep) removeMerged(ctx context.Context) error {
	kept, err := state.WithoutMerged(valuesOf(m.stored))
	if err != nil {
		return err
	}
	names := make(map[string]bool, len(kept))
	for _, p := range kept {
		names[p.ID()] = true
	}
	for _, s := range m.stored {
		if names[s.Value.ID()] {
			continue
		}
		rev, err := m.State.Remove(ctx, s.Key, s.Rev)
		if err != nil && !errors.Is(err, queue.ErrConflict) {
			return fmt.Errorf("remove partition %s, which was merged: %w", s.Value.ID(), err)
		}
		if err == nil {
			m.changes.removed(s.Value.ID(), rev)
		}
	}
	m.clean = true
	return nil
}

func valuesOf(stored []queue.Stored[state.Partition]) []state.Partition {
	parts := make([]state.Partition, len(stored))
	for i, s := range stored {
		parts[i] = s.Value
	}
	return parts
}

// mergeable returns groups of records that can be one each: of partitions that are done with
// the current version of the query and cover a range without a gap. A group begins with the
// record of its first block. A record whose blocks one that is not of a group, or one that
// was merged, has had later stays as it is: their order tells what became of the blocks.
func mergeable(stored []queue.Stored[state.Partition], version int) (groups [][]queue.Stored[state.Partition]) {
	var later block.Set
	var done []queue.Stored[state.Partition]
	for _, s := range slices.Backward(stored) {
		p := s.Value
		switch {
		case p.Range().Empty():
		case p.State != state.PartitionDone || p.Held || p.Version != version || p.Error != "":
			later.Add(p.Range())
		case later.Intersect(block.NewSet(p.Range())).Len() == 0:
			done = append(done, s)
			if p.Merged != nil {
				later.Add(p.Range())
			}
		}
	}
	slices.SortFunc(done, func(a, b queue.Stored[state.Partition]) int {
		return cmp.Or(cmp.Compare(a.Value.Start, b.Value.Start), cmp.Compare(b.Value.End, a.Value.End), cmp.Compare(a.Rev, b.Rev))
	})
	for len(done) > 0 {
		n, parts, end := 0, 0, done[0].Value.Start
		for n < len(done) && done[n].Value.Start <= end && parts+done[n].Value.Count() <= mostMerged {
			parts += done[n].Value.Count()
			end = max(end, done[n].Value.End)
			n++
		}
		n = max(n, 1)
		if n > 1 {
			groups = append(groups, done[:n:n])
		}
		done = done[n:]
	}
	return groups
}
