package pgcopy

import (
	"fmt"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/ampipe/ampipe/pkg/arrowfmt"
)

// Types that a user may ask for instead of the usual one.
const (
	AsBigint  = "bigint"
	AsNumeric = "numeric"
	AsHex     = "hex"
)

// Encoding is how the values of an Arrow type are written as a type of PostgreSQL.
type Encoding struct {
	SQL   string // the type as PostgreSQL itself prints it
	Base  string // without length and precision; of a domain the type below it
	Bind  Bind
	Loose bool // a numeric, or a domain over one, whose values each have a scale

	// Of a type that is there:
	Wider string // the type that takes more of what may come; "": none does
	Cuts  bool   // digits of a second are cut off
}

// Default returns the table of types of docs/postgres.md.
func Default(dt arrow.DataType) (Encoding, error) {
	sql, bind, err := mapping(arrowfmt.Underlying(dt))
	return encoding(dt, sql, bind), err
}

// Override returns the encoding that a user has asked for, or reports that it makes no
// sense for the type.
func Override(dt arrow.DataType, as string) (Encoding, bool) {
	sql, bind := overridden(arrowfmt.Underlying(dt), as)
	return encoding(dt, sql, bind), bind != nil
}

func encoding(dt arrow.DataType, sql string, bind Bind) Encoding {
	base, _, _ := strings.Cut(sql, "(")
	return Encoding{SQL: sql, Base: base, Bind: through(dt, bind), Loose: sql == "numeric"}
}

// through binds an array by what binds that of its values: a dictionary's, and what an
// extension type is stored as.
func through(dt arrow.DataType, bind Bind) Bind {
	switch dt := dt.(type) {
	case arrow.ExtensionType:
		bind = through(dt.StorageType(), bind)
		return func(arr arrow.Array) Values { return bind(arr.(array.ExtensionArray).Storage()) }
	case *arrow.DictionaryType:
		bind = through(dt.ValueType, bind)
		return func(arr arrow.Array) Values {
			d := arr.(*array.Dictionary)
			values := bind(d.Dictionary())
			v := Values{nulls: arrowfmt.NullsOf(arr), append: func(dst []byte, i int) []byte {
				return values.Append(dst, d.GetValueIndex(i))
			}}
			if values.invalid != nil { // only of the values in use: others may be anything
				v.check(func(i int) string {
					at := d.GetValueIndex(i)
					_, reason := values.invalid(at, at+1)
					return reason
				})
			}
			return v
		}
	default:
		return bind
	}
}

func overridden(dt arrow.DataType, as string) (sql string, bind Bind) {
	switch {
	case as == AsBigint:
		return "bigint", ownBigint.bind(dt)
	case as == AsNumeric && arrow.IsDecimal(dt.ID()):
		sql, bind, _ = mapping(dt)
		return sql, bind
	case as == AsNumeric && arrowfmt.IsText(dt):
		return "numeric", bindTextNumeric(roomOf(Type{Modifier: -1}))
	case as == AsNumeric:
		return integerNumeric(dt)
	case as == AsHex && arrowfmt.IsBytes(dt):
		return "text", bindHex
	default:
		return "", nil
	}
}

func mapping(dt arrow.DataType) (sql string, bind Bind, err error) {
	switch dt.ID() {
	case arrow.NULL:
		return "text", bindNothing, nil
	case arrow.BOOL:
		return "boolean", bindBoolean, nil
	case arrow.INT8, arrow.INT16, arrow.UINT8:
		return "smallint", ownSmallint.bind(dt), nil
	case arrow.INT32, arrow.UINT16:
		return "integer", ownInteger.bind(dt), nil
	case arrow.INT64, arrow.UINT32:
		return "bigint", ownBigint.bind(dt), nil
	case arrow.UINT64:
		sql, bind = integerNumeric(dt)
		return sql, bind, nil
	case arrow.FLOAT16, arrow.FLOAT32:
		return "real", bindReal, nil
	case arrow.FLOAT64:
		return "double precision", bindDouble, nil
	case arrow.STRING, arrow.LARGE_STRING, arrow.STRING_VIEW:
		return "text", bindBlobs, nil
	case arrow.BINARY, arrow.LARGE_BINARY, arrow.BINARY_VIEW, arrow.FIXED_SIZE_BINARY:
		return "bytea", bindBlobs, nil
	case arrow.DECIMAL32, arrow.DECIMAL64, arrow.DECIMAL128, arrow.DECIMAL256:
		sql, bind = ownDecimal(dt.(arrow.DecimalType))
		return sql, bind, nil
	case arrow.DATE32:
		return "date", bindDate[arrow.Date32](1), nil
	case arrow.DATE64:
		return "date", bindDate[arrow.Date64](secondsPerDay * 1e3), nil
	case arrow.TIME32, arrow.TIME64:
		return "time without time zone", bindTime(dt), nil
	case arrow.TIMESTAMP:
		ts := dt.(*arrow.TimestampType)
		if ts.TimeZone == "" {
			return "timestamp without time zone", bindTimestamp(ts), nil
		}
		return "timestamp with time zone", bindTimestamp(ts), nil
	case arrow.DURATION, arrow.INTERVAL_MONTHS, arrow.INTERVAL_DAY_TIME, arrow.INTERVAL_MONTH_DAY_NANO:
		return "interval", bindInterval, nil
	case arrow.LIST, arrow.LARGE_LIST, arrow.FIXED_SIZE_LIST, arrow.LIST_VIEW, arrow.LARGE_LIST_VIEW, arrow.STRUCT, arrow.MAP:
		return "jsonb", bindDocument(true), checkFields(dt.(arrow.NestedType))
	default:
		return "", nil, fmt.Errorf("the Arrow type %s has no counterpart in PostgreSQL; cast it in the query", dt)
	}
}
