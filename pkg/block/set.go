package block

import (
	"encoding/json"
	"slices"
	"sort"
	"strings"
)

// Set is a set of blocks, kept as ranges that are sorted, disjoint and do not
// touch: its size is the number of gaps, not of blocks. The zero value is the
// empty set. A Set is not safe for concurrent use.
type Set struct{ ranges []Range }

// NewSet returns the set of all blocks in the given ranges, which may overlap.
func NewSet(ranges ...Range) Set {
	var s Set
	for _, r := range ranges {
		s.Add(r)
	}
	return s
}

// Add puts the blocks of r into the set.
func (s *Set) Add(r Range) {
	if r.Empty() {
		return
	}
	// i..j are the ranges that overlap or touch r.
	i := sort.Search(len(s.ranges), func(i int) bool { return s.ranges[i].End >= r.Start })
	j := i
	for j < len(s.ranges) && s.ranges[j].Start <= r.End {
		r.Start = min(r.Start, s.ranges[j].Start)
		r.End = max(r.End, s.ranges[j].End)
		j++
	}
	s.ranges = slices.Replace(s.ranges, i, j, r)
}

// AddAll puts every block of o into the set.
func (s *Set) AddAll(o Set) {
	for _, r := range o.ranges {
		s.Add(r)
	}
}

// Remove takes the blocks of r out of the set.
func (s *Set) Remove(r Range) {
	if r.Empty() {
		return
	}
	kept := make([]Range, 0, len(s.ranges)+1)
	for _, have := range s.ranges {
		if left := (Range{have.Start, min(have.End, r.Start)}); !left.Empty() {
			kept = append(kept, left)
		}
		if right := (Range{max(have.Start, r.End), have.End}); !right.Empty() {
			kept = append(kept, right)
		}
	}
	s.ranges = kept
}

// Has reports whether block n is in the set.
func (s Set) Has(n Number) bool { return s.Covers(Range{n, n + 1}) }

// Covers reports whether every block of r is in the set.
func (s Set) Covers(r Range) bool { return len(s.Missing(r)) == 0 }

// Missing returns the parts of r that are not in the set, in ascending order.
func (s Set) Missing(r Range) []Range {
	if r.Empty() {
		return nil
	}
	var gaps []Range
	i := sort.Search(len(s.ranges), func(i int) bool { return s.ranges[i].End > r.Start })
	for ; i < len(s.ranges) && s.ranges[i].Start < r.End; i++ {
		if r.Start < s.ranges[i].Start {
			gaps = append(gaps, Range{r.Start, s.ranges[i].Start})
		}
		r.Start = s.ranges[i].End
	}
	if !r.Empty() {
		gaps = append(gaps, r)
	}
	return gaps
}

// Intersect returns the blocks that both sets have.
func (s Set) Intersect(o Set) (both Set) {
	for _, r := range s.ranges {
		gaps := Set{o.Missing(r)}
		both.ranges = append(both.ranges, gaps.Missing(r)...)
	}
	return both
}

// Ranges returns the ranges of the set in ascending order. The caller must not
// change them.
func (s Set) Ranges() []Range { return s.ranges }

// Len returns the number of blocks in the set.
func (s Set) Len() uint64 {
	var n uint64
	for _, r := range s.ranges {
		n += r.Len()
	}
	return n
}

// Clone returns a set that shares nothing with s.
func (s Set) Clone() Set { return Set{slices.Clone(s.ranges)} }

// Equal reports whether both sets hold the same blocks.
func (s Set) Equal(o Set) bool { return slices.Equal(s.ranges, o.ranges) }

// String returns the ranges, "[0, 10) [20, 30)".
func (s Set) String() string {
	texts := make([]string, len(s.ranges))
	for i, r := range s.ranges {
		texts[i] = r.String()
	}
	return strings.Join(texts, " ")
}

// MarshalJSON writes the set as a list of [start, end] pairs.
func (s Set) MarshalJSON() ([]byte, error) {
	if s.ranges == nil {
		return []byte("[]"), nil
	}
	return json.Marshal(s.ranges)
}

// UnmarshalJSON reads a list of [start, end] pairs in any order.
func (s *Set) UnmarshalJSON(b []byte) error {
	var ranges []Range
	if err := json.Unmarshal(b, &ranges); err != nil {
		return err
	}
	*s = NewSet(ranges...)
	return nil
}
