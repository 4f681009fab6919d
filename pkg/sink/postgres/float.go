package postgres

import (
	"math"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/float16"
)

// Floats keep their bits, so infinities and the sign of zero arrive as they were;
// but every NaN is sent as the one that PostgreSQL makes of its text, for a row
// that was replaced comes back by way of that.
const (
	realNaN   uint32 = 0x7fc00000
	doubleNaN uint64 = 0x7ff8000000000000
)

type (
	halves struct {
		alwaysValid
		validity
		values []float16.Num
	}
	reals struct {
		alwaysValid
		validity
		values []float32
	}
	doubles struct {
		alwaysValid
		validity
		values []float64
	}
)

func bindReal(dt arrow.DataType) func(arrow.Array) cells {
	if dt.ID() == arrow.FLOAT16 {
		return func(arr arrow.Array) cells {
			return &halves{validity: validityOf(arr), values: valuesOf[float16.Num](arr)}
		}
	}
	return func(arr arrow.Array) cells {
		return &reals{validity: validityOf(arr), values: valuesOf[float32](arr)}
	}
}

func bindDouble(arr arrow.Array) cells {
	return &doubles{validity: validityOf(arr), values: valuesOf[float64](arr)}
}

func (c *halves) append(dst []byte, i int) []byte {
	if c.null(i) {
		return appendNull(dst)
	}
	return appendReal(dst, c.values[i].Float32())
}

func (c *reals) append(dst []byte, i int) []byte {
	if c.null(i) {
		return appendNull(dst)
	}
	return appendReal(dst, c.values[i])
}

func appendReal(dst []byte, v float32) []byte {
	if math.IsNaN(float64(v)) {
		return appendInt4(dst, realNaN)
	}
	return appendInt4(dst, math.Float32bits(v))
}

func (c *doubles) append(dst []byte, i int) []byte {
	if c.null(i) {
		return appendNull(dst)
	}
	return appendDouble(dst, c.values[i])
}

func appendDouble(dst []byte, v float64) []byte {
	if math.IsNaN(v) {
		return appendInt8(dst, doubleNaN)
	}
	return appendInt8(dst, math.Float64bits(v))
}

// widened are floats that are written as doubles.
type widened struct {
	alwaysValid
	validity
	value func(i int) float32
}

func bindWidened(dt arrow.DataType) func(arrow.Array) cells {
	if dt.ID() == arrow.FLOAT16 {
		return func(arr arrow.Array) cells {
			values := valuesOf[float16.Num](arr)
			return &widened{validity: validityOf(arr), value: func(i int) float32 { return values[i].Float32() }}
		}
	}
	return func(arr arrow.Array) cells {
		values := valuesOf[float32](arr)
		return &widened{validity: validityOf(arr), value: func(i int) float32 { return values[i] }}
	}
}

func (c *widened) append(dst []byte, i int) []byte {
	if c.null(i) {
		return appendNull(dst)
	}
	return appendDouble(dst, float64(c.value(i)))
}
