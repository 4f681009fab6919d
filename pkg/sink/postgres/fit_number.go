package postgres

import (
	"fmt"
	"math"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/ampipe/ampipe/pkg/arrowfmt"
)

// width is an integer type of PostgreSQL.
type width struct {
	bytes  int
	high   int64
	reason string
}

func widthOf(t storedType, wider string) width {
	w := width{8, math.MaxInt64, fmt.Sprintf("the number is no %s; %s", t.base, widen(wider))}
	switch t.base {
	case "smallint":
		w.bytes, w.high = 2, math.MaxInt16
	case "integer":
		w.bytes, w.high = 4, math.MaxInt32
	}
	return w
}

func (w *width) holds(minus bool, size uint64) bool {
	if minus {
		return size <= uint64(w.high)+1
	}
	return size <= uint64(w.high)
}

func (w *width) append(dst []byte, v int64) []byte {
	switch w.bytes {
	case 2:
		return append(dst, 0, 0, 0, 2, byte(v>>8), byte(v))
	case 4:
		return appendInt4(dst, uint32(v))
	default:
		return appendInt8(dst, uint64(v))
	}
}

// fitInteger takes integers of any width, and decimals that are whole.
func fitInteger(dt arrow.DataType, as string, t storedType) (fit, bool) {
	if d, ok := dt.(arrow.DecimalType); ok {
		return fit{bind: bindWhole(d, widthOf(t, "numeric")), wider: "numeric"}, true
	}
	own, _ := integerNumeric(dt)
	if own == "" {
		return fit{}, false
	}
	bits, unsigned := dt.(arrow.FixedWidthDataType).BitWidth(), arrow.IsUnsignedInteger(dt.ID())
	wider := "bigint"
	if unsigned && bits == 64 && (as != asBigint || t.base == asBigint) {
		wider = "numeric(20,0)"
	}
	w := widthOf(t, wider)
	if bits < 8*w.bytes || (bits == 8*w.bytes && !unsigned) {
		wider = ""
	}
	return fit{bind: bindIntegers(dt, w), wider: wider}, true
}

// sized are integers that are written as others.
type sized[T integer] struct {
	integers[T]
	width
}

func asSized[T integer](w width) func(arrow.Array) cells {
	return func(arr arrow.Array) cells { return &sized[T]{integersOf[T](arr), w} }
}

func bindIntegers(dt arrow.DataType, w width) func(arrow.Array) cells {
	switch dt.ID() {
	case arrow.INT8:
		return asSized[int8](w)
	case arrow.INT16:
		return asSized[int16](w)
	case arrow.INT32:
		return asSized[int32](w)
	case arrow.INT64:
		return asSized[int64](w)
	case arrow.UINT8:
		return asSized[uint8](w)
	case arrow.UINT16:
		return asSized[uint16](w)
	case arrow.UINT32:
		return asSized[uint32](w)
	default:
		return asSized[uint64](w)
	}
}

// sizeOf returns the sign and the size of an integer.
func sizeOf[T integer](v T) (minus bool, size uint64) {
	if v < 0 {
		return true, -uint64(int64(v))
	}
	return false, uint64(v)
}

func (c *sized[T]) invalid(from, to int) (int, string) {
	for i := from; i < to; i++ {
		if !c.holds(sizeOf(c.values[i])) && !c.null(i) {
			return i, c.reason
		}
	}
	return -1, ""
}

func (c *sized[T]) append(dst []byte, i int) []byte {
	if c.null(i) {
		return appendNull(dst)
	}
	return c.width.append(dst, int64(c.values[i]))
}

// signed returns what takes the decimals of an array of any width apart.
func signed(arr arrow.Array) func(i int) (minus bool, m arrowfmt.Magnitude) {
	switch a := arr.(type) {
	case *array.Decimal32:
		return split(a.Values(), arrowfmt.Split32)
	case *array.Decimal64:
		return split(a.Values(), arrowfmt.Split64)
	case *array.Decimal128:
		return split(a.Values(), arrowfmt.Split128)
	default:
		return split(a.(*array.Decimal256).Values(), arrowfmt.Split256)
	}
}

func split[T any](values []T, apart func(*T) (bool, arrowfmt.Magnitude)) func(int) (bool, arrowfmt.Magnitude) {
	return func(i int) (bool, arrowfmt.Magnitude) { return apart(&values[i]) }
}

// whole are decimals that are written as integers.
type whole struct {
	validity
	width
	split func(i int) (minus bool, m arrowfmt.Magnitude)
	scale int
}

func bindWhole(dt arrow.DecimalType, w width) func(arrow.Array) cells {
	return func(arr arrow.Array) cells { return &whole{validityOf(arr), w, signed(arr), int(dt.GetScale())} }
}

// value returns an integer, and reports whether the decimal is one that fits.
func (c *whole) value(i int) (v int64, ok bool) {
	minus, m := c.split(i)
	if !cutDigits(&m, c.scale) || m.Wide() || !c.holds(minus, m[0]) {
		return 0, false
	}
	for range -min(0, c.scale) {
		m.Times(10)
		if m.Wide() || !c.holds(minus, m[0]) {
			return 0, false
		}
	}
	if minus {
		return -int64(m[0]), true
	}
	return int64(m[0]), true
}

func (c *whole) invalid(from, to int) (int, string) {
	for i := from; i < to; i++ {
		if c.null(i) {
			continue
		}
		if _, ok := c.value(i); !ok {
			return i, c.reason
		}
	}
	return -1, ""
}

