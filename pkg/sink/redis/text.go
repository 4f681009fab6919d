package redis

import (
	"fmt"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/ampipe/ampipe/pkg/sink/decimals"
)

// cells print the values of one array that are not null.
type cells struct {
	bits   []byte // validity; nil: there are no nulls
	offset int
	free   bool                           // any characters, to be escaped in keys
	quoted bool                           // a text in documents
	text   func(dst []byte, i int) []byte // as a field or part of a key
	json   func(dst []byte, i int) []byte // in a document; nil: text, in quotes if quoted
	flaw   func(i int) string             // why a value is refused; nil: none is
}

// null asks the bitmap: Arrow gives nil for empty text as well.
func (c *cells) null(i int) bool {
	if c.bits == nil {
		return false
	}
	i += c.offset
	return c.bits[i>>3]&(1<<(i&7)) == 0
}

// appendJSON writes a value, or null, into a document.
func (c *cells) appendJSON(dst []byte, i int) []byte {
	switch {
	case c.null(i):
		return append(dst, "null"...)
	case c.json != nil:
		return c.json(dst, i)
	case c.quoted:
		return append(c.text(append(dst, '"'), i), '"')
	default:
		return c.text(dst, i)
	}
}

// flawed gives why a value is refused, "" if it is not.
func (c *cells) flawed(i int) string {
	if c.flaw == nil || c.null(i) {
		return ""
	}
	return c.flaw(i)
}

// cellsOf binds an array of a type that passed [checkType].
func cellsOf(arr arrow.Array) cells {
	var c cells
	switch a := arr.(type) {
	case *array.Null:
		c.text = func(dst []byte, _ int) []byte { return dst }
	case *array.Boolean:
		c.text = func(dst []byte, i int) []byte { return strconv.AppendBool(dst, a.Value(i)) }
	case *array.Int8:
		c.text = signed(a.Values())
	case *array.Int16:
		c.text = signed(a.Values())
	case *array.Int32:
		c.text = signed(a.Values())
	case *array.Int64:
		c.text = signed(a.Values())
	case *array.Uint8:
		c.text = unsigned(a.Values())
	case *array.Uint16:
		c.text = unsigned(a.Values())
	case *array.Uint32:
		c.text = unsigned(a.Values())
	case *array.Uint64:
		c.text = unsigned(a.Values())
	case *array.Float16:
		c = floats(func(i int) float64 { return float64(a.Value(i).Float32()) }, 32)
	case *array.Float32:
		c = floats(func(i int) float64 { return float64(a.Value(i)) }, 32)
	case *array.Float64:
		c = floats(a.Value, 64)
	case *array.Decimal32, *array.Decimal64, *array.Decimal128, *array.Decimal256:
		c.text, c.quoted = decimals.Printer(arr), true
	case *array.String:
		c = texts(a.Value)
	case *array.LargeString:
		c = texts(a.Value)
	case *array.StringView:
		c = texts(a.Value)
	case *array.Binary:
		c = binaries(a.Value)
	case *array.LargeBinary:
		c = binaries(a.Value)
	case *array.BinaryView:
		c = binaries(a.Value)
	case *array.FixedSizeBinary:
		c = binaries(a.Value)
	case *array.Dictionary:
		c = throughDictionary(a)
	case array.ExtensionArray:
		return cellsOf(a.Storage())
	case *array.Struct, *array.Map, array.ListLike:
		c = documentsOf(arr)
	default:
		c = temporal(arr)
	}
	if arr.NullN() > 0 && arr.DataType().ID() != arrow.NULL {
		c.bits, c.offset = arr.NullBitmapBytes(), arr.Data().Offset()
	}
	if arr.DataType().ID() == arrow.NULL && arr.Len() > 0 {
		c.bits = make([]byte, (arr.Len()+7)/8)
	}
	return c
}

func throughDictionary(a *array.Dictionary) cells {
	v := cellsOf(a.Dictionary())
	values := v // of the dictionary, which may hold nulls itself
	c := cells{free: v.free, quoted: v.quoted}
	c.text = func(dst []byte, i int) []byte {
		if k := a.GetValueIndex(i); !values.null(k) {
			return values.text(dst, k)
		}
		return dst
	}
	c.json = func(dst []byte, i int) []byte { return values.appendJSON(dst, a.GetValueIndex(i)) }
	if v.flaw != nil {
		c.flaw = func(i int) string { return values.flawed(a.GetValueIndex(i)) }
	}
	return c
}

func signed[T int8 | int16 | int32 | int64](values []T) func([]byte, int) []byte {
	return func(dst []byte, i int) []byte { return strconv.AppendInt(dst, int64(values[i]), 10) }
}

func unsigned[T uint8 | uint16 | uint32 | uint64](values []T) func([]byte, int) []byte {
	return func(dst []byte, i int) []byte { return strconv.AppendUint(dst, uint64(values[i]), 10) }
}

// floats are printed with the fewest digits that give the same float again.
// JSON has no NaN and no infinities: there they are texts.
func floats(value func(int) float64, bits int) cells {
	text := func(dst []byte, i int) []byte { return strconv.AppendFloat(dst, value(i), 'g', -1, bits) }
	return cells{text: text, json: func(dst []byte, i int) []byte {
		if v := value(i); math.IsNaN(v) || math.IsInf(v, 0) {
			return append(text(append(dst, '"'), i), '"')
		}
		return text(dst, i)
	}}
}

