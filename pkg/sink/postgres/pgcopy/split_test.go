package pgcopy_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/ampipe/ampipe/pkg/sink/postgres/pgcopy"
)

// row is a row of a COPY, and the field that was asked for; NULL is nil.
type row struct{ all, field []byte }

// split takes a COPY apart that comes in pieces.
func split(columns, field int, pieces ...[]byte) ([]row, error) {
	var rows []row
	s := &pgcopy.Splitter{Columns: columns, Field: field, Row: func(all, field []byte) error {
		rows = append(rows, row{bytes.Clone(all), bytes.Clone(field)})
		return nil
	}}
	for _, p := range pieces {
		if _, err := s.Write(p); err != nil {
			return nil, err
		}
	}
	return rows, s.Complete()
}

// FuzzSplitter cuts a COPY in two places, and feeds damaged ones.
func FuzzSplitter(f *testing.F) {
	copied := []byte(pgcopy.Header +
		"\x00\x02\x00\x00\x00\x08\x00\x00\x00\x00\x00\x00\x00\x05\xff\xff\xff\xff" +
		"\x00\x02\x00\x00\x00\x08\x00\x00\x00\x00\x00\x00\x00\x06\x00\x00\x00\x01x" + pgcopy.Trailer)
	for cut := range uint(len(copied)) {
		f.Add(copied, cut, cut/2)
	}
	f.Fuzz(func(t *testing.T, data []byte, x, y uint) {
		x, y = x%uint(len(data)+1), y%uint(len(data)+1)
		whole, err := split(2, 0, data)
		pieces, again := split(2, 0, data[:min(x, y)], data[min(x, y):max(x, y)], data[max(x, y):])
		same := slices.EqualFunc(whole, pieces, func(a, b row) bool { return bytes.Equal(a.all, b.all) && bytes.Equal(a.field, b.field) })
		if (err == nil) != (again == nil) || !same {
			t.Errorf("in one piece: %v, %v; in three: %v, %v", whole, err, pieces, again)
		}
		for _, r := range whole {
			if _, err := pgcopy.Integer(r.field, false); err != nil && len(r.field) == 8 {
				t.Errorf("the number %x cannot be read: %v", r.field, err)
			}
			_, _ = pgcopy.Integer(r.field, true) // only that it does not panic
		}
		if bytes.Equal(data, copied) {
			if len(whole) != 2 || !bytes.Equal(whole[0].all, copied[19:37]) || !bytes.Equal(whole[1].all, copied[37:56]) {
				t.Errorf("the rows are %v", whole)
			}
			if n, err := pgcopy.Integer(whole[1].field, false); n != 6 || err != nil {
				t.Errorf("the second number is %d, %v", n, err)
			}
		}
	})
}
