package pgcopy

import (
	"encoding/binary"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/bitutil"

	"github.com/ampipe/ampipe/pkg/arrowfmt"
)

// Bind binds an encoding to the memory of an array, which must not be released before
// the values have been used for the last time.
type Bind func(arr arrow.Array) Values

// Values are the values of one column of one record. They may be read concurrently.
type Values struct {
	nulls   arrowfmt.Nulls
	append  func(dst []byte, row int) []byte            // of a value that is not NULL
	invalid func(from, to int) (row int, reason string) // nil: PostgreSQL can hold every value
}

// Invalid returns the first row of [from, to) whose value PostgreSQL cannot hold, and why
// not; row is -1 if there is none.
func (v *Values) Invalid(from, to int) (row int, reason string) {
	if v.invalid == nil {
		return -1, ""
	}
	return v.invalid(from, to)
}

// Append appends a value as a field of COPY BINARY: its length, or -1 for NULL, and its
// bytes. The row is valid.
func (v *Values) Append(dst []byte, row int) []byte {
	if v.nulls.Null(row) {
		return appendNull(dst)
	}
	return v.append(dst, row)
}

func appendNull(dst []byte) []byte { return append(dst, 0xff, 0xff, 0xff, 0xff) }

// check refuses values for which reason returns one. It is not asked of NULL, nor of rows
// behind the first that is refused by what is checked already.
func (v *Values) check(reason func(row int) string) {
	nulls, before := v.nulls, v.invalid
	v.invalid = func(from, to int) (int, string) {
		row, why := -1, ""
		if before != nil {
			row, why = before(from, to)
		}
		if row >= 0 {
			to = row
		}
		for i := from; i < to; i++ {
			if nulls.Null(i) {
				continue
			}
			if text := reason(i); text != "" {
				return i, text
			}
		}
		return row, why
	}
}

// bounded refuses values outside bounds.
func bounded[T integer](v *Values, values []T, low, high T, reason string) {
	nulls := v.nulls
	v.invalid = func(from, to int) (int, string) {
		for i := from; i < to; i++ {
			if n := values[i]; (n < low || n > high) && !nulls.Null(i) {
				return i, reason
			}
		}
		return -1, ""
	}
}

// valuesOf returns the raw values of an array, from its offset on.
func valuesOf[T any](arr arrow.Array) []T { return arr.(interface{ Values() []T }).Values() }

// bufferOf returns a buffer of an array, nil if it has none.
func bufferOf(arr arrow.Array, n int) []byte {
	if b := arr.Data().Buffers()[n]; b != nil {
		return b.Bytes()
	}
	return nil
}

// bindNothing is for the Null type.
func bindNothing(arr arrow.Array) Values { return Values{nulls: arrowfmt.NullsOf(arr)} }

func bindBoolean(arr arrow.Array) Values {
	bits, offset := bufferOf(arr, 1), arr.Data().Offset()
	return Values{nulls: arrowfmt.NullsOf(arr), append: func(dst []byte, i int) []byte {
		if bitutil.BitIsSet(bits, offset+i) {
			return append(dst, 0, 0, 0, 1, 1)
		}
		return append(dst, 0, 0, 0, 1, 0)
	}}
}

func appendLen(dst []byte, n int) []byte {
	return append(dst, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
}

func appendInt2(dst []byte, v uint16) []byte { return append(dst, 0, 0, 0, 2, byte(v>>8), byte(v)) }

func appendInt4(dst []byte, v uint32) []byte {
	return append(dst, 0, 0, 0, 4, byte(v>>24), byte(v>>16), byte(v>>8), byte(v))
}

func appendInt8(dst []byte, v uint64) []byte {
	dst = append(dst, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0)
	binary.BigEndian.PutUint64(dst[len(dst)-8:], v)
	return dst
}

func appendBytes(dst, v []byte) []byte { return append(appendLen(dst, len(v)), v...) }

// setLen writes the length of the field that begins at start and ends dst.
func setLen(dst []byte, start int) []byte {
	binary.BigEndian.PutUint32(dst[start:], uint32(len(dst)-start-4))
	return dst
}
