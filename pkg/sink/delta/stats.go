package delta

import (
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/parquet/metadata"

	"github.com/ampipe/ampipe/pkg/arrowfmt"
	"github.com/ampipe/ampipe/pkg/sink/delta/deltalog"
)

// Statistics are those that Parquet has collected already, written in the way of
// the log. They have to be true, not tight: readers leave out files by them.

// statsColumns is how many columns get statistics, as Delta has it by default. The
// block column, whichever it is, is in the tags as well.
const statsColumns = 32

// textPrefix is how many characters of a text are kept.
const textPrefix = 32

// writeStats writes the statistics of a file. nan tells which columns hold a NaN, which
// Parquet passes over and readers take for the largest number.
func writeStats(meta *metadata.FileMetaData, fields []arrow.Field, nan []bool) (string, error) {
	t := &statsWriter{meta: meta, out: deltalog.Stats{NumRecords: new(uint64(meta.NumRows)),
		MinValues: map[string]any{}, MaxValues: map[string]any{}, NullCount: map[string]any{}}}
	for i, f := range fields {
		err := t.field(f, t.out.MinValues, t.out.MaxValues, t.out.NullCount, nan[i])
		if err != nil {
			return "", fmt.Errorf("statistics of column %q: %w", f.Name, err)
		}
	}
	text, err := json.Marshal(t.out)
	if err != nil {
		return "", fmt.Errorf("write statistics: %w", err)
	}
	return string(text), nil
}

type statsWriter struct {
	meta *metadata.FileMetaData
	leaf int // of Parquet's columns, the next one
	seen int // leaves with statistics
	out  deltalog.Stats
}

func (t *statsWriter) field(f arrow.Field, low, high, nulls map[string]any, nan bool) error {
	switch typ := f.Type.(type) {
	case *arrow.StructType:
		l, h, n := map[string]any{}, map[string]any{}, map[string]any{}
		for _, child := range typ.Fields() {
			// Whether a nested number is a NaN nobody has looked.
			if err := t.field(child, l, h, n, isFloat(child.Type)); err != nil {
				return err
			}
		}
		for name, m := range map[*map[string]any]map[string]any{&low: l, &high: h, &nulls: n} {
			if len(m) > 0 {
				(*name)[f.Name] = m
			}
		}
		return nil
	case *arrow.ListType, *arrow.MapType:
		t.leaf += leaves(f.Type)
		return nil
	}
	at := t.leaf
	t.leaf++
	t.seen++
	if t.seen > statsColumns {
		return nil
	}
	s, err := t.spread(at, f.Type)
	if err != nil {
		return err
	}
	if s.counted {
		nulls[f.Name] = s.nulls
	}
	if !s.known || nan {
		return nil
	}
	if v, ok := shown(s.low, f.Type, false); ok {
		low[f.Name] = v
	}
	if v, ok := shown(s.high, f.Type, true); ok {
		high[f.Name] = v
	}
	return nil
}

func isFloat(t arrow.DataType) bool { return t.ID() == arrow.FLOAT32 || t.ID() == arrow.FLOAT64 }

func leaves(t arrow.DataType) int {
	n, ok := t.(arrow.NestedType)
	if !ok {
		return 1
	}
	count := 0
	for _, f := range n.Fields() {
		count += leaves(f.Type)
	}
	return count
}

// spread is what is known of a leaf: in all row groups, or not at all.
type spread struct {
	low, high any // int64, float64, string or decimal128.Num
	known     bool
	nulls     int64
	counted   bool
}

