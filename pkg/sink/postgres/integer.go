package postgres

import (
	"encoding/binary"
	"math"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/bitutil"
)

type integer interface {
	int8 | int16 | int32 | int64 | uint8 | uint16 | uint32 | uint64
}

// integers are the values of a column of any integer type.
type integers[T integer] struct {
	validity
	values []T
}

type (
	smallints[T integer]   struct{ integers[T] }
	integers4[T integer]   struct{ integers[T] }
	bigints[T integer]     struct{ integers[T] }
	intNumerics[T integer] struct{ integers[T] }
)

func (integers[T]) invalid(int, int) (int, string) { return -1, "" }

func (c *smallints[T]) append(dst []byte, i int) []byte {
	if c.null(i) {
		return appendNull(dst)
	}
	v := uint16(c.values[i])
	return append(dst, 0, 0, 0, 2, byte(v>>8), byte(v))
}

func (c *integers4[T]) append(dst []byte, i int) []byte {
	if c.null(i) {
		return appendNull(dst)
	}
	return appendInt4(dst, uint32(c.values[i]))
}

func (c *bigints[T]) append(dst []byte, i int) []byte {
	if c.null(i) {
		return appendNull(dst)
	}
	return appendInt8(dst, uint64(c.values[i]))
}

func (c *bigints[T]) invalid(from, to int) (int, string) {
	values, unsigned := any(c.values).([]uint64)
	if !unsigned {
		return -1, ""
	}
	for i, v := range values[from:to] {
		if v > math.MaxInt64 && !c.null(from+i) {
			return from + i, "the value is above 9223372036854775807, the highest of a bigint; " + widen("numeric(20,0)")
		}
	}
	return -1, ""
}

func (c *intNumerics[T]) append(dst []byte, i int) []byte {
	if c.null(i) {
		return appendNull(dst)
	}
	minus, size := sizeOf(c.values[i])
	return appendNumeric64(dst, minus, size, 0)
}

func appendInt4(dst []byte, v uint32) []byte {
	return append(dst, 0, 0, 0, 4, byte(v>>24), byte(v>>16), byte(v>>8), byte(v))
}

func appendInt8(dst []byte, v uint64) []byte {
	dst = append(dst, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0)
	binary.BigEndian.PutUint64(dst[len(dst)-8:], v)
	return dst
}

func integersOf[T integer](arr arrow.Array) integers[T] {
	return integers[T]{validityOf(arr), valuesOf[T](arr)}
}

// valuesOf returns the raw values of an array, from its offset on.
func valuesOf[T any](arr arrow.Array) []T { return arr.(interface{ Values() []T }).Values() }

func asSmallints[T integer](arr arrow.Array) cells   { return &smallints[T]{integersOf[T](arr)} }
func asIntegers4[T integer](arr arrow.Array) cells   { return &integers4[T]{integersOf[T](arr)} }
func asBigints[T integer](arr arrow.Array) cells     { return &bigints[T]{integersOf[T](arr)} }
func asIntNumerics[T integer](arr arrow.Array) cells { return &intNumerics[T]{integersOf[T](arr)} }

func bindSmallint(dt arrow.DataType) func(arrow.Array) cells {
	switch dt.ID() {
	case arrow.INT8:
		return asSmallints[int8]
	case arrow.UINT8:
		return asSmallints[uint8]
	default:
		return asSmallints[int16]
	}
}

func bindInteger(dt arrow.DataType) func(arrow.Array) cells {
	if dt.ID() == arrow.UINT16 {
		return asIntegers4[uint16]
	}
	return asIntegers4[int32]
}

// bindBigint returns nil for what is not an integer.
func bindBigint(dt arrow.DataType) func(arrow.Array) cells {
	switch dt.ID() {
	case arrow.INT8:
		return asBigints[int8]
	case arrow.INT16:
		return asBigints[int16]
	case arrow.INT32:
		return asBigints[int32]
	case arrow.INT64:
		return asBigints[int64]
	case arrow.UINT8:
		return asBigints[uint8]
	case arrow.UINT16:
		return asBigints[uint16]
	case arrow.UINT32:
		return asBigints[uint32]
	case arrow.UINT64:
		return asBigints[uint64]
	default:
		return nil
	}
}

// integerNumeric returns no binding for what is not an integer. The precision is
// that of the widest value.
func integerNumeric(dt arrow.DataType) (sql string, bind func(arrow.Array) cells) {
	switch dt.ID() {
	case arrow.INT8:
		return "numeric(3,0)", asIntNumerics[int8]
	case arrow.INT16:
		return "numeric(5,0)", asIntNumerics[int16]
	case arrow.INT32:
		return "numeric(10,0)", asIntNumerics[int32]
	case arrow.INT64:
		return "numeric(19,0)", asIntNumerics[int64]
	case arrow.UINT8:
		return "numeric(3,0)", asIntNumerics[uint8]
	case arrow.UINT16:
		return "numeric(5,0)", asIntNumerics[uint16]
	case arrow.UINT32:
		return "numeric(10,0)", asIntNumerics[uint32]
	case arrow.UINT64:
		return "numeric(20,0)", asIntNumerics[uint64]
	default:
		return "", nil
	}
}

// booleans are the values of a Boolean column: a bitmap.
type booleans struct {
	alwaysValid
	validity
	values []byte
	offset int
}

func bindBoolean(arr arrow.Array) cells {
	return &booleans{validity: validityOf(arr), values: bufferOf(arr, 1), offset: arr.Data().Offset()}
}

func (c *booleans) append(dst []byte, i int) []byte {
	if c.null(i) {
		return appendNull(dst)
	}
	if bitutil.BitIsSet(c.values, c.offset+i) {
		return append(dst, 0, 0, 0, 1, 1)
	}
	return append(dst, 0, 0, 0, 1, 0)
}

// bufferOf returns a buffer of an array, nil if it has none.
func bufferOf(arr arrow.Array, n int) []byte {
	if b := arr.Data().Buffers()[n]; b != nil {
		return b.Bytes()
	}
	return nil
}
