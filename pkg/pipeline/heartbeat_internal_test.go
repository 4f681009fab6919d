package pipeline

import (
	"slices"
	"testing"

	"github.com/ampipe/ampipe/pkg/block"
)

// TestTheDocumentOfAProcessIsBounded: of many ranges that are being read it has the largest.
func TestTheDocumentOfAProcessIsBounded(t *testing.T) {
	var all, want []block.Range
	for i := range block.Number(3 * shownReading) {
		r := block.Range{Start: 100 * i, End: 100*i + 1}
		if i%3 == 1 {
			r.End = 100*i + 50
			want = append(want, r)
		}
		all = append(all, r)
	}
	if got := largest(all, shownReading); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if got := largest(all[:3], shownReading); !slices.Equal(got, all[:3]) {
		t.Errorf("of a few: %v, want all", got)
	}
}
