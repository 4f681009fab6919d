package pipeline

import (
	"slices"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/plan"
)

// shortened writes the first ranges of a set.
func shortened(s block.Set) string {
	const shown = 5
	ranges := s.Ranges()
	if len(ranges) <= shown {
		return s.String()
	}
	first := block.NewSet(ranges[:shown]...)
	return first.String() + " …"
}

// windows joins ranges that lie close together, and cuts those that are long, so that
// about size blocks are compared at a time.
func windows(ranges []block.Range, size uint64) []block.Range {
	var all []block.Range
	for _, r := range ranges {
		for _, part := range plan.Cut(r, size) {
			if n := len(all); n > 0 && uint64(part.End-all[n-1].Start) <= size {
				all[n-1].End = part.End
				continue
			}
			all = append(all, part)
		}
	}
	return slices.Clip(all)
}
