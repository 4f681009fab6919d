package postgres

import (
	"fmt"
	"math/bits"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/decimal256"
)

// A numeric on the wire is a count of digits in base 10000, the weight of the
// first one, a sign, the number of decimal places to show, and the digits
// without leading or trailing zeros. PostgreSQL stores and sends exactly that,
// so the two sides of a digest agree if the form here is the normal one.

const (
	positive uint64 = 0x0000
	negative uint64 = 0x4000
	chunk           = 1e16 // four digits in base 10000
)

// appendNumeric64 writes an integer.
func appendNumeric64(dst []byte, minus bool, v uint64) []byte {
	var groups [5]uint16
	n := 0
	for ; v > 0; n++ {
		groups[n] = uint16(v % 10000)
		v /= 10000
	}
	return appendGroups(dst, minus, groups[:n], 0, 0)
}

// magnitude is an unsigned number, its lowest 64 bits first. It has room for
// 256 bits times 1000.
type magnitude [5]uint64

func (m *magnitude) zero() bool { return *m == magnitude{} }

// times multiplies by a small number.
func (m *magnitude) times(by uint64) {
	var carry uint64
	for i, limb := range m {
		hi, lo := bits.Mul64(limb, by)
		lo, c := bits.Add64(lo, carry, 0)
		m[i], carry = lo, hi+c
	}
}

// divide divides by d, and gives the remainder.
func (m *magnitude) divide(d uint64) (rest uint64) {
	for i := len(m) - 1; i >= 0; i-- {
		m[i], rest = bits.Div64(rest, m[i], d)
	}
	return rest
}

// less compares.
func (m *magnitude) less(o *magnitude) bool {
	for i := len(m) - 1; i >= 0; i-- {
		if m[i] != o[i] {
			return m[i] < o[i]
		}
	}
	return false
}

// pow10 gives 10^n.
func pow10(n int) magnitude {
	m := magnitude{1}
	for range n {
		m.times(10)
	}
	return m
}

// shape is what all decimals of a type have in common. The digits of base 10000
// stand left and right of the decimal point, so the unscaled number is first
// multiplied until its last digit ends such a group.
type shape struct {
	pad    uint64 // 1, 10, 100 or 1000
	lowest int    // weight of the last group
	places int    // decimal places shown
	limit  magnitude
	reason string
}

func shapeOf(dt arrow.DecimalType) *shape {
	scale, precision := int(dt.GetScale()), int(dt.GetPrecision())
	groups := (scale + 3) >> 2 // rounds up, for negative scales also
	s := &shape{pad: 1, lowest: -groups, places: max(0, scale), limit: pow10(precision),
		reason: fmt.Sprintf("the value has more digits than its type %s says; cast the column to a wider decimal in the query", dt)}
	for range groups*4 - scale {
		s.pad *= 10
	}
	return s
}

// append writes a number of the shape. It uses up m.
func (s *shape) append(dst []byte, minus bool, m magnitude) []byte {
	if s.pad > 1 {
		m.times(s.pad)
	}
	var groups [24]uint16 // 256 bits times 1000 are 81 digits
	n := 0
	for ; m[1]|m[2]|m[3]|m[4] != 0; n += 4 {
		rest := m.divide(chunk)
		for k := range 4 {
			groups[n+k] = uint16(rest % 10000)
			rest /= 10000
		}
	}
	for v := m[0]; v > 0; n++ {
		groups[n] = uint16(v % 10000)
		v /= 10000
	}
	return appendGroups(dst, minus, groups[:n], s.lowest, s.places)
}

// appendGroups writes digits in base 10000, the lowest first, whose weight is
// given. The highest ones may be zero.
func appendGroups(dst []byte, minus bool, groups []uint16, lowest, places int) []byte {
	for len(groups) > 0 && groups[len(groups)-1] == 0 {
		groups = groups[:len(groups)-1]
	}
	for len(groups) > 0 && groups[0] == 0 {
		groups = groups[1:]
		lowest++
	}
	sign, weight := positive, lowest+len(groups)-1
	if minus {
		sign = negative
	}
	if len(groups) == 0 {
		sign, weight = positive, 0
	}
	n := len(groups)
	dst = append(appendLen(dst, 8+2*n), byte(n>>8), byte(n), byte(weight>>8), byte(weight),
		byte(sign>>8), byte(sign), byte(places>>8), byte(places))
	for i := n - 1; i >= 0; i-- {
		dst = append(dst, byte(groups[i]>>8), byte(groups[i]))
	}
	return dst
}

// decimalType names the type. Before version 15 PostgreSQL has no scale below
// zero or above the precision, so those become the nearest that it always had.
func decimalType(dt arrow.DecimalType) string {
	precision, scale := dt.GetPrecision(), dt.GetScale()
	if scale < 0 {
		precision, scale = precision-scale, 0
	}
	return fmt.Sprintf("numeric(%d,%d)", max(precision, scale), scale)
}

// decimals are the values of a column of decimals of any width.
type decimals[T any] struct {
	validity
	*shape
	values []T
	split  func(*T) (minus bool, m magnitude)
}

func (c *decimals[T]) append(dst []byte, i int) []byte {
	if c.null(i) {
		return appendNull(dst)
	}
	minus, m := c.split(&c.values[i])
	return c.shape.append(dst, minus, m)
}

func (c *decimals[T]) flaw(from, to int) (int, string) {
	for i := from; i < to; i++ {
		if _, m := c.split(&c.values[i]); !m.less(&c.limit) && !c.null(i) {
			return i, c.reason
		}
	}
	return -1, ""
}

func bindDecimal(dt arrow.DecimalType) func(arrow.Array) cells {
	s := shapeOf(dt)
	return func(arr arrow.Array) cells {
		valid := validityOf(arr)
		switch a := arr.(type) {
		case *array.Decimal32:
			return &decimals[decimal.Decimal32]{valid, s, a.Values(), split32}
		case *array.Decimal64:
			return &decimals[decimal.Decimal64]{valid, s, a.Values(), split64}
		case *array.Decimal128:
			return &decimals[decimal128.Num]{valid, s, a.Values(), split128}
		default:
			return &decimals[decimal256.Num]{valid, s, a.(*array.Decimal256).Values(), split256}
		}
	}
}

func split32(v *decimal.Decimal32) (bool, magnitude) {
	wide := decimal.Decimal64(*v)
	return split64(&wide)
}

func split64(v *decimal.Decimal64) (bool, magnitude) {
	if *v < 0 {
		return true, magnitude{-uint64(*v)}
	}
	return false, magnitude{uint64(*v)}
}

func split128(v *decimal128.Num) (bool, magnitude) {
	lo, hi := v.LowBits(), uint64(v.HighBits())
	if v.HighBits() >= 0 {
		return false, magnitude{lo, hi}
	}
	lo, carry := bits.Add64(^lo, 1, 0)
	hi, _ = bits.Add64(^hi, 0, carry)
	return true, magnitude{lo, hi}
}

func split256(v *decimal256.Num) (bool, magnitude) {
	limbs := v.Array()
	if int64(limbs[3]) >= 0 {
		return false, magnitude{limbs[0], limbs[1], limbs[2], limbs[3]}
	}
	m, carry := magnitude{}, uint64(1)
	for i, limb := range limbs {
		m[i], carry = bits.Add64(^limb, 0, carry)
	}
	return true, m
}
