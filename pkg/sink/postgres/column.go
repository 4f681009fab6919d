package postgres

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/ampipe/ampipe/pkg/arrowfmt"
	"github.com/ampipe/ampipe/pkg/sink"
)

// column is how one Arrow column becomes one of PostgreSQL.
type column struct {
	name  string
	arrow arrow.DataType
	as    string // what types: asks for
	sql   string // the type as PostgreSQL itself prints it
	bind  func(arrow.Array) cells

	// Of a column that is there:
	kind  string // the type without length and precision, of a domain that below it
	wider string // the type that takes more of what may come; "": none does
	cuts  bool   // digits of a second are cut off
	full  string // why it takes no NULL, and what to do; "": it does
	loose bool   // a numeric, or a domain over one, whose values each have a scale
}

// base returns the type without length and precision.
func (c column) base() string {
	if c.kind != "" {
		return c.kind
	}
	base, _, _ := strings.Cut(c.sql, "(")
	return base
}

// cells are the values of one column of one record, bound to its raw memory.
type cells interface {
	// invalid returns the first row of [from, to) whose value PostgreSQL cannot hold,
	// and why not; row is -1 if there is none.
	invalid(from, to int) (row int, reason string)
	// append writes a value as a field of COPY BINARY: its length, or -1 for
	// NULL, and its bytes. The row is valid.
	append(dst []byte, row int) []byte
}

// alwaysValid is embedded by cells whose every value PostgreSQL can hold.
type alwaysValid struct{}

func (alwaysValid) invalid(int, int) (int, string) { return -1, "" }

// validity tells which values are NULL.
type validity struct{ arrowfmt.Nulls }

func validityOf(arr arrow.Array) validity { return validity{arrowfmt.NullsOf(arr)} }

func (v validity) null(i int) bool { return v.Null(i) }

// appendNull writes the field of a NULL.
func appendNull(dst []byte) []byte { return append(dst, 0xff, 0xff, 0xff, 0xff) }

// Types that a user may ask for instead of the usual one.
const (
	asBigint  = "bigint"
	asNumeric = "numeric"
	asHex     = "hex"
)

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
		return asBigint
	}
	return overrides[everyUint64]
}

// columnOf maps one column.
func columnOf(f arrow.Field, as string) (column, error) {
	c := column{name: f.Name, arrow: f.Type, as: as}
	if as != "" {
		c.sql, c.bind = overridden(f.Type, as)
		if c.bind == nil {
			return column{}, fmt.Errorf("types: column %q is of the Arrow type %s, which cannot be written as %s; "+
				"bigint and numeric are for integers, numeric also for text in digits, hex is for binary columns; "+
				"take it out of types", f.Name, f.Type, as)
		}
		return c, nil
	}
	sql, bind, err := mapping(f.Type)
	if err != nil {
		return column{}, fmt.Errorf("column %q: %w", f.Name, err)
	}
	c.sql, c.bind = sql, bind
	return c, nil
}

// overridden maps a type as the user asked for it; bind is nil if that makes no
// sense.
func overridden(dt arrow.DataType, as string) (sql string, bind func(arrow.Array) cells) {
	switch dt := dt.(type) {
	case arrow.ExtensionType:
		sql, bind = overridden(dt.StorageType(), as)
		if bind != nil {
			return sql, throughStorage(bind)
		}
	case *arrow.DictionaryType:
		sql, bind = overridden(dt.ValueType, as)
		if bind != nil {
			return sql, throughDictionary(bind)
		}
	default:
		switch as {
		case asBigint:
			return "bigint", bindBigint(dt)
		case asNumeric:
			if arrow.IsDecimal(dt.ID()) {
				sql, bind, _ = mapping(dt)
				return sql, bind
			}
			if arrowfmt.IsText(dt) {
				return "numeric", bindTextNumeric
			}
			return integerNumeric(dt)
		case asHex:
			return "text", bindHex(dt)
		}
	}
	return "", nil
}

