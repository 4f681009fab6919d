package block_test

import (
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/ampipe/ampipe/pkg/block"
)

func TestHashText(t *testing.T) {
	digits := strings.Repeat("0aF3", 16)
	for _, text := range []string{digits, "0x" + digits, "0X" + digits} {
		h, err := block.ParseHash(text)
		if err != nil {
			t.Fatal(err)
		}
		if want := "0x" + strings.ToLower(digits); h.String() != want {
			t.Errorf("%q reads as %s, want %s", text, h, want)
		}
	}
	for _, bad := range []string{"", "0x", digits[1:], digits + "00", "0x" + strings.Repeat("zz", 32)} {
		if _, err := block.ParseHash(bad); err == nil {
			t.Errorf("%q was read as a hash", bad)
		}
	}
}

func TestRange(t *testing.T) {
	r := block.Closed(3, 5)
	if r.Len() != 3 || r.Last() != 5 || !r.Has(5) || r.Has(6) || r.Has(2) {
		t.Errorf("Closed(3, 5) = %v", r)
	}
	inverted := block.Range{Start: 9, End: 4}
	if !inverted.Empty() || inverted.Len() != 0 || inverted.Has(5) || !r.Contains(inverted) {
		t.Errorf("%v is not treated as empty", inverted)
	}
	if got := r.Intersect(block.Range{Start: 5, End: 9}); got != block.Closed(5, 5) {
		t.Errorf("intersection = %v", got)
	}
}

// TestSetAgainstMap drives random additions and removals through a Set and
// through a plain map of blocks: both must agree on every question.
func TestSetAgainstMap(t *testing.T) {
	const blocks = 64
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	for range 300 {
		var set block.Set
		var want [blocks]bool
		for range 40 {
			r := block.Range{Start: block.Number(rnd.IntN(blocks)), End: block.Number(rnd.IntN(blocks + 1))}
			add := rnd.IntN(3) > 0
			if add {
				set.Add(r)
			} else {
				set.Remove(r)
			}
			for n := r.Start; n < r.End; n++ {
				want[n] = add
			}
		}
		var count uint64
		for n, in := range want {
			if set.Has(block.Number(n)) != in {
				t.Fatalf("block %d: in set %v, want %v (%v)", n, !in, in, set)
			}
			if in {
				count++
			}
		}
		if set.Len() != count {
			t.Fatalf("Len() = %d, want %d", set.Len(), count)
		}
		checkShape(t, set)
		whole := block.NewSet(set.Ranges()...)
		for _, gap := range set.Missing(block.Range{Start: 0, End: blocks}) {
			whole.Add(gap)
		}
		if !whole.Covers(block.Range{Start: 0, End: blocks}) || len(whole.Ranges()) != 1 {
			t.Fatalf("set %v and its gaps make %v", set, whole)
		}
		text, err := json.Marshal(set)
		if err != nil {
			t.Fatal(err)
		}
		var back block.Set
		if err := json.Unmarshal(text, &back); err != nil || !back.Equal(set) {
			t.Fatalf("%s reads back as %v (%v)", text, back, err)
		}
	}
}

// checkShape fails unless the ranges are sorted, disjoint and do not touch.
func checkShape(t *testing.T, s block.Set) {
	t.Helper()
	for i, r := range s.Ranges() {
		if r.Empty() || (i > 0 && s.Ranges()[i-1].End >= r.Start) {
			t.Fatalf("set is not in normal form: %v", s)
		}
	}
}

// TestIntersect returns what both have, also where ranges touch.
func TestIntersect(t *testing.T) {
	t.Parallel()
	span := func(start, end block.Number) block.Range { return block.Range{Start: start, End: end} }
	a := block.NewSet(span(0, 10), span(20, 30), span(40, 50))
	for _, c := range []struct{ other, want block.Set }{
		{block.Set{}, block.Set{}},
		{a, a},
		{block.NewSet(span(10, 20), span(30, 40)), block.Set{}},
		{block.NewSet(span(5, 45)), block.NewSet(span(5, 10), span(20, 30), span(40, 45))},
		{block.NewSet(span(9, 10), span(22, 23), span(25, 26), span(29, 41)), block.NewSet(span(9, 10), span(22, 23), span(25, 26), span(29, 30), span(40, 41))},
	} {
		if got := a.Intersect(c.other); !got.Equal(c.want) {
			t.Errorf("%v and %v: %v, want %v", a, c.other, got, c.want)
		}
		if got := c.other.Intersect(a); !got.Equal(c.want) {
			t.Errorf("%v and %v: %v, want %v", c.other, a, got, c.want)
		}
	}
}
