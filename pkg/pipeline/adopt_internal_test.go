package pipeline

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/ampipe/ampipe/pkg/block"
)

func TestWindows(t *testing.T) {
	t.Parallel()
	r := func(start, end block.Number) block.Range { return block.Range{Start: start, End: end} }
	for _, c := range []struct {
		name   string
		ranges []block.Range
		want   []block.Range
	}{
		{"nothing", nil, nil},
		{"one that fits", []block.Range{r(5, 15)}, []block.Range{r(5, 15)}},
		{"one that is cut", []block.Range{r(0, 25)}, []block.Range{r(0, 10), r(10, 20), r(20, 25)}},
		{"holes that lie close together", []block.Range{r(1, 2), r(4, 5), r(10, 11), r(12, 13)}, []block.Range{r(1, 11), r(12, 13)}},
		{"a rest is joined to what follows", []block.Range{r(0, 12), r(14, 18)}, []block.Range{r(0, 10), r(10, 18)}},
		{"far apart", []block.Range{r(0, 1), r(100, 101)}, []block.Range{r(0, 1), r(100, 101)}},
		{"the end of the chain", []block.Range{r(block.Max-1, block.Max+1)}, []block.Range{r(block.Max-1, block.Max+1)}},
	} {
		if got := windows(c.ranges, 10); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	// Whatever the ranges: each block is in one window, and no window is too long.
	rnd := rand.New(rand.NewPCG(1, 1))
	for range 200 {
		var set block.Set
		for range rnd.IntN(40) {
			start := block.Number(rnd.IntN(1000))
			set.Add(r(start, start+block.Number(1+rnd.IntN(60))))
		}
		size := uint64(1 + rnd.IntN(50))
		var seen block.Set
		for _, w := range windows(set.Ranges(), size) {
			if w.Len() > size || len(seen.Missing(w)) != 1 || seen.Missing(w)[0] != w {
				t.Fatalf("window %v of %v by %d", w, set, size)
			}
			seen.Add(w)
		}
		for _, part := range set.Ranges() {
			if !seen.Covers(part) {
				t.Fatalf("%v of %v is in no window by %d", part, set, size)
			}
		}
	}
}

func TestBlocksToAdopt(t *testing.T) {
	t.Parallel()
	n := func(n block.Number) *block.Number { return &n }
	final := block.Range{Start: 100, End: 200}
	for _, c := range []struct {
		from, to *block.Number
		want     block.Range
	}{
		{nil, nil, final},
		{n(50), n(300), final},
		{n(120), nil, block.Range{Start: 120, End: 200}},
		{nil, n(150), block.Range{Start: 100, End: 150}},
	} {
		got, err := AdoptOptions{From: c.from, To: c.to}.blocks(final)
		if err != nil || got != c.want {
			t.Errorf("%v: %v, want %v", got, err, c.want)
		}
	}
	for _, o := range []AdoptOptions{{From: n(200)}, {To: n(100)}, {From: n(150), To: n(150)}} {
		if got, err := o.blocks(final); err == nil {
			t.Errorf("%v is not refused", got)
		}
	}
}
