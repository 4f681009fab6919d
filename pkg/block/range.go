package block

import (
	"encoding/json"
	"fmt"
)

// Range is the half-open range of blocks [Start, End). A range whose End is not
// above its Start is empty; Amp sends such "inverted" ranges when the tables of
// a query have no blocks in common (AP 2).
type Range struct{ Start, End Number }

// Closed converts the inclusive range from..to, as the wire and the log write
// it, into a Range.
func Closed(from, to Number) Range { return Range{Start: from, End: to + 1} }

// Last returns the highest block in the range. It is meaningful only if the range is
// not empty.
func (r Range) Last() Number { return r.End - 1 }

// Empty reports whether the range holds no block.
func (r Range) Empty() bool { return r.End <= r.Start }

// Len returns the number of blocks in the range.
func (r Range) Len() uint64 {
	if r.Empty() {
		return 0
	}
	return uint64(r.End - r.Start)
}

// Has reports whether n lies in the range.
func (r Range) Has(n Number) bool { return r.Start <= n && n < r.End }

// Contains reports whether every block of o lies in r. An empty o is contained in
// every range.
func (r Range) Contains(o Range) bool {
	return o.Empty() || (r.Start <= o.Start && o.End <= r.End)
}

// Intersect returns the common part of two ranges; it may be empty.
func (r Range) Intersect(o Range) Range {
	return Range{Start: max(r.Start, o.Start), End: min(r.End, o.End)}
}

// String returns "[start, end)".
func (r Range) String() string { return fmt.Sprintf("[%d, %d)", r.Start, r.End) }

// MarshalJSON writes a range as [start, end].
func (r Range) MarshalJSON() ([]byte, error) {
	return json.Marshal([2]Number{r.Start, r.End})
}

// UnmarshalJSON reads what [Range.MarshalJSON] writes.
func (r *Range) UnmarshalJSON(b []byte) error {
	var pair [2]Number
	if err := json.Unmarshal(b, &pair); err != nil {
		return fmt.Errorf("parse block range: %w", err)
	}
	r.Start, r.End = pair[0], pair[1]
	return nil
}
