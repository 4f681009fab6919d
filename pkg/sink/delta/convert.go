package delta

import (
	"errors"
	"fmt"
	"math"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/bitutil"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/float16"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/ampipe/ampipe/pkg/arrowfmt"
)

// converter returns the values of a column in the type of the table. A value that
// cannot be held is a *refusedValue. The result is released by the caller, and
// may share memory with what it came from.
type converter func(arrow.Array) (arrow.Array, error)

// refusedValue is a value that the table cannot hold.
type refusedValue struct {
	row    int // in the array that was to be converted
	reason string
	column string
}

// Error returns the reason.
func (e *refusedValue) Error() string { return e.reason }

func refuse(row int, reason string) error { return &refusedValue{row: row, reason: reason} }

// inRow moves the place of a refused value, from an element to its list.
func inRow(err error, of func(int) int) error {
	if bad, ok := errors.AsType[*refusedValue](err); ok {
		return refuse(of(bad.row), bad.reason)
	}
	return err
}

// inColumn names the column in an error.
func inColumn(err error, column string) error {
	if bad, ok := errors.AsType[*refusedValue](err); ok {
		return &refusedValue{bad.row, bad.reason, column}
	}
	return fmt.Errorf("column %q: %w", column, err)
}

// apply converts, or returns the array itself. An array without values may lack
// the offsets that the Arrow library and its Parquet writer expect, as all do that
// Amp sends, and those inside empty lists: another without values takes its place.
func (c converter) apply(a arrow.Array) (arrow.Array, error) {
	if a.Len() == 0 {
		b := array.NewBuilder(memory.DefaultAllocator, a.DataType())
		defer b.Release()
		a = b.NewArray()
	} else {
		a.Retain()
	}
	if c == nil {
		return a, nil
	}
	defer a.Release()
	return c(a)
}

// validity copies the bitmap of an array, so that it begins at its first value;
// nil if no value is null.
func validity(a arrow.Array) *memory.Buffer {
	if a.NullN() == 0 {
		return nil
	}
	bits := make([]byte, bitutil.BytesForBits(int64(a.Len())))
	bitutil.CopyBitmap(a.NullBitmapBytes(), a.Data().Offset(), a.Len(), bits, 0)
	return memory.NewBufferBytes(bits)
}

// build makes an array of buffers, the first of which is the validity of from.
func build(t arrow.DataType, from arrow.Array, children []arrow.ArrayData, buffers ...*memory.Buffer) arrow.Array {
	data := array.NewData(t, from.Len(), append([]*memory.Buffer{validity(from)}, buffers...), children, from.NullN(), 0)
	defer data.Release()
	return array.MakeFromData(data)
}

type fixed interface {
	~int8 | ~int16 | ~int32 | ~int64 | ~uint8 | ~uint16 | ~uint32 | ~uint64 | ~float32 | ~float64
}

// each converts value by value; nulls as well, whatever they hold.
func each[From any, To fixed](t arrow.DataType, a arrow.Array, values []From, f func(From) To) arrow.Array {
	out := make([]To, len(values))
	for i, v := range values {
		out[i] = f(v)
	}
	return build(t, a, nil, memory.NewBufferBytes(arrow.GetBytes(out)))
}

// widened converts numbers to a larger type.
func widened[Array interface{ Values() []From }, From, To fixed](t arrow.DataType) converter {
	return func(a arrow.Array) (arrow.Array, error) {
		return each(t, a, a.(Array).Values(), func(v From) To { return To(v) }), nil
	}
}

func longFromUint64(a arrow.Array) (arrow.Array, error) {
	values := a.(*array.Uint64).Uint64Values()
	for i, v := range values {
		if v > math.MaxInt64 && a.IsValid(i) {
			return nil, refuse(i, "it is above 9223372036854775807, the largest long")
		}
	}
	return retyped(a, arrow.PrimitiveTypes.Int64), nil
}

// retyped returns the same buffers as another type of the same width.
func retyped(a arrow.Array, t arrow.DataType) arrow.Array {
	d := a.Data()
	data := array.NewData(t, d.Len(), d.Buffers(), nil, d.NullN(), d.Offset())
	defer data.Release()
	return array.MakeFromData(data)
}

var decimal20 = &arrow.Decimal128Type{Precision: 20, Scale: 0}

func decimals(t arrow.DataType, a arrow.Array, at func(int) decimal128.Num) arrow.Array {
	out := make([]decimal128.Num, a.Len())
	for i := range out {
		out[i] = at(i)
	}
	return build(t, a, nil, memory.NewBufferBytes(arrow.Decimal128Traits.CastToBytes(out)))
}

func decimalFromUint64(a arrow.Array) (arrow.Array, error) {
	values := a.(*array.Uint64).Uint64Values()
	return decimals(decimal20, a, func(i int) decimal128.Num { return decimal128.FromU64(values[i]) }), nil
}

// decimalFrom checks that values have no more digits than the type says: as
// Parquet they would come out as others.
func decimalFrom(precision int32) converter {
	return func(a arrow.Array) (arrow.Array, error) {
		var at func(int) decimal128.Num
		switch a := a.(type) {
		case *array.Decimal128:
			at = a.Value
		case *array.Decimal32:
			at = func(i int) decimal128.Num { return decimal128.FromI64(int64(a.Value(i))) }
		case *array.Decimal64:
			at = func(i int) decimal128.Num { return decimal128.FromI64(int64(a.Value(i))) }
		}
		for i := range a.Len() {
			if a.IsValid(i) && !at(i).FitsInPrecision(precision) {
				return nil, refuse(i, fmt.Sprintf("it has more than the %d digits of its type; cast it to a larger one in the query", precision))
			}
		}
		if a.DataType().ID() == arrow.DECIMAL128 {
			a.Retain()
			return a, nil
		}
		t := a.DataType().(arrow.DecimalType)
		return decimals(&arrow.Decimal128Type{Precision: precision, Scale: t.GetScale()}, a, at), nil
	}
}

