package plan

import (
	"slices"
	"testing"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/state"
)

func TestHeldBlocks(t *testing.T) {
	t.Parallel()
	r := func(start, end block.Number) block.Range { return block.Range{Start: start, End: end} }
	a, b := block.NewSet(r(0, 10), r(20, 30), r(40, 50)), block.NewSet(r(5, 25), r(28, 29), r(60, 70))
	if got, want := intersect(a, b), block.NewSet(r(5, 10), r(20, 25), r(28, 29)); !got.Equal(want) || !intersect(b, a).Equal(want) {
		t.Errorf("both hold %v, want %v", got, want)
	}
	if got, want := longest([]block.Range{r(0, 1), r(2, 12), r(20, 25), r(30, 40)}, 2), []block.Range{r(2, 12), r(30, 40)}; !slices.Equal(got, want) {
		t.Errorf("the longest are %v, want %v", got, want)
	}
	live := state.SinkReport{Coverage: block.NewSet(r(0, 100)), Live: state.LiveState{Started: true, Start: 60}}
	if got, want := ownHistory(live), block.NewSet(r(0, 60)); !got.Equal(want) {
		t.Errorf("below the live lane it holds %v, want %v", got, want)
	}
}
