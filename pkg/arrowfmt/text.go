package arrowfmt

import (
	"math"
	"strconv"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/float16"
)

// Text returns an [Append] of values that are not NULL, as text. Bytes are 0x and hexadecimal
// digits, times are ISO 8601, nested values are JSON, and the text of NULL within a
// dictionary is empty.
func (o Options) Text(arr arrow.Array) Append {
	switch a := arr.(type) {
	case *array.Null:
		return func(dst []byte, _ int) []byte { return dst }
	case *array.Boolean:
		return func(dst []byte, i int) []byte { return strconv.AppendBool(dst, a.Value(i)) }
	case *array.Int8:
		return signed(a.Values())
	case *array.Int16:
		return signed(a.Values())
	case *array.Int32:
		return signed(a.Values())
	case *array.Int64:
		return signed(a.Values())
	case *array.Uint8:
		return unsigned(a.Values())
	case *array.Uint16:
		return unsigned(a.Values())
	case *array.Uint32:
		return unsigned(a.Values())
	case *array.Uint64:
		return unsigned(a.Values())
	case *array.Float16:
		return floats(a.Values(), widened, 32, o)
	case *array.Float32:
		return floats(a.Values(), exactly, 32, o)
	case *array.Float64:
		return floats(a.Values(), exactly, 64, o)
	case *array.Decimal32, *array.Decimal64, *array.Decimal128, *array.Decimal256:
		return Decimals(arr)
	case *array.String, *array.LargeString, *array.StringView:
		value := Bytes(arr)
		return func(dst []byte, i int) []byte { return append(dst, value(i)...) }
	case *array.Binary, *array.LargeBinary, *array.BinaryView, *array.FixedSizeBinary:
		value := Bytes(arr)
		return func(dst []byte, i int) []byte { return AppendHex(dst, value(i)) }
	case *array.Dictionary:
		return throughDictionary(a, o.Text(a.Dictionary()))
	case array.ExtensionArray:
		return o.Text(a.Storage())
	case *array.Struct:
		return o.structs(a)
	case *array.Map:
		return o.maps(a)
	case array.ListLike:
		return o.lists(a)
	default:
		return o.moments(arr)
	}
}

// throughDictionary appends the values that indices stand for, which may be NULL there.
func throughDictionary(a *array.Dictionary, values Append) Append {
	nulls := NullsOf(a.Dictionary())
	return func(dst []byte, i int) []byte {
		at := a.GetValueIndex(i)
		if nulls.Null(at) {
			return dst
		}
		return values(dst, at)
	}
}

func signed[T int8 | int16 | int32 | int64](values []T) Append {
	return func(dst []byte, i int) []byte { return strconv.AppendInt(dst, int64(values[i]), 10) }
}

func unsigned[T uint8 | uint16 | uint32 | uint64](values []T) Append {
	return func(dst []byte, i int) []byte { return strconv.AppendUint(dst, uint64(values[i]), 10) }
}

func widened(v float16.Num) float64 { return float64(v.Float32()) }

func exactly[T float32 | float64](v T) float64 { return float64(v) }

// floats appends the fewest digits that are the same float again.
func floats[T any](values []T, wide func(T) float64, bits int, o Options) Append {
	if !o.has(PlainFloats) {
		return func(dst []byte, i int) []byte { return strconv.AppendFloat(dst, wide(values[i]), 'g', -1, bits) }
	}
	return func(dst []byte, i int) []byte {
		switch v := wide(values[i]); {
		case v == 0:
			return append(dst, '0')
		case math.IsInf(v, 1):
			return append(dst, "Infinity"...)
		case math.IsInf(v, -1):
			return append(dst, "-Infinity"...)
		default:
			return strconv.AppendFloat(dst, v, 'f', -1, bits)
		}
	}
}