func floatFromHalf(a arrow.Array) (arrow.Array, error) {
	return each(arrow.PrimitiveTypes.Float32, a, a.(*array.Float16).Values(), float16.Num.Float32), nil
}

// timestampFrom returns microseconds. What is finer is cut off, towards the past;
// what is coarser may reach beyond what 64 bits of microseconds hold.
func timestampFrom(unit arrow.TimeUnit) converter {
	return func(a arrow.Array) (arrow.Array, error) {
		values := a.(*array.Timestamp).TimestampValues()
		switch unit {
		case arrow.Microsecond:
			return retyped(a, micros), nil
		case arrow.Nanosecond:
			return each(micros, a, values, func(v arrow.Timestamp) int64 { return arrowfmt.FloorDiv(int64(v), 1000) }), nil
		}
		factor := int64(1000)
		if unit == arrow.Second {
			factor = 1_000_000
		}
		for i, v := range values {
			if (int64(v) > math.MaxInt64/factor || int64(v) < math.MinInt64/factor) && a.IsValid(i) {
				return nil, refuse(i, "it is further away than a timestamp of microseconds reaches")
			}
		}
		return each(micros, a, values, func(v arrow.Timestamp) int64 { return int64(v) * factor }), nil
	}
}

const millisPerDay = 24 * 60 * 60 * 1000

func dateFromMillis(a arrow.Array) (arrow.Array, error) {
	values := a.(*array.Date64).Date64Values()
	for i, v := range values {
		if d := arrowfmt.FloorDiv(int64(v), millisPerDay); int64(int32(d)) != d && a.IsValid(i) {
			return nil, refuse(i, "it is further away than a date reaches")
		}
	}
	days := func(v arrow.Date64) int32 { return int32(arrowfmt.FloorDiv(int64(v), millisPerDay)) }
	return each(arrow.FixedWidthTypes.Date32, a, values, days), nil
}

func longFromDuration(a arrow.Array) (arrow.Array, error) {
	return retyped(a, arrow.PrimitiveTypes.Int64), nil
}

// binaryFromFixed keeps the bytes where they are and adds offsets.
func binaryFromFixed(a arrow.Array) (arrow.Array, error) {
	d := a.Data()
	width := a.DataType().(*arrow.FixedSizeBinaryType).ByteWidth
	if int64(width)*int64(d.Offset()+a.Len()) > math.MaxInt32 {
		return nil, fmt.Errorf("convert %d values of %d bytes: an entry of the log is not that large", a.Len(), width)
	}
	offsets := make([]int32, a.Len()+1)
	for i := range offsets {
		offsets[i] = int32((d.Offset() + i) * width)
	}
	return build(arrow.BinaryTypes.Binary, a, nil, memory.NewBufferBytes(arrow.GetBytes(offsets)), d.Buffers()[1]), nil
}

// copied returns what a builder makes of the values of an array, one by one.
func copied(a arrow.Array, b array.Builder, add func(i int)) arrow.Array {
	defer b.Release()
	b.Reserve(a.Len())
	for i := range a.Len() {
		if a.IsNull(i) {
			b.AppendNull()
		} else {
			add(i)
		}
	}
	return b.NewArray()
}

// textFrom and binaryFrom copy values of the large and the view types.
func textFrom(a arrow.Array) (arrow.Array, error) {
	b, values := array.NewStringBuilder(memory.DefaultAllocator), a.(interface{ Value(int) string })
	text := copied(a, b, func(i int) { b.Append(values.Value(i)) })
	defer text.Release()
	return checkText(text)
}

func binaryFrom(a arrow.Array) (arrow.Array, error) {
	b, values := array.NewBinaryBuilder(memory.DefaultAllocator, arrow.BinaryTypes.Binary), a.(interface{ Value(int) []byte })
	return copied(a, b, func(i int) { b.Append(values.Value(i)) }), nil
}

// checkText looks whether text is UTF-8: all bytes at once, which is fast, and
// then whether a value begins in the middle of a character.
func checkText(a arrow.Array) (arrow.Array, error) {
	text := a.(*array.String)
	bytes, offsets := text.ValueBytes(), text.ValueOffsets()
	fine := utf8.Valid(bytes)
	for i := 0; fine && i < a.Len(); i++ {
		at := int(offsets[i] - offsets[0])
		fine = at == len(bytes) || utf8.RuneStart(bytes[at])
	}
	for i := 0; !fine && i < a.Len(); i++ {
		if a.IsValid(i) && !utf8.ValidString(text.Value(i)) {
			return nil, refuse(i, "it is not valid UTF-8; encode it in the query, or select it as binary")
		}
	}
	a.Retain()
	return a, nil
}

func textOfNull(a arrow.Array) (arrow.Array, error) {
	return array.MakeArrayOfNull(memory.DefaultAllocator, arrow.BinaryTypes.String, a.Len()), nil
}

// asText writes each value as text, intervals without the parts that are zero.
func asText(a arrow.Array) (arrow.Array, error) {
	b, format, text := array.NewStringBuilder(memory.DefaultAllocator), arrowfmt.ShortIntervals.Text(a), []byte(nil)
	return copied(a, b, func(i int) {
		text = format(text[:0], i)
		b.BinaryBuilder.Append(text)
	}), nil
}
