package format

import (
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/ampipe/ampipe/pkg/arrowfmt"
)

// Documents is how JSON is written: compact, and decimals as strings, for readers hold
// numbers as doubles.
const Documents = arrowfmt.QuotedDecimals

// cells are the values of one array.
type cells struct {
	arrowfmt.Nulls
	free  bool            // any characters, to be escaped in keys
	text  arrowfmt.Append // as a field or part of a key; of values that are not null
	json  arrowfmt.Append // in a document
	check arrowfmt.Check  // nil: no value is refused
}

// cellsOf binds an array of a type that passed [checkType].
func cellsOf(arr arrow.Array) cells {
	return cells{
		Nulls: arrowfmt.NullsOf(arr),
		free:  isFree(arrowfmt.Underlying(arr.DataType())),
		text:  Documents.Text(arr),
		json:  Documents.JSON(arr),
		check: arrowfmt.Checks{Leaf: leafCheck}.Of(arr),
	}
}

func isFree(dt arrow.DataType) bool {
	switch dt.ID() {
	case arrow.TIMESTAMP, arrow.DATE32, arrow.DATE64, arrow.TIME32, arrow.TIME64:
		return true
	default:
		return arrowfmt.IsText(dt)
	}
}

// Times are ISO 8601 with four digits of the year.
const (
	firstSecond = -62167219200 // 0000-01-01
	lastSecond  = 253402300799 // 9999-12-31

	notUnicode   = "the text is not valid UTF-8; cast the column to binary in the query"
	outside      = "the time is outside of the years 0000 to 9999; cast the column to an integer in the query"
	outsideOfDay = "the time of day is not between 00:00 and 24:00; cast the column to an integer in the query"
)

// leafCheck returns the check of values that hold no others, nil if all can be written.
func leafCheck(arr arrow.Array) arrowfmt.Check {
	switch a := arr.(type) {
	case *array.String, *array.LargeString, *array.StringView:
		text := arrowfmt.Bytes(arr)
		return func(i int) string {
			if !utf8.Valid(text(i)) {
				return notUnicode
			}
			return ""
		}
	case *array.Timestamp:
		return within(a.Values(), arrowfmt.PerSecond(a.DataType().(*arrow.TimestampType).Unit), firstSecond, lastSecond, outside)
	case *array.Date32:
		return within(a.Values(), 1, firstSecond/86400, lastSecond/86400, outside)
	case *array.Date64:
		return within(a.Values(), 86400_000, firstSecond/86400, lastSecond/86400, outside)
	case *array.Time32:
		return within(a.Values(), arrowfmt.PerSecond(a.DataType().(*arrow.Time32Type).Unit), 0, 86400-1, outsideOfDay)
	case *array.Time64:
		return within(a.Values(), arrowfmt.PerSecond(a.DataType().(*arrow.Time64Type).Unit), 0, 86400-1, outsideOfDay)
	default:
		return nil
	}
}

// within refuses values that are not between first and last, in another unit of which per
// make one.
func within[T arrow.Timestamp | arrow.Date32 | arrow.Date64 | arrow.Time32 | arrow.Time64](
	values []T, per, first, last int64, reason string,
) arrowfmt.Check {
	return func(i int) string {
		if v := arrowfmt.FloorDiv(int64(values[i]), per); v < first || v > last {
			return reason
		}
		return ""
	}
}
