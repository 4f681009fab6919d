package pgcopy

import (
	"fmt"
	"math"
	"strconv"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/ampipe/ampipe/pkg/arrowfmt"
)

type integer interface {
	~int8 | ~int16 | ~int32 | ~int64 | ~uint8 | ~uint16 | ~uint32 | ~uint64
}

// number is a type of PostgreSQL that integers are written as.
type number struct {
	bytes  int // 0: it is a numeric
	places int // of a numeric: digits that are shown behind the point
	low    int64
	high   uint64
	reason string // why what lies outside is refused
}

var (
	ownSmallint = number{bytes: 2, low: math.MinInt16, high: math.MaxInt16}
	ownInteger  = number{bytes: 4, low: math.MinInt32, high: math.MaxInt32}
	ownBigint   = number{bytes: 8, low: math.MinInt64, high: math.MaxInt64,
		reason: "the value is above 9223372036854775807, the highest of a bigint; " + widen("numeric(20,0)")}
	anyNumeric = number{low: math.MinInt64, high: math.MaxUint64}
)

// integerOf returns smallint, integer or bigint as they are in a table that is there.
func integerOf(t Type, wider string) number {
	n := map[string]number{"smallint": ownSmallint, "integer": ownInteger, "bigint": ownBigint}[t.Base]
	reason := fmt.Sprintf("the number is no %s; %s", t.Base, widen(wider))
	n.reason = reason
	return n
}

// numericOf returns a numeric of a table that is there.
func numericOf(r room) number {
	n := anyNumeric
	n.places, n.reason = r.places(0), r.reason
	if r.before < 20 { // 64 bits have 20 digits
		n.high = 1
		for range r.before {
			n.high *= 10
		}
		n.high--
		n.low = -int64(min(n.high, math.MaxInt64))
		if n.high > math.MaxInt64 {
			n.low = math.MinInt64
		}
	}
	return n
}

// holds reports whether the type takes every value of an Arrow type.
func (n *number) holds(dt arrow.DataType) bool {
	low, high := rangeOf(dt)
	return n.low <= low && high <= n.high
}

// takes reports whether the type takes a number of a sign and size.
func (n *number) takes(minus bool, size uint64) bool {
	if minus {
		return size <= -uint64(n.low)
	}
	return size <= n.high
}

// rangeOf returns the lowest and highest value of an Arrow type.
func rangeOf(dt arrow.DataType) (low int64, high uint64) {
	bits := dt.(arrow.FixedWidthDataType).BitWidth()
	if arrow.IsUnsignedInteger(dt.ID()) {
		return 0, math.MaxUint64 >> (64 - bits)
	}
	return math.MinInt64 >> (64 - bits), math.MaxInt64 >> (64 - bits)
}

// bind returns nil for what is not an integer.
func (n number) bind(dt arrow.DataType) Bind {
	switch dt.ID() {
	case arrow.INT8:
		return bindIntegers[int8](n)
	case arrow.INT16:
		return bindIntegers[int16](n)
	case arrow.INT32:
		return bindIntegers[int32](n)
	case arrow.INT64:
		return bindIntegers[int64](n)
	case arrow.UINT8:
		return bindIntegers[uint8](n)
	case arrow.UINT16:
		return bindIntegers[uint16](n)
	case arrow.UINT32:
		return bindIntegers[uint32](n)
	case arrow.UINT64:
		return bindIntegers[uint64](n)
	default:
		return nil
	}
}

func bindIntegers[T integer](n number) Bind {
	return func(arr arrow.Array) Values {
		values := valuesOf[T](arr)
		v := Values{nulls: arrowfmt.NullsOf(arr)}
		switch n.bytes {
		case 2:
			v.append = func(dst []byte, i int) []byte { return appendInt2(dst, uint16(values[i])) }
		case 4:
			v.append = func(dst []byte, i int) []byte { return appendInt4(dst, uint32(values[i])) }
		case 8:
			v.append = func(dst []byte, i int) []byte { return appendInt8(dst, uint64(values[i])) }
		default:
			places := n.places
			v.append = func(dst []byte, i int) []byte {
				minus, size := sizeOf(values[i])
				return appendNumeric64(dst, minus, size, places)
			}
		}
		if low, high := rangeOf(arr.DataType()); !n.holds(arr.DataType()) {
			bounded(&v, values, T(max(low, n.low)), T(min(high, n.high)), n.reason)
		}
		return v
	}
}

// sizeOf returns the sign and the size of an integer.
func sizeOf[T integer](v T) (minus bool, size uint64) {
	if v < 0 {
		return true, -uint64(int64(v))
	}
	return false, uint64(v)
}

// digitsOf returns how many digits the widest value of an integer type has, 0 for what is
// none.
func digitsOf(dt arrow.DataType) int {
	if !arrow.IsInteger(dt.ID()) {
		return 0
	}
	_, high := rangeOf(dt)
	return len(strconv.FormatUint(high, 10))
}

// integerNumeric returns no binding for what is not an integer.
func integerNumeric(dt arrow.DataType) (sql string, bind Bind) {
	return fmt.Sprintf("numeric(%d,0)", digitsOf(dt)), anyNumeric.bind(dt)
}
