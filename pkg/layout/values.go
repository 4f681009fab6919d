package layout

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/decimal256"
	"github.com/apache/arrow-go/v18/arrow/extensions"
	"github.com/apache/arrow-go/v18/arrow/float16"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// Leaves returns every type that ampipe takes and that holds no others.
func Leaves() []arrow.DataType {
	types := []arrow.DataType{
		arrow.Null, arrow.FixedWidthTypes.Boolean,
		arrow.PrimitiveTypes.Int8, arrow.PrimitiveTypes.Int16, arrow.PrimitiveTypes.Int32, arrow.PrimitiveTypes.Int64,
		arrow.PrimitiveTypes.Uint8, arrow.PrimitiveTypes.Uint16, arrow.PrimitiveTypes.Uint32, arrow.PrimitiveTypes.Uint64,
		arrow.FixedWidthTypes.Float16, arrow.PrimitiveTypes.Float32, arrow.PrimitiveTypes.Float64,
		&arrow.Decimal32Type{Precision: 9, Scale: 3}, &arrow.Decimal64Type{Precision: 18, Scale: 1},
		&arrow.Decimal128Type{Precision: 38}, &arrow.Decimal256Type{Precision: 76, Scale: 2},
		arrow.BinaryTypes.String, arrow.BinaryTypes.LargeString, arrow.BinaryTypes.StringView,
		arrow.BinaryTypes.Binary, arrow.BinaryTypes.LargeBinary, arrow.BinaryTypes.BinaryView,
		&arrow.FixedSizeBinaryType{ByteWidth: 3},
		arrow.FixedWidthTypes.Date32, arrow.FixedWidthTypes.Date64,
		arrow.FixedWidthTypes.Time32s, arrow.FixedWidthTypes.Time32ms, arrow.FixedWidthTypes.Time64us, arrow.FixedWidthTypes.Time64ns,
		arrow.FixedWidthTypes.MonthInterval, arrow.FixedWidthTypes.DayTimeInterval, arrow.FixedWidthTypes.MonthDayNanoInterval,
		&arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Uint8, ValueType: arrow.BinaryTypes.String},
		extensions.NewUUIDType(),
	}
	for _, unit := range []arrow.TimeUnit{arrow.Second, arrow.Millisecond, arrow.Microsecond, arrow.Nanosecond} {
		types = append(types,
			&arrow.TimestampType{Unit: unit}, &arrow.TimestampType{Unit: unit, TimeZone: "UTC"}, &arrow.DurationType{Unit: unit})
	}
	return types
}

var texts = []string{"", "a", "twelve bytes", "longer than twelve bytes", "ä€😀"}

// appendLeaf appends the i-th value of a leaf type.
func appendLeaf(b array.Builder, i int) {
	n, text := int64(i)*7+1, texts[i%len(texts)]
	switch b := b.(type) {
	case *array.NullBuilder:
		b.AppendNull()
	case *array.BooleanBuilder:
		b.Append(i%3 == 0)
	case *array.Int8Builder:
		b.Append(-int8(n))
	case *array.Int16Builder:
		b.Append(-int16(n))
	case *array.Int32Builder:
		b.Append(-int32(n))
	case *array.Int64Builder:
		b.Append(-n)
	case *array.Uint8Builder:
		b.Append(uint8(n))
	case *array.Uint16Builder:
		b.Append(uint16(n))
	case *array.Uint32Builder:
		b.Append(uint32(n))
	case *array.Uint64Builder:
		b.Append(uint64(n))
	case *array.Float16Builder:
		b.Append(float16.New(float32(n) / 2))
	case *array.Float32Builder:
		b.Append(float32(n) / 4)
	case *array.Float64Builder:
		b.Append(float64(n) / 8)
	case *array.Decimal32Builder:
		b.Append(decimal.Decimal32(n))
	case *array.Decimal64Builder:
		b.Append(decimal.Decimal64(-n))
	case *array.Decimal128Builder:
		b.Append(decimal128.FromI64(-n))
	case *array.Decimal256Builder:
		b.Append(decimal256.FromI64(n))
	case *array.StringBuilder:
		b.Append(text)
	case *array.LargeStringBuilder:
		b.Append(text)
	case *array.StringViewBuilder:
		b.Append(text)
	case *array.BinaryBuilder:
		b.Append([]byte(text))
	case *array.BinaryViewBuilder:
		b.Append([]byte(text))
	case *array.FixedSizeBinaryBuilder:
		width := b.Type().(*arrow.FixedSizeBinaryType).ByteWidth
		b.Append([]byte(fmt.Sprintf("%016x", n))[16-width:])
	case *array.BinaryDictionaryBuilder:
		if err := b.AppendString(text); err != nil {
			panic(err)
		}
	case *array.ExtensionBuilder:
		appendLeaf(b.StorageBuilder(), i)
	case *extensions.UUIDBuilder:
		b.AppendBytes([16]byte([]byte(fmt.Sprintf("%016x", n))))
	default:
		appendMoment(b, n)
	}
}

func appendMoment(b array.Builder, n int64) {
	switch b := b.(type) {
	case *array.Date32Builder:
		b.Append(arrow.Date32(n))
	case *array.Date64Builder:
		b.Append(arrow.Date64(n * 24 * 60 * 60 * 1000))
	case *array.Time32Builder:
		b.Append(arrow.Time32(n))
	case *array.Time64Builder:
		b.Append(arrow.Time64(n))
	case *array.TimestampBuilder:
		b.Append(arrow.Timestamp(n))
	case *array.DurationBuilder:
		b.Append(arrow.Duration(n))
	case *array.MonthIntervalBuilder:
		b.Append(arrow.MonthInterval(n))
	case *array.DayTimeIntervalBuilder:
		b.Append(arrow.DayTimeInterval{Days: int32(n), Milliseconds: int32(n)})
	case *array.MonthDayNanoIntervalBuilder:
		b.Append(arrow.MonthDayNanoInterval{Months: 1, Days: int32(n), Nanoseconds: n * 1000})
	default:
		panic(fmt.Sprintf("layout: no values of the type %s", b.Type()))
	}
}

// Values of lists and of maps; those of structs are []any.
type (
	listed []any
	pairs  []any // the key of the i-th is keyOf(i)
)

func keyOf(i int) string { return fmt.Sprintf("k%d", i) }

// appendTo appends a value: nil for null, an int for a leaf's.
func appendTo(b array.Builder, v any) {
	switch v := v.(type) {
	case nil:
		b.AppendNull()
	case int:
		appendLeaf(b, v)
	case []any:
		s := b.(*array.StructBuilder)
		s.Append(true)
		for i, field := range v {
			appendTo(s.FieldBuilder(i), field)
		}
	case pairs:
		m := b.(*array.MapBuilder)
		m.Append(true)
		for i, item := range v {
			m.KeyBuilder().(*array.StringBuilder).Append(keyOf(i))
			appendTo(m.ItemBuilder(), item)
		}
	case listed:
		switch l := b.(type) {
		case *array.ListViewBuilder:
			l.AppendWithSize(true, len(v))
		case *array.LargeListViewBuilder:
			l.AppendWithSize(true, len(v))
		default:
			l.(interface{ Append(bool) }).Append(true)
		}
		for _, element := range v {
			appendTo(b.(array.ListLikeBuilder).ValueBuilder(), element)
		}
	}
}

// plain builds an array of values in the ordinary way.
func plain(t arrow.DataType, values []any) arrow.Array {
	b := array.NewBuilder(memory.DefaultAllocator, t)
	defer b.Release()
	for _, v := range values {
		appendTo(b, v)
	}
	return b.NewArray()
}
