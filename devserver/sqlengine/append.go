package sqlengine

import (
	"fmt"
	"math/big"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/duckdb/duckdb-go/v2"
)

// appendValue puts what DuckDB answered into a column of Amp's type. A value
// that the type cannot hold is an error, never a change of the value.
func appendValue(to array.Builder, value any) error {
	if value == nil {
		to.AppendNull()
		return nil
	}
	switch b := to.(type) {
	case *array.BooleanBuilder:
		return appendAs(b, value)
	case *array.StringBuilder:
		return appendAs(b, value)
	case *array.BinaryBuilder:
		return appendAs(b, value)
	case *array.Int32Builder:
		return appendInteger(b, value)
	case *array.Int64Builder:
		return appendInteger(b, value)
	case *array.Uint32Builder:
		return appendInteger(b, value)
	case *array.Uint64Builder:
		return appendInteger(b, value)
	case *array.Float32Builder:
		return appendFloat(b, value)
	case *array.Float64Builder:
		return appendFloat(b, value)
	case *array.FixedSizeBinaryBuilder:
		if v, is := value.([]byte); is && len(v) == b.Type().(*arrow.FixedSizeBinaryType).ByteWidth {
			b.Append(v)
			return nil
		}
	case *array.Decimal128Builder:
		return appendDecimal(b, value)
	case *array.TimestampBuilder:
		if v, is := value.(time.Time); is {
			at, err := arrow.TimestampFromTime(v, b.Type().(*arrow.TimestampType).Unit)
			if err == nil {
				b.Append(at)
			}
			return err
		}
	case *array.Date32Builder:
		if v, is := value.(time.Time); is {
			b.Append(arrow.Date32FromTime(v))
			return nil
		}
	case *array.Time64Builder:
		if v, is := value.(time.Time); is {
			b.Append(arrow.Time64(v.Sub(v.Truncate(24 * time.Hour))))
			return nil
		}
	case *array.MonthDayNanoIntervalBuilder:
		if v, is := value.(duckdb.Interval); is {
			b.Append(arrow.MonthDayNanoInterval{Months: v.Months, Days: v.Days, Nanoseconds: v.Micros * 1000})
			return nil
		}
	case *array.MapBuilder:
		return appendMap(b, value)
	case *array.StructBuilder:
		return appendStruct(b, value)
	case array.ListLikeBuilder:
		return appendList(b, value)
	default:
		if s, is := value.(string); is { // other layouts of text
			return to.AppendValueFromString(s)
		}
		return appendNumber(to, value)
	}
	return misfit(to, value)
}

func misfit(to array.Builder, value any) error {
	return fmt.Errorf("the value %v (%T) does not fit a column of type %s", value, value, to.Type())
}

// builder is a builder of values of type T.
type builder[T any] interface {
	array.Builder
	Append(T)
}

func appendAs[T any](b builder[T], value any) error {
	v, is := value.(T)
	if !is {
		return misfit(b, value)
	}
	b.Append(v)
	return nil
}

func appendInteger[T int32 | int64 | uint32 | uint64](b builder[T], value any) error {
	if v, is := value.(T); is {
		b.Append(v)
		return nil
	}
	return appendNumber(b, value)
}

// appendNumber appends any of the driver's numbers that a column of integers can hold.
func appendNumber(to array.Builder, value any) error {
	v, is := integer(value)
	if !is || to.AppendValueFromString(v.String()) != nil {
		return misfit(to, value)
	}
	return nil
}

func appendFloat[T float32 | float64](b builder[T], value any) error {
	switch v := value.(type) {
	case float32:
		b.Append(T(v))
	case float64:
		b.Append(T(v))
	case duckdb.Decimal:
		b.Append(T(v.Float64()))
	default:
		return misfit(b, value)
	}
	return nil
}

// appendDecimal brings a number to the scale of the column, exactly.
func appendDecimal(b *array.Decimal128Builder, value any) error {
	t := b.Type().(*arrow.Decimal128Type)
	unscaled, scale := (*big.Int)(nil), int32(0)
	if v, is := value.(duckdb.Decimal); is {
		unscaled, scale = v.Value, int32(v.Scale)
	} else if v, is := integer(value); is {
		unscaled = v
	}
	if unscaled == nil || unscaled.BitLen() > 127 {
		return misfit(b, value)
	}
	v, err := decimal128.FromBigInt(unscaled).Rescale(scale, t.Scale)
	if err != nil || !v.FitsInPrecision(t.Precision) {
		return misfit(b, value)
	}
	b.Append(v)
	return nil
}

func appendList(b array.ListLikeBuilder, value any) error {
	list, is := value.([]any)
	if !is {
		return misfit(b, value)
	}
	if t, fixed := b.Type().(*arrow.FixedSizeListType); fixed && len(list) != int(t.Len()) {
		return misfit(b, value)
	}
	b.Append(true)
	for _, item := range list {
		if err := appendValue(b.ValueBuilder(), item); err != nil {
			return err
		}
	}
	return nil
}

func appendStruct(b *array.StructBuilder, value any) error {
	fields, is := value.(map[string]any)
	if !is {
		return misfit(b, value)
	}
	b.Append(true)
	for i, f := range b.Type().(*arrow.StructType).Fields() {
		if err := appendValue(b.FieldBuilder(i), fields[f.Name]); err != nil {
			return err
		}
	}
	return nil
}

func appendMap(b *array.MapBuilder, value any) error {
	entries, is := value.(duckdb.OrderedMap)
	if !is {
		return misfit(b, value)
	}
	b.Append(true)
	for i, key := range entries.Keys() {
		if err := appendValue(b.KeyBuilder(), key); err != nil {
			return err
		}
		if err := appendValue(b.ItemBuilder(), entries.Values()[i]); err != nil {
			return err
		}
	}
	return nil
}
