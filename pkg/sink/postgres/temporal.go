package postgres

import (
	"math"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/ampipe/ampipe/pkg/arrowfmt"
)

// PostgreSQL counts from the year 2000, in microseconds or days. What Arrow
// has finer than that is cut off towards the past, so that order is kept.
const (
	epochDays    = 10957 // 1970-01-01 to 2000-01-01
	epochSeconds = epochDays * 86400

	// The first and last values that PostgreSQL takes, 4713 BC to AD 294276 and
	// AD 5874897, from its own epoch.
	minMicros = -211813488000000000
	maxMicros = 9223371331200000000 - 1
	minDay    = -2451545
	maxDay    = 2145031949 - 1

	secondsPerDay = 86400
)

const (
	dateOutside = "the date lies outside 4713 BC to AD 5874897, which is all that a date of PostgreSQL holds; " +
		"filter such rows out in the query"
	timeOutside = "the time of day lies outside 00:00 to 24:00; filter such rows out in the query"
	tsOutside   = "the timestamp lies outside 4713 BC to AD 294276, which is all that a timestamp of PostgreSQL holds; " +
		"filter such rows out in the query"
)

// scale turns counts of a unit into microseconds.
type scale struct{ times, by int64 }

func scaleOf(u arrow.TimeUnit) scale {
	per := arrowfmt.PerSecond(u)
	if per <= 1e6 {
		return scale{1e6 / per, 1}
	}
	return scale{1, per / 1e6}
}

// timestamps are the values of a Timestamp column of any unit.
type timestamps struct {
	validity
	values []arrow.Timestamp
	epoch  int64 // of PostgreSQL, in the unit
	scale
	low, high arrow.Timestamp // what PostgreSQL takes, in the unit
}

func bindTimestamp(dt *arrow.TimestampType) func(arrow.Array) cells {
	per, s := arrowfmt.PerSecond(dt.Unit), scaleOf(dt.Unit)
	t := timestamps{epoch: epochSeconds * per, scale: s}
	t.low, t.high = timestampBounds(dt.Unit)
	return func(arr arrow.Array) cells {
		bound := t
		bound.validity, bound.values = validityOf(arr), valuesOf[arrow.Timestamp](arr)
		return &bound
	}
}

// timestampBounds returns the first and last count of a unit, from 1970, that
// PostgreSQL takes.
func timestampBounds(u arrow.TimeUnit) (low, high arrow.Timestamp) {
	switch u {
	case arrow.Second, arrow.Millisecond:
		s, epoch := scaleOf(u), epochSeconds*arrowfmt.PerSecond(u)
		return arrow.Timestamp(minMicros/s.times + epoch), arrow.Timestamp(arrowfmt.FloorDiv(maxMicros, s.times) + epoch)
	case arrow.Microsecond:
		return minMicros + epochSeconds*1e6, math.MaxInt64
	default:
		return math.MinInt64, math.MaxInt64
	}
}

func (c *timestamps) append(dst []byte, i int) []byte {
	if c.null(i) {
		return appendNull(dst)
	}
	v := int64(c.values[i])
	if c.by > 1 {
		return appendInt8(dst, uint64(arrowfmt.FloorDiv(v, c.by)-epochSeconds*1e6))
	}
	return appendInt8(dst, uint64((v-c.epoch)*c.times))
}

func (c *timestamps) invalid(from, to int) (int, string) {
	if c.by > 1 { // 64 bits of nanoseconds end in the year 2262
		return -1, ""
	}
	for i := from; i < to; i++ {
		if v := c.values[i]; (v < c.low || v > c.high) && !c.null(i) {
			return i, tsOutside
		}
	}
	return -1, ""
}

// dates are the values of a Date32 (days) or Date64 (milliseconds) column.
type dates[T arrow.Date32 | arrow.Date64] struct {
	validity
	values []T
	unit   int64 // of the values in a day
}

func bindDate(dt arrow.DataType) func(arrow.Array) cells {
	if dt.ID() == arrow.DATE32 {
		return func(arr arrow.Array) cells {
			return &dates[arrow.Date32]{validityOf(arr), valuesOf[arrow.Date32](arr), 1}
		}
	}
	return func(arr arrow.Array) cells {
		return &dates[arrow.Date64]{validityOf(arr), valuesOf[arrow.Date64](arr), secondsPerDay * 1e3}
	}
}

func (c *dates[T]) day(i int) int64 { return arrowfmt.FloorDiv(int64(c.values[i]), c.unit) - epochDays }

func (c *dates[T]) append(dst []byte, i int) []byte {
	if c.null(i) {
		return appendNull(dst)
	}
	return appendInt4(dst, uint32(int32(c.day(i))))
}

func (c *dates[T]) invalid(from, to int) (int, string) {
	for i := from; i < to; i++ {
		if d := c.day(i); (d < minDay || d > maxDay) && !c.null(i) {
			return i, dateOutside
		}
	}
	return -1, ""
}

// times are the values of a Time32 or Time64 column.
type times[T arrow.Time32 | arrow.Time64] struct {
	validity
	values []T
	scale
	day int64 // in the unit
}

func bindTime(dt arrow.DataType) func(arrow.Array) cells {
	unit := dt.(arrow.TemporalWithUnit).TimeUnit()
	s, day := scaleOf(unit), secondsPerDay*arrowfmt.PerSecond(unit)
	if dt.ID() == arrow.TIME32 {
		return func(arr arrow.Array) cells {
			return &times[arrow.Time32]{validityOf(arr), valuesOf[arrow.Time32](arr), s, day}
		}
	}
	return func(arr arrow.Array) cells {
		return &times[arrow.Time64]{validityOf(arr), valuesOf[arrow.Time64](arr), s, day}
	}
}

func (c *times[T]) append(dst []byte, i int) []byte {
	if c.null(i) {
		return appendNull(dst)
	}
	return appendInt8(dst, uint64(int64(c.values[i])*c.times/c.by))
}

func (c *times[T]) invalid(from, to int) (int, string) {
	for i := from; i < to; i++ {
		if v := int64(c.values[i]); (v < 0 || v > c.day) && !c.null(i) {
			return i, timeOutside
		}
	}
	return -1, ""
}
