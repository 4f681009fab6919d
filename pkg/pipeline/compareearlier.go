package pipeline

import (
	"context"

	"github.com/ampipe/ampipe/pkg/sink"
)

// compareEarlier compares blocks that differ with the earlier queries that may have
// loaded them, and keeps those that differ from these, too.
func (v *verification) compareEarlier(ctx context.Context, d sink.Digester) error {
	if !d.Windowed() {
		return nil
	}
	for _, e := range v.earlier {
		var left []Difference
		for _, difference := range v.found.Differences {
			if !e.any.Covers(difference.Blocks) {
				left = append(left, difference)
				continue
			}
			before := *v // with the other query
			before.checked = e.checked
			found, err := before.compareRange(ctx, d, difference.Blocks)
			if err != nil {
				return err
			}
			if len(found.Differences) > 0 {
				left = append(left, difference)
				continue
			}
			if v.older == nil {
				v.older = make(map[int]uint64)
			}
			v.older[e.number] += difference.Blocks.Len()
		}
		v.found.Differences = left
	}
	return nil
}
