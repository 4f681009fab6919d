package arrowfmt

import (
	"fmt"
	"strconv"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// moments appends times and durations in ISO 8601, to the last nanosecond.
func (o Options) moments(arr arrow.Array) Append {
	switch a := arr.(type) {
	case *array.Timestamp:
		return timestamps(a.Values(), a.DataType().(*arrow.TimestampType))
	case *array.Date32:
		return dates(a.Values(), 1)
	case *array.Date64:
		return dates(a.Values(), secondsPerDay*1e3)
	case *array.Time32:
		return clocks(a.Values(), a.DataType().(*arrow.Time32Type).Unit)
	case *array.Time64:
		return clocks(a.Values(), a.DataType().(*arrow.Time64Type).Unit)
	case *array.Duration:
		values, per := a.Values(), PerSecond(a.DataType().(*arrow.DurationType).Unit)
		return func(dst []byte, i int) []byte { return AppendSeconds(append(dst, "PT"...), int64(values[i]), per) }
	default:
		return o.intervals(arr)
	}
}

func timestamps(values []arrow.Timestamp, dt *arrow.TimestampType) Append {
	per, local := PerSecond(dt.Unit), dt.TimeZone == ""
	return func(dst []byte, i int) []byte {
		seconds := FloorDiv(int64(values[i]), per)
		nanos := (int64(values[i]) - seconds*per) * (1e9 / per)
		dst = time.Unix(seconds, nanos).UTC().AppendFormat(dst, time.RFC3339Nano) // other layouts are read each time
		if local {
			dst = dst[:len(dst)-len("Z")]
		}
		return dst
	}
}

func dates[T arrow.Date32 | arrow.Date64](values []T, perDay int64) Append {
	return func(dst []byte, i int) []byte {
		return time.Unix(FloorDiv(int64(values[i]), perDay)*secondsPerDay, 0).UTC().AppendFormat(dst, time.DateOnly)
	}
}

// clocks appends times of day. One outside of a day has no text that means anything, and
// yet always the same one: a table may hold it.
func clocks[T arrow.Time32 | arrow.Time64](values []T, unit arrow.TimeUnit) Append {
	nanos := 1e9 / PerSecond(unit)
	return func(dst []byte, i int) []byte {
		seconds, rest := int64(values[i])*nanos/1e9, int64(values[i])*nanos%1e9
		dst = appendPadded(dst, seconds/3600, 2)
		dst = appendPadded(append(dst, ':'), seconds/60%60, 2)
		dst = appendPadded(append(dst, ':'), seconds%60, 2)
		if rest == 0 {
			return dst
		}
		dst = appendPadded(append(dst, '.'), rest, 9)
		for dst[len(dst)-1] == '0' {
			dst = dst[:len(dst)-1]
		}
		return dst
	}
}

// appendPadded appends a number with zeros in front, as "%0*d" does.
func appendPadded(dst []byte, v int64, width int) []byte {
	if v < 0 {
		dst, v = append(dst, '-'), -v
		width--
	}
	least := int64(1)
	for range width - 1 {
		least *= 10
	}
	for ; v < least && least > 1; least /= 10 {
		dst = append(dst, '0')
	}
	return strconv.AppendInt(dst, v, 10)
}

// kept are the parts of an interval that are written although they are zero.
type kept struct{ months, days, seconds bool }

func (o Options) intervals(arr arrow.Array) Append {
	long := !o.has(ShortIntervals)
	switch a := arr.(type) {
	case *array.MonthInterval:
		always := kept{months: long}
		return func(dst []byte, i int) []byte { return appendInterval(dst, int32(a.Value(i)), 0, 0, 1, always) }
	case *array.DayTimeInterval:
		always := kept{days: long, seconds: long}
		return func(dst []byte, i int) []byte {
			v := a.Value(i)
			return appendInterval(dst, 0, v.Days, int64(v.Milliseconds), 1e3, always)
		}
	case *array.MonthDayNanoInterval:
		always := kept{long, long, long}
		return func(dst []byte, i int) []byte {
			v := a.Value(i)
			return appendInterval(dst, v.Months, v.Days, v.Nanoseconds, 1e9, always)
		}
	default:
		panic(fmt.Sprintf("arrowfmt: the type %s has no text", arr.DataType())) // types are checked when a destination is opened
	}
}

// appendInterval appends P1M2DT3.5S. Each part has a sign of its own.
func appendInterval(dst []byte, months, days int32, rest, per int64, always kept) []byte {
	dst = append(dst, 'P')
	if months != 0 || always.months {
		dst = append(strconv.AppendInt(dst, int64(months), 10), 'M')
	}
	if days != 0 || always.days {
		dst = append(strconv.AppendInt(dst, int64(days), 10), 'D')
	}
	if rest != 0 || always.seconds || dst[len(dst)-1] == 'P' {
		dst = AppendSeconds(append(dst, 'T'), rest, per)
	}
	return dst
}