func (c *whole) append(dst []byte, i int) []byte {
	if c.null(i) {
		return appendNull(dst)
	}
	v, _ := c.value(i) // the row is valid
	return c.width.append(dst, v)
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

// most is how many digits PostgreSQL keeps before and behind the point of a numeric
// without a precision.
const (
	mostBefore = 131072
	mostBehind = 16383
)

// room is what a numeric takes.
type room struct {
	before, behind int  // digits
	exact          bool // as many are shown behind the point as it takes
	reason         string
}

func roomOf(t storedType) room {
	digits, places, limited := t.precision()
	if !limited {
		return room{before: mostBefore, behind: mostBehind, reason: "the number has too many digits for a numeric; " +
			"filter such rows out in the query"}
	}
	return room{before: digits - places, behind: places, exact: true,
		reason: fmt.Sprintf("the number has more digits than the column, %s, takes; %s", t.sql, widen("numeric"))}
}

// places returns how many digits are shown behind the point of a number that has n.
func (r room) places(n int) int {
	if r.exact {
		return r.behind
	}
	return n
}

// fitNumeric takes integers, decimals, and numbers in digits as text, such as those of
// 256 bits. It rounds nothing.
func fitNumeric(dt arrow.DataType, t storedType) (fit, bool) {
	r := roomOf(t)
	if r.behind < 0 {
		return fit{}, false // the column rounds to tens or more
	}
	wider := func(before, behind int) string {
		if before <= r.before && behind <= r.behind {
			return ""
		}
		return "numeric"
	}
	if arrowfmt.IsText(dt) {
		f := fit{bind: func(arr arrow.Array) cells { return &textNumerics{blobsOf(arr), r} }}
		if r.exact {
			f.wider = "numeric"
		}
		return f, true
	}
	if d, ok := dt.(arrow.DecimalType); ok {
		digits, scale := int(d.GetPrecision()), int(d.GetScale())
		return fit{bind: bindFitted(d, r), wider: wider(digits-scale, scale)}, true
	}
	own, _ := integerNumeric(dt)
	if own == "" {
		return fit{}, false
	}
	var before int
	_, _ = fmt.Sscanf(own, "numeric(%d,", &before)
	return fit{bind: bindIntNumerics(dt, r), wider: wider(before, 0)}, true
}

// fittedInts are integers that are written as numerics.
type fittedInts[T integer] struct {
	integers[T]
	room
	limit uint64 // the lowest size that is refused; 0: none
}

func asFittedInts[T integer](r room) func(arrow.Array) cells {
	limit := uint64(0)
	if r.before < 20 { // 64 bits have 20 digits
		limit = 1
		for range r.before {
			limit *= 10
		}
	}
	return func(arr arrow.Array) cells { return &fittedInts[T]{integersOf[T](arr), r, limit} }
}

func bindIntNumerics(dt arrow.DataType, r room) func(arrow.Array) cells {
	switch dt.ID() {
	case arrow.INT8:
		return asFittedInts[int8](r)
	case arrow.INT16:
		return asFittedInts[int16](r)
	case arrow.INT32:
		return asFittedInts[int32](r)
	case arrow.INT64:
		return asFittedInts[int64](r)
	case arrow.UINT8:
		return asFittedInts[uint8](r)
	case arrow.UINT16:
		return asFittedInts[uint16](r)
	case arrow.UINT32:
		return asFittedInts[uint32](r)
	default:
		return asFittedInts[uint64](r)
	}
}

func (c *fittedInts[T]) invalid(from, to int) (int, string) {
	if c.limit == 0 {
		return -1, ""
	}
	for i := from; i < to; i++ {
		if _, size := sizeOf(c.values[i]); size >= c.limit && !c.null(i) {
			return i, c.reason
		}
	}
	return -1, ""
}

func (c *fittedInts[T]) append(dst []byte, i int) []byte {
	if c.null(i) {
		return appendNull(dst)
	}
	minus, size := sizeOf(c.values[i])
	return appendNumeric64(dst, minus, size, c.places(0))
}

// fitted are decimals that are written as numerics of another precision.
type fitted struct {
	validity
	room
	*shape
	split func(i int) (minus bool, m arrowfmt.Magnitude)
	limit *arrowfmt.Magnitude // the lowest that is refused; nil: none
	cut   int                 // digits at the end that have to be 0
}

// widest is how many digits 256 bits with a sign have.
const widest = 77

func bindFitted(dt arrow.DecimalType, r room) func(arrow.Array) cells {
	s := shapeOf(dt)
	scale := int(dt.GetScale())
	s.places = r.places(s.places)
	c := fitted{room: r, shape: s, cut: scale - r.behind}
	if digits := r.before + scale; digits < widest {
		limit := arrowfmt.Pow10(max(0, digits))
		c.limit = &limit
	}
	return func(arr arrow.Array) cells {
		bound := c
		bound.validity, bound.split = validityOf(arr), signed(arr)
		return &bound
	}
}

func (c *fitted) invalid(from, to int) (int, string) {
	for i := from; i < to; i++ {
		if c.null(i) {
			continue
		}
		_, m := c.split(i)
		if (c.limit != nil && !m.Less(c.limit)) || !cutDigits(&m, c.cut) {
			return i, c.room.reason
		}
	}
	return -1, ""
}

func (c *fitted) append(dst []byte, i int) []byte {
	if c.null(i) {
		return appendNull(dst)
	}
	minus, m := c.split(i)
	return c.shape.append(dst, minus, m)
}
