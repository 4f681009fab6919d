package postgres

import (
	"math"
	"strconv"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/float16"

	"github.com/ampipe/ampipe/pkg/sink/decimals"
)

// jsonScalar writes values that hold no others. Its checks are those of a column of
// the same type.
type jsonScalar struct {
	validity
	cells cells
	print func(dst []byte, i int) []byte
}

func (l *jsonScalar) appendJSON(dst []byte, i int) []byte {
	if l.null(i) {
		return append(dst, "null"...)
	}
	return l.print(dst, i)
}

func (l *jsonScalar) invalidJSON(i int) string {
	_, reason := l.cells.invalid(i, i+1)
	return reason
}

func jsonScalarOf(arr arrow.Array) node {
	dt := arr.DataType()
	_, bind, err := mapping(dt)
	if err != nil {
		panic(err) // the schema was checked when the table was opened
	}
	l := &jsonScalar{validityOf(arr), nothing{}, printer(arr, dt)}
	if !trusted(dt) {
		l.cells = bind(arr)
	}
	return l
}

// printer returns what writes one value that is not NULL.
func printer(arr arrow.Array, dt arrow.DataType) func(dst []byte, i int) []byte {
	switch a := arr.(type) {
	case *array.Null:
		return func(dst []byte, _ int) []byte { return append(dst, "null"...) }
	case *array.Boolean:
		return func(dst []byte, i int) []byte { return strconv.AppendBool(dst, a.Value(i)) }
	case *array.Int8:
		return printSigned[int8](arr)
	case *array.Int16:
		return printSigned[int16](arr)
	case *array.Int32:
		return printSigned[int32](arr)
	case *array.Int64:
		return printSigned[int64](arr)
	case *array.Uint8:
		return printUnsigned[uint8](arr)
	case *array.Uint16:
		return printUnsigned[uint16](arr)
	case *array.Uint32:
		return printUnsigned[uint32](arr)
	case *array.Uint64:
		return printUnsigned[uint64](arr)
	case *array.Float16:
		values := valuesOf[float16.Num](arr)
		return func(dst []byte, i int) []byte { return appendFloat(dst, float64(values[i].Float32()), 32) }
	case *array.Float32:
		values := valuesOf[float32](arr)
		return func(dst []byte, i int) []byte { return appendFloat(dst, float64(values[i]), 32) }
	case *array.Float64:
		values := valuesOf[float64](arr)
		return func(dst []byte, i int) []byte { return appendFloat(dst, values[i], 64) }
	case *array.Decimal32, *array.Decimal64, *array.Decimal128, *array.Decimal256:
		return decimals.Printer(arr)
	case *array.String, *array.LargeString, *array.StringView:
		values := blobsOf(arr)
		return func(dst []byte, i int) []byte { return appendQuoted(dst, values.value(i)) }
	case *array.Binary, *array.LargeBinary, *array.BinaryView, *array.FixedSizeBinary:
		values := blobsOf(arr)
		return func(dst []byte, i int) []byte { return append(appendHex(append(dst, '"'), values.value(i)), '"') }
	default:
		return inQuotes(temporalPrinter(arr, dt))
	}
}

func inQuotes(print func(dst []byte, i int) []byte) func(dst []byte, i int) []byte {
	return func(dst []byte, i int) []byte { return append(print(append(dst, '"'), i), '"') }
}

func printSigned[T int8 | int16 | int32 | int64](arr arrow.Array) func(dst []byte, i int) []byte {
	values := valuesOf[T](arr)
	return func(dst []byte, i int) []byte { return strconv.AppendInt(dst, int64(values[i]), 10) }
}

func printUnsigned[T uint8 | uint16 | uint32 | uint64](arr arrow.Array) func(dst []byte, i int) []byte {
	values := valuesOf[T](arr)
	return func(dst []byte, i int) []byte { return strconv.AppendUint(dst, uint64(values[i]), 10) }
}

// appendFloat writes the shortest digits that give the same float again. JSON
// has no NaN and no infinities: they are texts, spelled as PostgreSQL spells
// them. Its numbers have no exponent, and its zero has no sign.
func appendFloat(dst []byte, v float64, bits int) []byte {
	switch {
	case math.IsNaN(v):
		return append(dst, `"NaN"`...)
	case math.IsInf(v, 1):
		return append(dst, `"Infinity"`...)
	case math.IsInf(v, -1):
		return append(dst, `"-Infinity"`...)
	case v == 0:
		return append(dst, '0')
	default:
		return strconv.AppendFloat(dst, v, 'f', -1, bits)
	}
}