func (t *statsWriter) spread(leaf int, typ arrow.DataType) (spread, error) {
	s := spread{known: true, counted: true}
	for g := range t.meta.NumRowGroups() {
		chunk, err := t.meta.RowGroup(g).ColumnChunk(leaf)
		if err != nil {
			return s, err
		}
		set, err := chunk.StatsSet()
		if err != nil {
			return s, err
		}
		if !set {
			return spread{}, nil
		}
		stats, err := chunk.Statistics()
		if err != nil {
			return s, err
		}
		if stats == nil {
			return spread{}, nil
		}
		s.counted = s.counted && stats.HasNullCount()
		s.nulls += stats.NullCount()
		if !stats.HasMinMax() {
			s.known = s.known && stats.HasNullCount() && stats.NullCount() == chunk.NumValues()
			continue
		}
		low, high, ok := bounds(stats, typ)
		if !ok {
			s.known = false
			continue
		}
		if s.low == nil || less(low, s.low) {
			s.low = low
		}
		if s.high == nil || less(s.high, high) {
			s.high = high
		}
	}
	s.known = s.known && s.low != nil
	return s, nil
}

func bounds(stats metadata.TypedStatistics, t arrow.DataType) (low, high any, ok bool) {
	_, isDecimal := t.(*arrow.Decimal128Type)
	switch s := stats.(type) {
	case *metadata.Int32Statistics:
		low, high = int64(s.Min()), int64(s.Max())
	case *metadata.Int64Statistics:
		low, high = s.Min(), s.Max()
	case *metadata.Float32Statistics:
		return float64(s.Min()), float64(s.Max()), true
	case *metadata.Float64Statistics:
		return s.Min(), s.Max(), true
	case *metadata.ByteArrayStatistics:
		return string(s.Min()), string(s.Max()), t.ID() == arrow.STRING
	case *metadata.FixedLenByteArrayStatistics:
		return bigEndian(s.Min()), bigEndian(s.Max()), isDecimal
	default:
		return nil, nil, false
	}
	if isDecimal {
		return decimal128.FromI64(low.(int64)), decimal128.FromI64(high.(int64)), true
	}
	return low, high, true
}

// bigEndian reads a number in two's complement.
func bigEndian(b []byte) decimal128.Num {
	n := new(big.Int).SetBytes(b)
	if len(b) > 0 && b[0]&0x80 != 0 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(len(b))*8))
	}
	return decimal128.FromBigInt(n)
}

func less(a, b any) bool {
	switch a := a.(type) {
	case int64:
		return a < b.(int64)
	case float64:
		return a < b.(float64)
	case string:
		return a < b.(string)
	case decimal128.Num:
		return a.Less(b.(decimal128.Num))
	default:
		return false
	}
}

// shown writes a bound; false if it has no form that everybody reads. An upper one
// may be rounded up, a lower one down.
func shown(v any, t arrow.DataType, upper bool) (any, bool) {
	switch t := t.(type) {
	case *arrow.Date32Type:
		day := time.Unix(v.(int64)*24*60*60, 0).UTC()
		return day.Format(time.DateOnly), common(day)
	case *arrow.TimestampType:
		at := v.(int64)
		millis := arrowfmt.FloorDiv(at, 1000)
		if upper && millis*1000 != at {
			millis++
		}
		moment := time.UnixMilli(millis).UTC()
		return moment.Format("2006-01-02T15:04:05.000Z"), common(moment)
	case *arrow.Decimal128Type:
		return json.Number(v.(decimal128.Num).ToString(t.Scale)), true
	case *arrow.StringType:
		return shortened(v.(string), upper)
	case *arrow.Float32Type, *arrow.Float64Type:
		f := v.(float64)
		return f, !math.IsInf(f, 0) && !math.IsNaN(f)
	default:
		return v, true
	}
}

// common reports whether a moment has a year of four digits.
func common(t time.Time) bool { return t.Year() >= 1 && t.Year() <= 9999 }

// shortened cuts a text. An upper bound that was cut gets the largest character
// at its end.
func shortened(text string, upper bool) (string, bool) {
	if !utf8.ValidString(text) {
		return "", false
	}
	n := 0
	for i, r := range text {
		if n == textPrefix {
			if !upper {
				return text[:i], true
			}
			return text[:i] + string(utf8.MaxRune), r != utf8.MaxRune
		}
		n++
	}
	return strings.Clone(text), true
}
