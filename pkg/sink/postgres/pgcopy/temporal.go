package pgcopy

import (
	"encoding/binary"
	"math"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

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
	durationOutside = "the duration is longer than an interval of PostgreSQL, 292471 years; filter such rows out in the query"
)

// scaleOf returns what turns counts of a unit into microseconds.
func scaleOf(u arrow.TimeUnit) (times, by int64) {
	per := arrowfmt.PerSecond(u)
	if per <= 1e6 {
		return 1e6 / per, 1
	}
	return 1, per / 1e6
}

func bindTimestamp(dt *arrow.TimestampType) Bind {
	times, by := scaleOf(dt.Unit)
	epoch := epochSeconds * arrowfmt.PerSecond(dt.Unit)
	// The first and last count from 1970 that PostgreSQL takes. 64 bits of microseconds end
	// before, and of nanoseconds in the year 2262.
	low, high := arrow.Timestamp(minMicros/times+epoch), arrow.Timestamp(math.MaxInt64)
	if times > 1 {
		high = arrow.Timestamp(maxMicros/times + epoch)
	}
	return func(arr arrow.Array) Values {
		values := valuesOf[arrow.Timestamp](arr)
		v := Values{nulls: arrowfmt.NullsOf(arr)}
		if by > 1 {
			v.append = func(dst []byte, i int) []byte {
				return appendInt8(dst, uint64(arrowfmt.FloorDiv(int64(values[i]), by)-epochSeconds*1e6))
			}
			return v
		}
		v.append = func(dst []byte, i int) []byte { return appendInt8(dst, uint64((int64(values[i])-epoch)*times)) }
		bounded(&v, values, low, high, tsOutside)
		return v
	}
}

// bindDate is for Date32 (days) and Date64 (milliseconds); unit is how many are a day.
func bindDate[T arrow.Date32 | arrow.Date64](unit int64) Bind {
	return func(arr arrow.Array) Values {
		values := valuesOf[T](arr)
		v := Values{nulls: arrowfmt.NullsOf(arr)}
		v.append = func(dst []byte, i int) []byte {
			return appendInt4(dst, uint32(arrowfmt.FloorDiv(int64(values[i]), unit)-epochDays))
		}
		bounded(&v, values, T((minDay+epochDays)*unit), T((maxDay+epochDays+1)*unit-1), dateOutside)
		return v
	}
}

func bindTime(dt arrow.DataType) Bind {
	unit := dt.(arrow.TemporalWithUnit).TimeUnit()
	if dt.ID() == arrow.TIME32 {
		return bindTimes[arrow.Time32](unit)
	}
	return bindTimes[arrow.Time64](unit)
}

func bindTimes[T arrow.Time32 | arrow.Time64](unit arrow.TimeUnit) Bind {
	times, by := scaleOf(unit)
	return func(arr arrow.Array) Values {
		values := valuesOf[T](arr)
		v := Values{nulls: arrowfmt.NullsOf(arr), append: func(dst []byte, i int) []byte {
			return appendInt8(dst, uint64(int64(values[i])*times/by))
		}}
		bounded(&v, values, 0, T(secondsPerDay*arrowfmt.PerSecond(unit)), timeOutside)
		return v
	}
}

// steps writes times, or timestamps, that are so many microseconds apart: their last
// digits are cut off, towards the past.
func steps(bind Bind, step int64) Bind {
	return func(arr arrow.Array) Values {
		v := bind(arr)
		exact := v.append
		v.append = func(dst []byte, i int) []byte {
			dst = exact(dst, i)
			micros := dst[len(dst)-8:]
			binary.BigEndian.PutUint64(micros, uint64(arrowfmt.FloorDiv(int64(binary.BigEndian.Uint64(micros)), step)*step))
			return dst
		}
		return v
	}
}

// bindInterval is for durations and the three kinds of intervals.
func bindInterval(arr arrow.Array) Values {
	v := Values{nulls: arrowfmt.NullsOf(arr)}
	switch a := arr.(type) {
	case *array.Duration:
		values := a.Values()
		times, by := scaleOf(a.DataType().(*arrow.DurationType).Unit)
		v.append = func(dst []byte, i int) []byte { // cuts off towards zero: a duration has no past
			return appendInterval(dst, 0, 0, int64(values[i])*times/by)
		}
		if times > 1 {
			limit := arrow.Duration(math.MaxInt64 / times)
			bounded(&v, values, -limit, limit, durationOutside)
		}
	case *array.MonthInterval:
		v.append = func(dst []byte, i int) []byte { return appendInterval(dst, int32(a.Value(i)), 0, 0) }
	case *array.DayTimeInterval:
		v.append = func(dst []byte, i int) []byte {
			return appendInterval(dst, 0, a.Value(i).Days, int64(a.Value(i).Milliseconds)*1e3)
		}
	case *array.MonthDayNanoInterval:
		v.append = func(dst []byte, i int) []byte {
			return appendInterval(dst, a.Value(i).Months, a.Value(i).Days, a.Value(i).Nanoseconds/1e3)
		}
	}
	return v
}

// appendInterval writes months, days and microseconds, which PostgreSQL keeps
// apart as Arrow does.
func appendInterval(dst []byte, months, days int32, micros int64) []byte {
	dst = binary.BigEndian.AppendUint64(appendLen(dst, 16), uint64(micros))
	dst = binary.BigEndian.AppendUint32(dst, uint32(days))
	return binary.BigEndian.AppendUint32(dst, uint32(months))
}
