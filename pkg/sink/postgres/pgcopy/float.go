package pgcopy

import (
	"math"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/ampipe/ampipe/pkg/arrowfmt"
)

// Floats keep their bits, so infinities and the sign of zero arrive as they were;
// but every NaN is sent as the one that PostgreSQL makes of its text, for a row
// that was replaced comes back by way of that.
const (
	realNaN   uint32 = 0x7fc00000
	doubleNaN uint64 = 0x7ff8000000000000
)

// bindReal is for Float16 and Float32.
func bindReal(arr arrow.Array) Values {
	v := Values{nulls: arrowfmt.NullsOf(arr)}
	if halves, ok := arr.(*array.Float16); ok {
		values := halves.Values()
		v.append = func(dst []byte, i int) []byte { return appendReal(dst, values[i].Float32()) }
		return v
	}
	values := valuesOf[float32](arr)
	v.append = func(dst []byte, i int) []byte { return appendReal(dst, values[i]) }
	return v
}

// bindDouble is for floats of any width.
func bindDouble(arr arrow.Array) Values {
	v := Values{nulls: arrowfmt.NullsOf(arr)}
	switch a := arr.(type) {
	case *array.Float16:
		values := a.Values()
		v.append = func(dst []byte, i int) []byte { return appendDouble(dst, float64(values[i].Float32())) }
	case *array.Float32:
		values := a.Values()
		v.append = func(dst []byte, i int) []byte { return appendDouble(dst, float64(values[i])) }
	default:
		values := valuesOf[float64](arr)
		v.append = func(dst []byte, i int) []byte { return appendDouble(dst, values[i]) }
	}
	return v
}

func appendReal(dst []byte, v float32) []byte {
	if math.IsNaN(float64(v)) {
		return appendInt4(dst, realNaN)
	}
	return appendInt4(dst, math.Float32bits(v))
}

func appendDouble(dst []byte, v float64) []byte {
	if math.IsNaN(v) {
		return appendInt8(dst, doubleNaN)
	}
	return appendInt8(dst, math.Float64bits(v))
}
