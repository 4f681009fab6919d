package delta

import (
	"fmt"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// timeOfDay writes 15:04:05.999999999, without the zeros at the end.
func timeOfDay(a arrow.Array, i int) string {
	var d time.Duration
	switch a := a.(type) {
	case *array.Time32:
		d = time.Duration(a.Value(i)) * a.DataType().(*arrow.Time32Type).Unit.Multiplier()
	case *array.Time64:
		d = time.Duration(a.Value(i)) * a.DataType().(*arrow.Time64Type).Unit.Multiplier()
	}
	text := fmt.Sprintf("%02d:%02d:%02d", d/time.Hour, d/time.Minute%60, d/time.Second%60)
	if rest := d % time.Second; rest != 0 {
		text += strings.TrimRight(fmt.Sprintf(".%09d", rest), "0")
	}
	return text
}

// interval writes an ISO 8601 duration, P1M2DT3.5S; each of its parts has a sign of
// its own.
func interval(a arrow.Array, i int) string {
	switch a := a.(type) {
	case *array.MonthInterval:
		return isoDuration(int64(a.Value(i)), 0, 0)
	case *array.DayTimeInterval:
		v := a.Value(i)
		return isoDuration(0, int64(v.Days), int64(v.Milliseconds)*1_000_000)
	case *array.MonthDayNanoInterval:
		v := a.Value(i)
		return isoDuration(int64(v.Months), int64(v.Days), v.Nanoseconds)
	default:
		return a.ValueStr(i)
	}
}

func isoDuration(months, days, nanos int64) string {
	var b strings.Builder
	b.WriteByte('P')
	if months != 0 {
		fmt.Fprintf(&b, "%dM", months)
	}
	if days != 0 {
		fmt.Fprintf(&b, "%dD", days)
	}
	if nanos != 0 || months == 0 && days == 0 {
		sign, seconds, rest := "", nanos/1e9, nanos%1e9
		if nanos < 0 {
			sign, seconds, rest = "-", -seconds, -rest
		}
		fmt.Fprintf(&b, "T%s%d", sign, seconds)
		if rest != 0 {
			b.WriteString(strings.TrimRight(fmt.Sprintf(".%09d", rest), "0"))
		}
		b.WriteByte('S')
	}
	return b.String()
}

func decimalText(a arrow.Array, i int) string {
	d := a.(*array.Decimal256)
	return d.Value(i).ToString(d.DataType().(*arrow.Decimal256Type).Scale)
}
