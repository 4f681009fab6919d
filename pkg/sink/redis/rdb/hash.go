package rdb

import (
	"encoding/binary"
	"math"
	"strconv"
)

const (
	hashListpack   = 16 // type of a dumped value
	version        = 10 // of Redis 7.0, the oldest that is supported
	length32       = 0x80
	listpackEnd    = 0xff
	listpackHeader = 6 // bytes: size, and number of elements
	manyElements   = math.MaxUint16
)

// OpenHash begins a hash at the end of dst.
func OpenHash(dst []byte) []byte {
	dst = append(dst, hashListpack, length32, 0, 0, 0, 0)
	return append(dst, make([]byte, listpackHeader)...)
}

// CloseHash ends the hash that began at start and has n elements: names and values.
func CloseHash(dst []byte, start, n int) []byte {
	pack := start + 6
	dst = append(dst, listpackEnd)
	size := uint32(len(dst) - pack)
	binary.BigEndian.PutUint32(dst[pack-4:], size)
	binary.LittleEndian.PutUint32(dst[pack:], size)
	binary.LittleEndian.PutUint16(dst[pack+4:], uint16(min(n, manyElements)))
	dst = binary.LittleEndian.AppendUint16(dst, version)
	return binary.LittleEndian.AppendUint64(dst, checksum(dst[start:]))
}

// OpenElement begins an element of a listpack whose length is not known yet.
func OpenElement(dst []byte) []byte { return append(dst, 0, 0) }

// CloseElement ends the element that began at a position with OpenElement: it is
// stored as Redis would store it, a whole number as a number.
func CloseElement(dst []byte, at int) []byte {
	text := dst[at+2:]
	if v, is := wholeNumber(text); is {
		return endElement(appendInteger(dst[:at], v), at)
	}
	switch n := len(text); {
	case n < 1<<6:
		dst[at] = 0x80 | byte(n)
		copy(dst[at+1:], text)
		dst = dst[:len(dst)-1]
	case n < 1<<12:
		dst[at], dst[at+1] = 0xe0|byte(n>>8), byte(n)
	default:
		dst = append(dst, 0, 0, 0)
		copy(dst[at+5:], dst[at+2:at+2+n])
		dst[at] = 0xf0
		binary.LittleEndian.PutUint32(dst[at+1:], uint32(n))
	}
	return endElement(dst, at)
}

// endElement writes the length of an element behind it, for who reads backwards:
// seven bits a byte, the highest first, all but the first of them marked.
func endElement(dst []byte, at int) []byte {
	n := len(dst) - at
	bytes := 1
	for rest := n; rest > 127; rest >>= 7 {
		bytes++
	}
	dst = append(dst, byte(n>>(7*(bytes-1))))
	for bytes--; bytes > 0; bytes-- {
		dst = append(dst, byte(n>>(7*(bytes-1)))&127|128)
	}
	return dst
}

// wholeNumber reports whether a text is the shortest form of a 64-bit number.
func wholeNumber(text []byte) (int64, bool) {
	const longest = len("-9223372036854775808")
	if len(text) == 0 || len(text) > longest {
		return 0, false
	}
	digits := text
	if text[0] == '-' {
		digits = text[1:]
	}
	if len(digits) == 0 || digits[0] == '0' && len(text) > 1 {
		return 0, false
	}
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, false
		}
	}
	v, err := strconv.ParseInt(string(text), 10, 64)
	return v, err == nil
}

// appendInteger writes a number in the smallest encoding that holds it.
func appendInteger(dst []byte, v int64) []byte {
	switch u := uint64(v); {
	case v >= 0 && v < 1<<7:
		return append(dst, byte(u))
	case v >= -1<<12 && v < 1<<12:
		return append(dst, 0xc0|byte(u>>8)&0x1f, byte(u))
	case v >= math.MinInt16 && v <= math.MaxInt16:
		return append(dst, 0xf1, byte(u), byte(u>>8))
	case v >= -1<<23 && v < 1<<23:
		return append(dst, 0xf2, byte(u), byte(u>>8), byte(u>>16))
	case v >= math.MinInt32 && v <= math.MaxInt32:
		return binary.LittleEndian.AppendUint32(append(dst, 0xf3), uint32(u))
	default:
		return binary.LittleEndian.AppendUint64(append(dst, 0xf4), u)
	}
}
