package postgres

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/postgres/pgcopy"
)

// column is how one Arrow column becomes one of PostgreSQL.
type column struct {
	name  string
	arrow arrow.DataType
	as    string // what types: asks for
	pgcopy.Encoding
	full string // of a column that is there: why it takes no NULL, and what to do; "": it does
}

// into returns the column as it is written into one that is there, or reports that it
// cannot be.
func (c column) into(t pgcopy.Type) (column, bool) {
	if c.SQL == t.SQL && !t.Domain {
		return c, true
	}
	e, ok := pgcopy.Fit(c.arrow, c.as, t)
	if ok {
		c.Encoding = e
	}
	return c, ok
}

// everyUint64 is the key of an override that is for all UInt64 columns.
const everyUint64 = "*"

// columnsOf maps a schema. It complains about all columns at once.
func columnsOf(t sink.Table, overrides map[string]string) ([]column, error) {
	var (
		columns []column
		wrong   []error
		seen    = make(map[string]bool)
	)
	for i, f := range t.Schema.Fields() {
		if err := checkIdentifier("column", f.Name); err != nil {
			wrong = append(wrong, err)
			continue
		}
		if seen[f.Name] {
			wrong = append(wrong, fmt.Errorf("the query gives two columns called %q; rename one with AS", f.Name))
			continue
		}
		seen[f.Name] = true
		c, err := columnOf(f, override(f, overrides, i == t.BlockColumn))
		if err != nil {
			wrong = append(wrong, err)
			continue
		}
		columns = append(columns, c)
	}
	for _, name := range slices.Sorted(maps.Keys(overrides)) {
		if name != everyUint64 && len(t.Schema.FieldIndices(name)) == 0 {
			wrong = append(wrong, fmt.Errorf("types: the query gives no column %q; "+
				"take it out of types, or write one that it gives, %q", name, names(t.Schema)))
		}
	}
	if len(columns) > maxColumns {
		wrong = append(wrong, fmt.Errorf("the query gives %d columns, and a table of PostgreSQL has at most %d; name fewer in the query",
			len(columns), maxColumns))
	}
	return columns, errors.Join(wrong...)
}

// override returns the type asked for, "" for the usual one. Block numbers always
// fit a bigint, so the block column is one unless it is named.
func override(f arrow.Field, overrides map[string]string, block bool) string {
	if as, named := overrides[f.Name]; named {
		return as
	}
	if f.Type.ID() != arrow.UINT64 {
		return ""
	}
	if block {
		return pgcopy.AsBigint
	}
	return overrides[everyUint64]
}

// columnOf maps one column.
func columnOf(f arrow.Field, as string) (column, error) {
	c := column{name: f.Name, arrow: f.Type, as: as}
	if as != "" {
		var ok bool
		if c.Encoding, ok = pgcopy.Override(f.Type, as); !ok {
			return column{}, fmt.Errorf("types: column %q is of the Arrow type %s, which cannot be written as %s; "+
				"bigint and numeric are for integers, numeric also for text in digits, hex is for binary columns; "+
				"take it out of types", f.Name, f.Type, as)
		}
		return c, nil
	}
	var err error
	if c.Encoding, err = pgcopy.Default(f.Type); err != nil {
		return column{}, fmt.Errorf("column %q: %w", f.Name, err)
	}
	return c, nil
}

// sameType reports whether values of b can be read by what was bound to a. It
// disregards nullability, which Amp only guesses (AP 1.6), and metadata.
func sameType(a, b arrow.DataType) bool {
	x, nested := a.(arrow.NestedType)
	y, also := b.(arrow.NestedType)
	if !nested || !also {
		return arrow.TypeEqual(a, b)
	}
	if a.ID() != b.ID() || x.NumFields() != y.NumFields() {
		return false
	}
	if size, ok := a.(*arrow.FixedSizeListType); ok && size.Len() != b.(*arrow.FixedSizeListType).Len() {
		return false
	}
	for i, f := range x.Fields() {
		g := y.Fields()[i]
		if a.ID() == arrow.STRUCT && f.Name != g.Name || !sameType(f.Type, g.Type) {
			return false
		}
	}
	return true
}

// bind binds the columns to a record of the table's schema.
func bind(columns []column, rec arrow.RecordBatch) ([]pgcopy.Values, error) {
	if int(rec.NumCols()) != len(columns) {
		return nil, fmt.Errorf("a record has %d columns and the table was opened for %d; the query changed: start this sink again",
			rec.NumCols(), len(columns))
	}
	bound := make([]pgcopy.Values, len(columns))
	for i, c := range columns {
		arr := rec.Column(i)
		if rec.ColumnName(i) != c.name || !sameType(c.arrow, arr.DataType()) {
			return nil, fmt.Errorf("column %d of a record is %q of type %s and the table was opened for %q of type %s; "+
				"the query changed: start this sink again",
				i, rec.ColumnName(i), arr.DataType(), c.name, c.arrow)
		}
		bound[i] = c.Bind(arr)
	}
	return bound, nil
}

func names(s *arrow.Schema) []string {
	all := make([]string, s.NumFields())
	for i, f := range s.Fields() {
		all[i] = f.Name
	}
	return all
}
