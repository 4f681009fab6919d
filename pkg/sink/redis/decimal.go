package redis

import (
	"math/bits"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/decimal"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/decimal256"
)

// magnitude is an unsigned number, its lowest 64 bits first.
type magnitude [4]uint64

func (m *magnitude) zero() bool { return *m == magnitude{} }

// divide divides by d, and gives the remainder.
func (m *magnitude) divide(d uint64) (rest uint64) {
	for i := len(m) - 1; i >= 0; i-- {
		m[i], rest = bits.Div64(rest, m[i], d)
	}
	return rest
}

func printDecimals[T any](values []T, split func(*T) (bool, magnitude), dt arrow.DataType) func([]byte, int) []byte {
	places := int(dt.(arrow.DecimalType).GetScale())
	return func(dst []byte, i int) []byte {
		minus, m := split(&values[i])
		return appendDecimal(dst, minus, m, places)
	}
}

// appendDecimal writes a decimal with all its places.
func appendDecimal(dst []byte, minus bool, m magnitude, places int) []byte {
	if m.zero() {
		minus = false
		places = max(0, places)
	}
	var digits [100]byte // 256 bits are 78 digits
	at := len(digits)
	for !m.zero() {
		at--
		digits[at] = '0' + byte(m.divide(10))
	}
	text := digits[at:]
	if minus {
		dst = append(dst, '-')
	}
	whole := len(text) - max(0, places)
	if whole <= 0 {
		dst = append(dst, '0')
	} else {
		dst = append(dst, text[:whole]...)
	}
	if places > 0 {
		dst = append(dst, '.')
		for ; whole < 0; whole++ {
			dst = append(dst, '0')
		}
		dst = append(dst, text[whole:]...)
	}
	for ; places < 0; places++ {
		dst = append(dst, '0')
	}
	return dst
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
