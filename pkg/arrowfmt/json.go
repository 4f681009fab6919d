package arrowfmt

import (
	"math"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// JSON returns an [Append] of values as JSON, null among them. What JSON has no form of is
// the text of [Options.Text] as a string.
func (o Options) JSON(arr arrow.Array) Append {
	value := o.value(arr)
	nulls := NullsOf(arr)
	if !nulls.Any() {
		return value
	}
	return func(dst []byte, i int) []byte {
		if nulls.Null(i) {
			return append(dst, "null"...)
		}
		return value(dst, i)
	}
}

// value returns an Append for values that are not NULL.
func (o Options) value(arr arrow.Array) Append {
	switch a := arr.(type) {
	case *array.Null, *array.Boolean, *array.Struct, *array.Map, array.ListLike,
		*array.Int8, *array.Int16, *array.Int32, *array.Int64, *array.Uint8, *array.Uint16, *array.Uint32, *array.Uint64:
		return o.Text(arr)
	case *array.Float16:
		return finite(a.Values(), widened, o.Text(arr))
	case *array.Float32:
		return finite(a.Values(), exactly, o.Text(arr))
	case *array.Float64:
		return finite(a.Values(), exactly, o.Text(arr))
	case *array.Decimal32, *array.Decimal64, *array.Decimal128, *array.Decimal256:
		if o.has(QuotedDecimals) {
			return quoted(o.Text(arr))
		}
		return o.Text(arr)
	case *array.String, *array.LargeString, *array.StringView:
		text := Bytes(arr)
		return func(dst []byte, i int) []byte { return o.AppendString(dst, text(i)) }
	case *array.Dictionary:
		values := o.JSON(a.Dictionary())
		return func(dst []byte, i int) []byte { return values(dst, a.GetValueIndex(i)) }
	case array.ExtensionArray:
		return o.JSON(a.Storage())
	default:
		return quoted(o.Text(arr))
	}
}

func quoted(text Append) Append {
	return func(dst []byte, i int) []byte { return append(text(append(dst, '"'), i), '"') }
}

// finite appends numbers, and what is none, which JSON does not have, as a string.
func finite[T any](values []T, wide func(T) float64, text Append) Append {
	return func(dst []byte, i int) []byte {
		if v := wide(values[i]); math.IsNaN(v) || math.IsInf(v, 0) {
			return append(text(append(dst, '"'), i), '"')
		}
		return text(dst, i)
	}
}

const hexDigits = "0123456789abcdef"

// AppendString appends a text, which is valid UTF-8, as a JSON string.
func (o Options) AppendString(dst, text []byte) []byte {
	dst = append(dst, '"')
	from := 0
	for i, c := range text {
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, text[from:i]...)
		from = i + 1
		switch short := shortEscape(c); {
		case c >= ' ':
			dst = append(dst, '\\', c)
		case short != 0 && o.has(ShortEscapes):
			dst = append(dst, '\\', short)
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return append(append(dst, text[from:]...), '"')
}

func shortEscape(c byte) byte {
	switch c {
	case '\b':
		return 'b'
	case '\f':
		return 'f'
	case '\n':
		return 'n'
	case '\r':
		return 'r'
	case '\t':
		return 't'
	default:
		return 0
	}
}