// mapping returns the table of types of docs/postgres.md.
func mapping(dt arrow.DataType) (sql string, bind func(arrow.Array) cells, err error) {
	switch dt.ID() {
	case arrow.NULL:
		return "text", bindNothing, nil
	case arrow.BOOL:
		return "boolean", bindBoolean, nil
	case arrow.INT8, arrow.INT16, arrow.UINT8:
		return "smallint", bindSmallint(dt), nil
	case arrow.INT32, arrow.UINT16:
		return "integer", bindInteger(dt), nil
	case arrow.INT64, arrow.UINT32:
		return "bigint", bindBigint(dt), nil
	case arrow.UINT64:
		sql, bind = integerNumeric(dt)
		return sql, bind, nil
	case arrow.FLOAT16, arrow.FLOAT32:
		return "real", bindReal(dt), nil
	case arrow.FLOAT64:
		return "double precision", bindDouble, nil
	case arrow.STRING, arrow.LARGE_STRING, arrow.STRING_VIEW:
		return "text", bindBlobs, nil
	case arrow.BINARY, arrow.LARGE_BINARY, arrow.BINARY_VIEW, arrow.FIXED_SIZE_BINARY:
		return "bytea", bindBlobs, nil
	case arrow.DECIMAL32, arrow.DECIMAL64, arrow.DECIMAL128, arrow.DECIMAL256:
		d := dt.(arrow.DecimalType)
		return decimalType(d), bindDecimal(d), nil
	case arrow.DATE32, arrow.DATE64:
		return "date", bindDate(dt), nil
	case arrow.TIME32, arrow.TIME64:
		return "time without time zone", bindTime(dt), nil
	case arrow.TIMESTAMP:
		ts := dt.(*arrow.TimestampType)
		if ts.TimeZone == "" {
			return "timestamp without time zone", bindTimestamp(ts), nil
		}
		return "timestamp with time zone", bindTimestamp(ts), nil
	case arrow.DURATION, arrow.INTERVAL_MONTHS, arrow.INTERVAL_DAY_TIME, arrow.INTERVAL_MONTH_DAY_NANO:
		return "interval", bindInterval(dt), nil
	case arrow.LIST, arrow.LARGE_LIST, arrow.FIXED_SIZE_LIST, arrow.LIST_VIEW, arrow.LARGE_LIST_VIEW, arrow.STRUCT, arrow.MAP:
		if err := checkDocument(dt); err != nil {
			return "", nil, err
		}
		return "jsonb", bindDocument, nil
	case arrow.DICTIONARY:
		if sql, bind, err = mapping(dt.(*arrow.DictionaryType).ValueType); err == nil {
			bind = throughDictionary(bind)
		}
		return sql, bind, err
	case arrow.EXTENSION:
		if sql, bind, err = mapping(dt.(arrow.ExtensionType).StorageType()); err == nil {
			bind = throughStorage(bind)
		}
		return sql, bind, err
	default:
		return "", nil, fmt.Errorf("the Arrow type %s has no counterpart in PostgreSQL; cast it in the query", dt)
	}
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
func bind(columns []column, rec arrow.RecordBatch) ([]cells, error) {
	if int(rec.NumCols()) != len(columns) {
		return nil, fmt.Errorf("a record has %d columns and the table was opened for %d; the query changed: start this sink again",
			rec.NumCols(), len(columns))
	}
	bound := make([]cells, len(columns))
	for i, c := range columns {
		arr := rec.Column(i)
		if rec.ColumnName(i) != c.name || !sameType(c.arrow, arr.DataType()) {
			return nil, fmt.Errorf("column %d of a record is %q of type %s and the table was opened for %q of type %s; "+
				"the query changed: start this sink again",
				i, rec.ColumnName(i), arr.DataType(), c.name, c.arrow)
		}
		bound[i] = c.bind(arr)
	}
	return bound, nil
}

// nothing is the Null type.
type nothing struct{ alwaysValid }

func bindNothing(arrow.Array) cells { return nothing{} }

func (nothing) append(dst []byte, _ int) []byte { return appendNull(dst) }

// throughStorage binds an extension type by what it is stored as.
func throughStorage(bind func(arrow.Array) cells) func(arrow.Array) cells {
	return func(arr arrow.Array) cells { return bind(arr.(array.ExtensionArray).Storage()) }
}

func names(s *arrow.Schema) []string {
	all := make([]string, s.NumFields())
	for i, f := range s.Fields() {
		all[i] = f.Name
	}
	return all
}