func texts(value func(int) string) cells {
	return cells{free: true,
		text: func(dst []byte, i int) []byte { return append(dst, value(i)...) },
		json: func(dst []byte, i int) []byte { return appendQuoted(dst, value(i)) },
		flaw: func(i int) string {
			if !utf8.ValidString(value(i)) {
				return "the text is not valid UTF-8; cast the column to binary in the query"
			}
			return ""
		}}
}

const hexDigits = "0123456789abcdef"

// binaries are printed in full, as 0x and hexadecimal digits.
func binaries(value func(int) []byte) cells {
	return cells{quoted: true, text: func(dst []byte, i int) []byte {
		dst = append(dst, '0', 'x')
		for _, b := range value(i) {
			dst = append(dst, hexDigits[b>>4], hexDigits[b&15])
		}
		return dst
	}}
}

// Times are ISO 8601 with four digits of the year.
const (
	firstSecond = -62167219200 // 0000-01-01
	lastSecond  = 253402300799 // 9999-12-31
	outside     = "the time is outside of the years 0000 to 9999; cast the column to an integer in the query"
)

func temporal(arr arrow.Array) cells {
	switch a := arr.(type) {
	case *array.Timestamp:
		dt, layout := a.DataType().(*arrow.TimestampType), "2006-01-02T15:04:05.999999999"
		if dt.TimeZone != "" {
			layout += "Z"
		}
		return instants(a.Values(), perSecond(dt.Unit), layout)
	case *array.Date32:
		return dates(a.Values(), 1)
	case *array.Date64:
		return dates(a.Values(), 86400_000)
	case *array.Time32:
		return clocks(a.Values(), perSecond(a.DataType().(*arrow.Time32Type).Unit))
	case *array.Time64:
		return clocks(a.Values(), perSecond(a.DataType().(*arrow.Time64Type).Unit))
	case *array.Duration:
		values, per := a.Values(), perSecond(a.DataType().(*arrow.DurationType).Unit)
		return cells{quoted: true, text: func(dst []byte, i int) []byte {
			return decimals.AppendSeconds(append(dst, "PT"...), int64(values[i]), per)
		}}
	case *array.MonthInterval:
		return cells{quoted: true, text: func(dst []byte, i int) []byte {
			return append(strconv.AppendInt(append(dst, 'P'), int64(a.Value(i)), 10), 'M')
		}}
	case *array.DayTimeInterval:
		return cells{quoted: true, text: func(dst []byte, i int) []byte {
			dst = strconv.AppendInt(append(dst, 'P'), int64(a.Value(i).Days), 10)
			return decimals.AppendSeconds(append(dst, "DT"...), int64(a.Value(i).Milliseconds), 1e3)
		}}
	case *array.MonthDayNanoInterval:
		return cells{quoted: true, text: func(dst []byte, i int) []byte {
			v := a.Value(i)
			dst = strconv.AppendInt(append(dst, 'P'), int64(v.Months), 10)
			dst = strconv.AppendInt(append(dst, 'M'), int64(v.Days), 10)
			return decimals.AppendSeconds(append(dst, "DT"...), v.Nanoseconds, 1e9)
		}}
	default:
		panic(fmt.Sprintf("the type %s was not checked when the sink was opened", arr.DataType()))
	}
}

func perSecond(u arrow.TimeUnit) int64 { return int64(time.Second / u.Multiplier()) }

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

func instants(values []arrow.Timestamp, per int64, layout string) cells {
	return cells{quoted: true, free: true,
		text: func(dst []byte, i int) []byte {
			s := floorDiv(int64(values[i]), per)
			return time.Unix(s, (int64(values[i])-s*per)*(1e9/per)).UTC().AppendFormat(dst, layout)
		},
		flaw: func(i int) string {
			if s := floorDiv(int64(values[i]), per); s < firstSecond || s > lastSecond {
				return outside
			}
			return ""
		}}
}

func dates[T arrow.Date32 | arrow.Date64](values []T, perDay int64) cells {
	return cells{quoted: true, free: true,
		text: func(dst []byte, i int) []byte {
			return time.Unix(floorDiv(int64(values[i]), perDay)*86400, 0).UTC().AppendFormat(dst, time.DateOnly)
		},
		flaw: func(i int) string {
			if d := floorDiv(int64(values[i]), perDay); d < firstSecond/86400 || d > lastSecond/86400 {
				return outside
			}
			return ""
		}}
}

func clocks[T arrow.Time32 | arrow.Time64](values []T, per int64) cells {
	return cells{quoted: true, free: true,
		text: func(dst []byte, i int) []byte {
			s := int64(values[i]) / per
			for n, part := range [3]int64{s / 3600, s / 60 % 60, s % 60} {
				if n > 0 {
					dst = append(dst, ':')
				}
				dst = append(dst, '0'+byte(part/10), '0'+byte(part%10))
			}
			return decimals.AppendFraction(dst, uint64(int64(values[i])%per), uint64(per))
		},
		flaw: func(i int) string {
			if v := int64(values[i]); v < 0 || v >= 86400*per {
				return "the time of day is not between 00:00 and 24:00; cast the column to an integer in the query"
			}
			return ""
		}}
}
