package arrowfmt

import (
	"strconv"

	"github.com/apache/arrow-go/v18/arrow"
)

const secondsPerDay = 24 * 60 * 60

// PerSecond returns how many of a unit there are in a second.
func PerSecond(u arrow.TimeUnit) int64 {
	switch u {
	case arrow.Second:
		return 1
	case arrow.Millisecond:
		return 1e3
	case arrow.Microsecond:
		return 1e6
	default:
		return 1e9
	}
}

// FloorDiv divides, and rounds towards the past. The divisor is above zero.
func FloorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// AppendSeconds appends a count of units, per to a second, as seconds: "-1.5S".
func AppendSeconds(dst []byte, v, per int64) []byte {
	u := uint64(v)
	if v < 0 {
		dst, u = append(dst, '-'), -u
	}
	dst = strconv.AppendUint(dst, u/uint64(per), 10)
	return append(appendFraction(dst, u%uint64(per), uint64(per)), 'S')
}

// appendFraction appends ".5" for 5 of 10, without zeros at the end. The whole is a power
// of ten.
func appendFraction(dst []byte, v, of uint64) []byte {
	if v == 0 {
		return dst
	}
	dst = append(dst, '.')
	for v > 0 {
		of /= 10
		dst = append(dst, '0'+byte(v/of))
		v %= of
	}
	return dst
}