// keyText returns the keys of a map as they are.
func keyText(keys arrow.Array) func(dst []byte, k int) []byte {
	switch a := keys.(type) {
	case *array.Dictionary:
		text := keyText(a.Dictionary())
		return func(dst []byte, k int) []byte { return text(dst, a.GetValueIndex(k)) }
	case array.ExtensionArray:
		return keyText(a.Storage())
	default:
		values := blobsOf(keys)
		return func(dst []byte, k int) []byte { return append(dst, values.value(k)...) }
	}
}

// temporalPrinter writes ISO 8601, to the last nanosecond.
func temporalPrinter(arr arrow.Array, dt arrow.DataType) func(dst []byte, i int) []byte {
	switch dt := dt.(type) {
	case *arrow.TimestampType:
		values, per, layout := valuesOf[arrow.Timestamp](arr), perSecond(dt.Unit), "2006-01-02T15:04:05.999999999"
		if dt.TimeZone != "" {
			layout += "Z"
		}
		return func(dst []byte, i int) []byte {
			seconds := floorDiv(int64(values[i]), per)
			nanos := (int64(values[i]) - seconds*per) * (1e9 / per)
			return time.Unix(seconds, nanos).UTC().AppendFormat(dst, layout)
		}
	case *arrow.Date32Type:
		return printDate(valuesOf[arrow.Date32](arr), 1)
	case *arrow.Date64Type:
		return printDate(valuesOf[arrow.Date64](arr), secondsPerDay*1e3)
	case *arrow.Time32Type:
		return printTime(valuesOf[arrow.Time32](arr), dt.Unit)
	case *arrow.Time64Type:
		return printTime(valuesOf[arrow.Time64](arr), dt.Unit)
	case *arrow.DurationType:
		values, per := valuesOf[arrow.Duration](arr), perSecond(dt.Unit)
		return func(dst []byte, i int) []byte {
			return decimals.AppendSeconds(append(dst, "PT"...), int64(values[i]), per)
		}
	case *arrow.MonthIntervalType:
		values := valuesOf[arrow.MonthInterval](arr)
		return func(dst []byte, i int) []byte {
			return append(strconv.AppendInt(append(dst, 'P'), int64(values[i]), 10), 'M')
		}
	case *arrow.DayTimeIntervalType:
		values := arr.(*array.DayTimeInterval).DayTimeIntervalValues()
		return func(dst []byte, i int) []byte {
			dst = strconv.AppendInt(append(dst, 'P'), int64(values[i].Days), 10)
			return decimals.AppendSeconds(append(dst, "DT"...), int64(values[i].Milliseconds), 1e3)
		}
	default:
		values := arr.(*array.MonthDayNanoInterval).MonthDayNanoIntervalValues()
		return func(dst []byte, i int) []byte {
			dst = strconv.AppendInt(append(dst, 'P'), int64(values[i].Months), 10)
			dst = strconv.AppendInt(append(dst, 'M'), int64(values[i].Days), 10)
			return decimals.AppendSeconds(append(dst, "DT"...), values[i].Nanoseconds, 1e9)
		}
	}
}

func printDate[T arrow.Date32 | arrow.Date64](values []T, perDay int64) func(dst []byte, i int) []byte {
	return func(dst []byte, i int) []byte {
		return time.Unix(floorDiv(int64(values[i]), perDay)*secondsPerDay, 0).UTC().AppendFormat(dst, time.DateOnly)
	}
}

func printTime[T arrow.Time32 | arrow.Time64](values []T, unit arrow.TimeUnit) func(dst []byte, i int) []byte {
	per := perSecond(unit)
	return func(dst []byte, i int) []byte {
		seconds := int64(values[i]) / per
		for n, part := range [3]int64{seconds / 3600, seconds / 60 % 60, seconds % 60} {
			if n > 0 {
				dst = append(dst, ':')
			}
			dst = append(dst, '0'+byte(part/10), '0'+byte(part%10))
		}
		return decimals.AppendFraction(dst, uint64(int64(values[i])%per), uint64(per))
	}
}
