package decimals

import "strconv"

// AppendSeconds writes a count of units, per to a second, as seconds: "-1.5S".
func AppendSeconds(dst []byte, v, per int64) []byte {
	u := uint64(v)
	if v < 0 {
		dst, u = append(dst, '-'), -u
	}
	dst = strconv.AppendUint(dst, u/uint64(per), 10)
	return append(AppendFraction(dst, u%uint64(per), uint64(per)), 'S')
}

// AppendFraction writes ".5" for 5 of 10, without zeros at the end. The whole is a
// power of ten.
func AppendFraction(dst []byte, v, of uint64) []byte {
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
