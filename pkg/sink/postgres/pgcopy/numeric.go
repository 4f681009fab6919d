package pgcopy

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

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
}

func shapeOf(scale, places int) *shape {
	groups := (scale + 3) >> 2 // rounds up, for negative scales also
	s := &shape{pad: 1, lowest: -groups, places: places}
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

// most is how many digits PostgreSQL keeps before and behind the point of a numeric
// without a precision.
const (
	mostBefore = 131072
	mostBehind = 16383
)

// widest is how many digits 256 bits with a sign have.
const widest = 77

// room is what a numeric takes.
type room struct {
	before, behind int  // digits
	exact          bool // as many are shown behind the point as it takes
	reason         string
}

func roomOf(t Type) room {
	digits, places, limited := t.Precision()
	if !limited {
		return room{before: mostBefore, behind: mostBehind, reason: "the number has too many digits for a numeric; " +
			"filter such rows out in the query"}
	}
	return room{before: digits - places, behind: places, exact: true,
		reason: fmt.Sprintf("the number has more digits than the column, %s, takes; %s", t.SQL, widen("numeric"))}
}

// places returns how many digits are shown behind the point of a number that has n.
func (r room) places(n int) int {
	if r.exact {
		return r.behind
	}
	return n
}

// ownDecimal returns the type that ampipe makes. Before version 15 PostgreSQL has no scale
// below zero or above the precision, so those become the nearest that it always had.
func ownDecimal(dt arrow.DecimalType) (sql string, bind Bind) {
	precision, scale := int(dt.GetPrecision()), int(dt.GetScale())
	places := max(0, scale)
	r := room{before: precision - scale, behind: places, exact: true,
		reason: fmt.Sprintf("the value has more digits than its type %s says; %s", dt, widen("numeric"))}
	return fmt.Sprintf("numeric(%d,%d)", max(precision-min(0, scale), places), places), r.bindDecimals(dt)
}

// bindDecimals writes decimals of any width as numerics. It rounds nothing.
func (r room) bindDecimals(dt arrow.DecimalType) Bind {
	scale := int(dt.GetScale())
	d := &decimals{shape: *shapeOf(scale, r.places(max(0, scale))), cut: scale - r.behind, reason: r.reason,
		unlimited: r.before+scale >= widest}
	if !d.unlimited {
		d.limit = arrowfmt.Pow10(max(0, r.before+scale))
	}
	return func(arr arrow.Array) Values {
		switch a := arr.(type) {
		case *array.Decimal32:
			return numerics(d, arr, a.Values(), arrowfmt.Split32)
		case *array.Decimal64:
			return numerics(d, arr, a.Values(), arrowfmt.Split64)
		case *array.Decimal128:
			return numerics(d, arr, a.Values(), arrowfmt.Split128)
		default:
			return numerics(d, arr, a.(*array.Decimal256).Values(), arrowfmt.Split256)
		}
	}
}

// decimals is what decimals of a type have to be, to be written as a numeric.
type decimals struct {
	shape
	limit     arrowfmt.Magnitude // the lowest that is refused
	unlimited bool               // none is
	cut       int                // digits at the end that have to be 0
	reason    string
}

func (d *decimals) takes(m *arrowfmt.Magnitude) bool {
	return (d.unlimited || m.Less(&d.limit)) && cutDigits(m, d.cut)
}

// numerics writes decimals of one width. split takes one apart.
func numerics[T any](d *decimals, arr arrow.Array, values []T, split func(*T) (bool, arrowfmt.Magnitude)) Values {
	nulls := arrowfmt.NullsOf(arr)
	return Values{
		nulls: nulls,
		append: func(dst []byte, i int) []byte {
			minus, m := split(&values[i])
			return d.append(dst, minus, m)
		},
		invalid: func(from, to int) (int, string) {
			for i := from; i < to; i++ {
				if _, m := split(&values[i]); !d.takes(&m) && !nulls.Null(i) {
					return i, d.reason
				}
			}
			return -1, ""
		},
	}
}

// bindWhole writes decimals as integers.
func (n number) bindWhole(dt arrow.DecimalType) Bind {
	scale := int(dt.GetScale())
	return func(arr arrow.Array) Values {
		split := splitOf(arr)
		value := func(i int) (minus bool, size uint64, ok bool) {
			minus, m := split(i)
			ok = cutDigits(&m, scale) && !m.Wide() && n.takes(minus, m[0])
			for k := scale; k < 0 && ok; k++ {
				m.Times(10)
				ok = !m.Wide() && n.takes(minus, m[0])
			}
			return minus, m[0], ok
		}
		v := Values{nulls: arrowfmt.NullsOf(arr), append: func(dst []byte, i int) []byte {
			minus, size, _ := value(i) // the row is valid
			if minus {
				size = -size
			}
			switch n.bytes {
			case 2:
				return appendInt2(dst, uint16(size))
			case 4:
				return appendInt4(dst, uint32(size))
			default:
				return appendInt8(dst, size)
			}
		}}
		v.check(func(i int) string {
			if _, _, ok := value(i); !ok {
				return n.reason
			}
			return ""
		})
		return v
	}
}

// splitOf returns what takes the decimals of an array of any width apart.
func splitOf(arr arrow.Array) func(i int) (minus bool, m arrowfmt.Magnitude) {
	switch a := arr.(type) {
	case *array.Decimal32:
		return splits(a.Values(), arrowfmt.Split32)
	case *array.Decimal64:
		return splits(a.Values(), arrowfmt.Split64)
	case *array.Decimal128:
		return splits(a.Values(), arrowfmt.Split128)
	default:
		return splits(a.(*array.Decimal256).Values(), arrowfmt.Split256)
	}
}

func splits[T any](values []T, split func(*T) (bool, arrowfmt.Magnitude)) func(i int) (bool, arrowfmt.Magnitude) {
	return func(i int) (bool, arrowfmt.Magnitude) { return split(&values[i]) }
}

// cutDigits divides by 10^n and reports whether nothing is left. A negative n, as 0,
// changes nothing.
func cutDigits(m *arrowfmt.Magnitude, n int) bool {
	for n > 0 {
		d := uint64(10)
		for n--; n > 0 && d < 1e18; n-- {
			d *= 10
		}
		if m.Divide(d) != 0 {
			return false
		}
	}
	return true
}
