package parquetfile

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/bitutil"
)

// values writes the values of one type as Parquet's plain encoding has them, and knows the
// lowest and the highest of a row group.
type values interface {
	// encode appends the values of a from one row on, without those that are null, until there
	// are none or the page would be longer than limit, and returns the page and the next row.
	// A page has at least one value, whatever its size. have is how many it has already.
	encode(page []byte, have int, a arrow.Array, from, to, limit int) ([]byte, int)
	// bounds returns the lowest and the highest, as statistics have them, if they are known.
	bounds() (low, high []byte, ok bool)
	reset()
}

// newValues returns what writes a type, or nil if this package does not.
func newValues(t arrow.DataType) values {
	switch t := t.(type) {
	case *arrow.BooleanType:
		return &booleans{}
	case *arrow.Int8Type:
		return newNumbers(4, func(a arrow.Array) []int8 { return a.(*array.Int8).Int8Values() })
	case *arrow.Int16Type:
		return newNumbers(4, func(a arrow.Array) []int16 { return a.(*array.Int16).Int16Values() })
	case *arrow.Int32Type:
		return newNumbers(4, func(a arrow.Array) []int32 { return a.(*array.Int32).Int32Values() })
	case *arrow.Date32Type:
		return newNumbers(4, func(a arrow.Array) []arrow.Date32 { return a.(*array.Date32).Date32Values() })
	case *arrow.Int64Type:
		return newNumbers(8, func(a arrow.Array) []int64 { return a.(*array.Int64).Int64Values() })
	case *arrow.TimestampType:
		return newNumbers(8, func(a arrow.Array) []arrow.Timestamp { return a.(*array.Timestamp).TimestampValues() })
	case *arrow.Float32Type:
		return newFloats(4, func(a arrow.Array) []float32 { return a.(*array.Float32).Float32Values() })
	case *arrow.Float64Type:
		return newFloats(8, func(a arrow.Array) []float64 { return a.(*array.Float64).Float64Values() })
	case *arrow.BinaryType, *arrow.StringType:
		return &texts{}
	case *arrow.Decimal128Type:
		return newDecimals(t)
	}
	return nil
}

// nullsOf returns the bits of an array that say which values there are; nil if all are.
func nullsOf(a arrow.Array) (valid []byte, offset int) {
	if a.NullN() == 0 {
		return nil, 0
	}
	return a.NullBitmapBytes(), a.Data().Offset()
}

// numbers writes integers, and what is one.
type numbers[T ~int8 | ~int16 | ~int32 | ~int64] struct {
	width     int
	of        func(arrow.Array) []T
	low, high T
	known     bool
}

func newNumbers[T ~int8 | ~int16 | ~int32 | ~int64](width int, of func(arrow.Array) []T) *numbers[T] {
	return &numbers[T]{width: width, of: of}
}

func (n *numbers[T]) encode(page []byte, _ int, a arrow.Array, from, to, limit int) ([]byte, int) {
	to = min(to, from+max((limit-len(page))/n.width, 0))
	valid, offset := nullsOf(a)
	all := n.of(a)[from:to]
	page = slices.Grow(page, len(all)*n.width)
	for i, v := range all {
		if valid != nil && bitutil.BitIsNotSet(valid, offset+from+i) {
			continue
		}
		page = appendNumber(page, n.width, uint64(v))
		if !n.known {
			n.low, n.high, n.known = v, v, true
		}
		n.low, n.high = min(n.low, v), max(n.high, v)
	}
	return page, to
}

func (n *numbers[T]) bounds() (low, high []byte, ok bool) {
	return appendNumber(nil, n.width, uint64(n.low)), appendNumber(nil, n.width, uint64(n.high)), n.known
}

func (n *numbers[T]) reset() { n.known = false }

// appendNumber writes the lower bytes of a number.
func appendNumber(b []byte, width int, v uint64) []byte {
	if width == 4 {
		return binary.LittleEndian.AppendUint32(b, uint32(v))
	}
	return binary.LittleEndian.AppendUint64(b, v)
}

// floats writes floating-point numbers. One that is not a number has no place between bounds.
type floats[T ~float32 | ~float64] struct {
	width     int
	of        func(arrow.Array) []T
	low, high T
	known     bool
}

func newFloats[T ~float32 | ~float64](width int, of func(arrow.Array) []T) *floats[T] {
	return &floats[T]{width: width, of: of}
}

func (f *floats[T]) encode(page []byte, _ int, a arrow.Array, from, to, limit int) ([]byte, int) {
	to = min(to, from+max((limit-len(page))/f.width, 0))
	valid, offset := nullsOf(a)
	for i, v := range f.of(a)[from:to] {
		if valid != nil && bitutil.BitIsNotSet(valid, offset+from+i) {
			continue
		}
		page = f.append(page, v)
		if math.IsNaN(float64(v)) {
			continue
		}
		if !f.known {
			f.low, f.high, f.known = v, v, true
		}
		f.low, f.high = min(f.low, v), max(f.high, v)
	}
	return page, to
}

func (f *floats[T]) append(b []byte, v T) []byte {
	if f.width == 4 {
		return binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(v)))
	}
	return binary.LittleEndian.AppendUint64(b, math.Float64bits(float64(v)))
}

// bounds returns zeros as the format demands: a lower one is negative, an upper one is not.
func (f *floats[T]) bounds() (low, high []byte, ok bool) {
	l, h := f.low, f.high
	if l == 0 {
		l = T(math.Copysign(0, -1))
	}
	if h == 0 {
		h = 0
	}
	return f.append(nil, l), f.append(nil, h), f.known
}

func (f *floats[T]) reset() { f.known = false }

// booleans writes a bit for each.
type booleans struct{ has [2]bool }

func (s *booleans) encode(page []byte, have int, a arrow.Array, from, to, limit int) ([]byte, int) {
	values := a.(*array.Boolean)
	for i := from; i < to; i++ {
		if values.IsNull(i) {
			continue
		}
		if have%8 == 0 {
			if len(page) >= limit && have > 0 {
				return page, i
			}
			page = append(page, 0)
		}
		if values.Value(i) {
			page[len(page)-1] |= 1 << (have % 8)
			s.has[1] = true
		} else {
			s.has[0] = true
		}
		have++
	}
	return page, to
}

func (s *booleans) bounds() (low, high []byte, ok bool) {
	low, high = []byte{0}, []byte{1}
	if !s.has[0] {
		low[0] = 1
	}
	if !s.has[1] {
		high[0] = 0
	}
	return low, high, s.has[0] || s.has[1]
}

func (s *booleans) reset() { s.has = [2]bool{} }
