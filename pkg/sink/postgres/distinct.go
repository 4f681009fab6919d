package postgres

import (
	"bytes"
	"slices"
)

// keyBounds are the encoded keys of the first and the last row of a portion.
type keyBounds struct{ first, last []byte }

// ascend reports whether the encoded keys of the rows ascend in every portion, and from one
// portion to the next if these are put in order: then no key comes twice. Rows of a history
// nearly always do. To find it out takes a seventh of the time of looking each key up.
//
// Encoded keys need not be in the order of their values, as those of negative numbers are
// not. Such rows do not ascend, or they differ all the same.
func (s *scratch) ascend(g *tableSpec, portions []portion) bool {
	s.bounds = slices.Grow(s.bounds[:0], len(portions))[:len(portions)]
	used := 0
	for i := range portions {
		p := &portions[i]
		if p.Len() == 0 {
			continue
		}
		b := &s.bounds[used]
		used++
		b.first = p.appendKey(b.first[:0], g.key, p.From)
		b.last = append(b.last[:0], b.first...)
		for row := p.From + 1; row < p.To; row++ {
			s.key = p.appendKey(s.key[:0], g.key, row)
			if bytes.Compare(b.last, s.key) >= 0 {
				return false
			}
			b.last, s.key = s.key, b.last
		}
	}
	bounds := s.bounds[:used]
	slices.SortFunc(bounds, func(a, b keyBounds) int { return bytes.Compare(a.first, b.first) })
	for i := range bounds {
		if i > 0 && bytes.Compare(bounds[i-1].last, bounds[i].first) >= 0 {
			return false
		}
	}
	return true
}
