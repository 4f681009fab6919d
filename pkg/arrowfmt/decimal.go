package arrowfmt

import (
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// Decimals returns an [Append] of the values of an array of decimals that are not NULL, as
// [AppendDecimal] does, or nil if the array is of another type.
func Decimals(arr arrow.Array) Append {
	switch a := arr.(type) {
	case *array.Decimal32:
		return decimals(a.Values(), Split32, a.DataType())
	case *array.Decimal64:
		return decimals(a.Values(), Split64, a.DataType())
	case *array.Decimal128:
		return decimals(a.Values(), Split128, a.DataType())
	case *array.Decimal256:
		return decimals(a.Values(), Split256, a.DataType())
	default:
		return nil
	}
}

func decimals[T any](values []T, split func(*T) (bool, Magnitude), dt arrow.DataType) Append {
	places := int(dt.(arrow.DecimalType).GetScale())
	return func(dst []byte, i int) []byte {
		minus, m := split(&values[i])
		return AppendDecimal(dst, minus, m, places)
	}
}

const (
	chunk       = 1e19 // the largest power of ten in 64 bits
	chunkDigits = 19
)

// AppendDecimal appends a decimal with all its places; fewer than none are zeros in front
// of where its point would be. Zero has no sign.
func AppendDecimal(dst []byte, minus bool, m Magnitude, places int) []byte {
	var digits [100]byte // 320 bits are 97 digits
	at := len(digits)
	for m.Wide() {
		rest := m.Divide(chunk)
		for range chunkDigits {
			at--
			digits[at] = '0' + byte(rest%10)
			rest /= 10
		}
	}
	for v := m[0]; v > 0; v /= 10 {
		at--
		digits[at] = '0' + byte(v%10)
	}
	text := digits[at:]
	if len(text) == 0 {
		minus, places = false, max(0, places)
	}
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
