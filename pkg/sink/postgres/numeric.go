package postgres

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/decimal256"

	"github.com/ampipe/ampipe/pkg/arrowfmt"
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

// appendNumeric64 writes an integer, and so many decimal places.
func appendNumeric64(dst []byte, minus bool, v uint64, places int) []byte {
	var groups [5]uint16
	n := 0
	for ; v > 0; n++ {
		groups[n] = uint16(v % 10000)
		v /= 10000
	}
	return appendGroups(dst, minus, groups[:n], 0, places)
}

// shape is what all decimals of a type have in common. The digits of base 10000
// stand left and right of the decimal point, so the unscaled number is first
// multiplied until its last digit ends such a group.
type shape struct {
	pad    uint64 // 1, 10, 100 or 1000
	lowest int    // weight of the last group
	places int    // decimal places shown
	limit  arrowfmt.Magnitude
	reason string
}

func shapeOf(dt arrow.DecimalType) *shape {
	scale, precision := int(dt.GetScale()), int(dt.GetPrecision())
	groups := (scale + 3) >> 2 // rounds up, for negative scales also
	s := &shape{pad: 1, lowest: -groups, places: max(0, scale), limit: arrowfmt.Pow10(precision),
		reason: fmt.Sprintf("the value has more digits than its type %s says; %s", dt, widen("numeric"))}
	for range groups*4 - scale {
		s.pad *= 10
	}
	return s
}

// append writes a number of the shape. It uses up m.
func (s *shape) append(dst []byte, minus bool, m arrowfmt.Magnitude) []byte {
	if s.pad > 1 {
		m.Times(s.pad)
	}
	var groups [24]uint16 // 256 bits times 1000 are 81 digits
	n := 0
	for ; m.Wide(); n += 4 {
		rest := m.Divide(chunk)
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

// numerics are the values of a column of decimals of any width.
type numerics[T any] struct {
	validity
	*shape
	values []T
	split  func(*T) (minus bool, m arrowfmt.Magnitude)
}

func (c *numerics[T]) append(dst []byte, i int) []byte {
	if c.null(i) {
		return appendNull(dst)
	}
	minus, m := c.split(&c.values[i])
	return c.shape.append(dst, minus, m)
}

func (c *numerics[T]) invalid(from, to int) (int, string) {
	for i := from; i < to; i++ {
		if _, m := c.split(&c.values[i]); !m.Less(&c.limit) && !c.null(i) {
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
			return &numerics[decimal.Decimal32]{valid, s, a.Values(), arrowfmt.Split32}
		case *array.Decimal64:
			return &numerics[decimal.Decimal64]{valid, s, a.Values(), arrowfmt.Split64}
		case *array.Decimal128:
			return &numerics[decimal128.Num]{valid, s, a.Values(), arrowfmt.Split128}
		default:
			return &numerics[decimal256.Num]{valid, s, a.(*array.Decimal256).Values(), arrowfmt.Split256}
		}
	}
}
