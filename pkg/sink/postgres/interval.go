package postgres

import (
	"math"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

const durationOutside = "the duration is longer than an interval of PostgreSQL, 292471 years; filter such rows out in the query"

// appendInterval writes months, days and microseconds, which PostgreSQL keeps
// apart as Arrow does.
func appendInterval(dst []byte, months, days int32, micros int64) []byte {
	dst = append(dst, 0, 0, 0, 16,
		byte(micros>>56), byte(micros>>48), byte(micros>>40), byte(micros>>32),
		byte(micros>>24), byte(micros>>16), byte(micros>>8), byte(micros))
	dst = append(dst, byte(days>>24), byte(days>>16), byte(days>>8), byte(days))
	return append(dst, byte(months>>24), byte(months>>16), byte(months>>8), byte(months))
}

type (
	durations struct {
		validity
		values []arrow.Duration
		scale
	}
	months struct {
		alwaysValid
		validity
		values []arrow.MonthInterval
	}
	dayTimes struct {
		alwaysValid
		validity
		values []arrow.DayTimeInterval
	}
	monthDayNanos struct {
		alwaysValid
		validity
		values []arrow.MonthDayNanoInterval
	}
)

func bindInterval(dt arrow.DataType) func(arrow.Array) cells {
	switch dt := dt.(type) {
	case *arrow.DurationType:
		return func(arr arrow.Array) cells {
			return &durations{validityOf(arr), valuesOf[arrow.Duration](arr), scaleOf(dt.Unit)}
		}
	case *arrow.MonthIntervalType:
		return func(arr arrow.Array) cells {
			return &months{validity: validityOf(arr), values: valuesOf[arrow.MonthInterval](arr)}
		}
	case *arrow.DayTimeIntervalType:
		return func(arr arrow.Array) cells {
			return &dayTimes{validity: validityOf(arr), values: arr.(*array.DayTimeInterval).DayTimeIntervalValues()}
		}
	default:
		return func(arr arrow.Array) cells {
			return &monthDayNanos{validity: validityOf(arr), values: arr.(*array.MonthDayNanoInterval).MonthDayNanoIntervalValues()}
		}
	}
}

// append cuts nanoseconds off towards zero: a duration has no past.
func (c *durations) append(dst []byte, i int) []byte {
	if c.null(i) {
		return appendNull(dst)
	}
	return appendInterval(dst, 0, 0, int64(c.values[i])*c.times/c.by)
}

func (c *durations) invalid(from, to int) (int, string) {
	limit := arrow.Duration(math.MaxInt64 / c.times)
	for i := from; i < to; i++ {
		if v := c.values[i]; (v > limit || v < -limit) && c.times > 1 && !c.null(i) {
			return i, durationOutside
		}
	}
	return -1, ""
}

func (c *months) append(dst []byte, i int) []byte {
	if c.null(i) {
		return appendNull(dst)
	}
	return appendInterval(dst, int32(c.values[i]), 0, 0)
}

func (c *dayTimes) append(dst []byte, i int) []byte {
	if c.null(i) {
		return appendNull(dst)
	}
	return appendInterval(dst, 0, c.values[i].Days, int64(c.values[i].Milliseconds)*1e3)
}

func (c *monthDayNanos) append(dst []byte, i int) []byte {
	if c.null(i) {
		return appendNull(dst)
	}
	v := c.values[i]
	return appendInterval(dst, v.Months, v.Days, v.Nanoseconds/1e3)
}
