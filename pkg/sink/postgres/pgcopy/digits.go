package pgcopy

import (
	"bytes"
	"math"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/ampipe/ampipe/pkg/arrowfmt"
)

// digits is a number in digits, taken apart: the digits without zeros at either end,
// how many of them stand before the point (fewer than 0: zeros follow it), and how many
// digits are shown behind it.
type digits struct {
	minus  bool
	text   []byte
	point  int
	places int
}

// parseNumber reads a number as PostgreSQL does, with a sign and an exponent if there is
// one: -1, 0.50, .5, 1e18.
func parseNumber(text []byte) (d digits, ok bool) {
	if len(text) > 0 && (text[0] == '-' || text[0] == '+') {
		d.minus, text = text[0] == '-', text[1:]
	}
	mantissa, exponent, hasExponent := text, 0, false
	if at := bytes.IndexAny(text, "eE"); at >= 0 {
		mantissa, hasExponent = text[:at], true
		exponent, ok = parseExponent(text[at+1:])
		if !ok {
			return d, false
		}
	}
	before, behind, _ := bytes.Cut(mantissa, []byte{'.'})
	if len(before)+len(behind) == 0 || !allDigits(before) || !allDigits(behind) {
		return d, false
	}
	d.text, d.point, d.places = before, len(before), len(behind)
	if len(behind) > 0 {
		d.text = append(bytes.Clone(before), behind...)
	}
	if hasExponent {
		d.point, d.places = d.point+exponent, max(0, d.places-exponent)
	}
	for len(d.text) > 0 && d.text[0] == '0' {
		d.text = d.text[1:]
		d.point--
	}
	d.text = bytes.TrimRight(d.text, "0")
	if len(d.text) == 0 {
		d.minus, d.point = false, 0
	}
	return d, true
}

// parseExponent reads what follows the E. One that no numeric can have is taken as the
// nearest that is as good.
func parseExponent(text []byte) (int, bool) {
	minus := false
	if len(text) > 0 && (text[0] == '-' || text[0] == '+') {
		minus, text = text[0] == '-', text[1:]
	}
	if len(text) == 0 || !allDigits(text) {
		return 0, false
	}
	v := 0
	for _, c := range text {
		v = min(v*10+int(c-'0'), math.MaxInt32)
	}
	if minus {
		return -v, true
	}
	return v, true
}

func allDigits(text []byte) bool {
	for _, c := range text {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// behind returns how many digits behind the point are not 0.
func (d digits) behind() int { return max(0, len(d.text)-d.point) }

// fits reports whether a numeric takes the number.
func (r room) fits(d digits) bool {
	return d.point <= r.before && d.behind() <= r.behind && (r.exact || d.places <= r.behind)
}

// appendNumeric writes the number as a numeric.
func (d digits) appendNumeric(dst []byte, places int) []byte {
	lead := (4 - d.point%4) % 4 // zeros in the first group of base 10000
	n := (lead + len(d.text) + 3) / 4
	groups := make([]uint16, n)
	for i := range 4 * n {
		digit := uint16(0)
		if at := i - lead; at >= 0 && at < len(d.text) {
			digit = uint16(d.text[at] - '0')
		}
		g := &groups[n-1-i/4]
		*g = *g*10 + digit
	}
	return appendGroups(dst, d.minus, groups, (d.point+lead)/4-n, places)
}

// appendText writes the number as PostgreSQL prints it.
func (d digits) appendText(dst []byte) []byte {
	if d.minus {
		dst = append(dst, '-')
	}
	digit := func(at int) byte {
		if at < 0 || at >= len(d.text) {
			return '0'
		}
		return d.text[at]
	}
	if d.point <= 0 {
		dst = append(dst, '0')
	}
	for at := range max(0, d.point) {
		dst = append(dst, digit(at))
	}
	if d.places > 0 {
		dst = append(dst, '.')
	}
	for at := range d.places {
		dst = append(dst, digit(d.point+at))
	}
	return dst
}

// noNumber returns the reason for a text that is none. A column that adds zeros behind the
// point would show them as text, too.
func (r room) noNumber() string {
	const reason = "the text is no number in digits, and the column is numeric; filter such rows out in the query"
	if r.exact && r.behind > 0 {
		return reason
	}
	return reason + ", or " + widen("text")
}

// bindTextNumeric is for numbers in digits that are written as numerics.
func bindTextNumeric(r room) Bind {
	return func(arr arrow.Array) Values {
		value := arrowfmt.Bytes(arr)
		v := Values{nulls: arrowfmt.NullsOf(arr), append: func(dst []byte, i int) []byte {
			d, _ := parseNumber(value(i)) // the row is valid
			return d.appendNumeric(dst, r.places(d.places))
		}}
		v.check(func(i int) string {
			d, ok := parseNumber(value(i))
			switch {
			case !ok:
				return r.noNumber()
			case !r.fits(d):
				return r.reason
			}
			return ""
		})
		return v
	}
}
