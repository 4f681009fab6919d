package arrowfmt

import (
	"math/bits"

	"github.com/apache/arrow-go/v18/arrow/decimal"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/decimal256"
)

// Magnitude is an unsigned number, its lowest 64 bits first. It has room for the
// 256 bits of the widest decimal times 1000.
type Magnitude [5]uint64

// Times multiplies by a small number.
func (m *Magnitude) Times(by uint64) {
	var carry uint64
	for i, limb := range m {
		hi, lo := bits.Mul64(limb, by)
		lo, c := bits.Add64(lo, carry, 0)
		m[i], carry = lo, hi+c
	}
}

// Divide divides by d and returns the remainder.
func (m *Magnitude) Divide(d uint64) (rest uint64) {
	for i := len(m) - 1; i >= 0; i-- {
		if m[i]|rest == 0 {
			continue // decimals are rarely as wide as they may be
		}
		m[i], rest = bits.Div64(rest, m[i], d)
	}
	return rest
}

// Less reports whether m is below o.
func (m *Magnitude) Less(o *Magnitude) bool {
	for i := len(m) - 1; i >= 0; i-- {
		if m[i] != o[i] {
			return m[i] < o[i]
		}
	}
	return false
}

// Wide reports whether m has more than 64 bits.
func (m *Magnitude) Wide() bool { return m[1]|m[2]|m[3]|m[4] != 0 }

// Pow10 returns 10^n, for n up to 80.
func Pow10(n int) Magnitude {
	m := Magnitude{1}
	for range n {
		m.Times(10)
	}
	return m
}

// Split32 returns the sign and the size of the unscaled number.
func Split32(v *decimal.Decimal32) (minus bool, m Magnitude) {
	wide := decimal.Decimal64(*v)
	return Split64(&wide)
}

// Split64 returns the sign and the size of the unscaled number.
func Split64(v *decimal.Decimal64) (minus bool, m Magnitude) {
	if *v < 0 {
		return true, Magnitude{-uint64(*v)}
	}
	return false, Magnitude{uint64(*v)}
}

// Split128 returns the sign and the size of the unscaled number.
func Split128(v *decimal128.Num) (minus bool, m Magnitude) {
	lo, hi := v.LowBits(), uint64(v.HighBits())
	if v.HighBits() >= 0 {
		return false, Magnitude{lo, hi}
	}
	lo, carry := bits.Add64(^lo, 1, 0)
	hi, _ = bits.Add64(^hi, 0, carry)
	return true, Magnitude{lo, hi}
}

// Split256 returns the sign and the size of the unscaled number.
func Split256(v *decimal256.Num) (minus bool, m Magnitude) {
	limbs := v.Array()
	if int64(limbs[3]) >= 0 {
		return false, Magnitude{limbs[0], limbs[1], limbs[2], limbs[3]}
	}
	carry := uint64(1)
	for i, limb := range limbs {
		m[i], carry = bits.Add64(^limb, 0, carry)
	}
	return true, m
}
