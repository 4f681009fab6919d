package delta

import (
	"encoding/json"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/ampipe/ampipe/pkg/sink/delta/deltalog"
)

// statsChecker holds the rows of a file against its statistics and tags.
type statsChecker struct {
	add   *deltalog.Add
	stats struct {
		NumRecords int64          `json:"numRecords"`
		MinValues  map[string]any `json:"minValues"`
		MaxValues  map[string]any `json:"maxValues"`
		NullCount  map[string]any `json:"nullCount"`
	}
	rows  int64
	nulls map[string]int64
}

func newStatsChecker(a *deltalog.Add) (*statsChecker, error) {
	c := &statsChecker{add: a, nulls: map[string]int64{}}
	d := json.NewDecoder(strings.NewReader(a.Stats))
	d.UseNumber()
	if err := d.Decode(&c.stats); err != nil {
		return nil, fmt.Errorf("statistics %q: %w", a.Stats, err)
	}
	return c, nil
}

func (c *statsChecker) record(rec arrow.RecordBatch) error {
	c.rows += rec.NumRows()
	for i, f := range rec.Schema().Fields() {
		if err := c.column(f.Name, rec.Column(i), c.stats.MinValues, c.stats.MaxValues, f.Name); err != nil {
			return fmt.Errorf("column %q: %w", f.Name, err)
		}
	}
	low, high := c.add.Tags[tagMinBlock], c.add.Tags[tagMaxBlock]
	for i, f := range rec.Schema().Fields() {
		numbers, ok := rec.Column(i).(*array.Int64)
		if !ok || f.Name != "block_num" || low == "" {
			continue
		}
		from, _ := strconv.ParseInt(low, 10, 64)
		to, _ := strconv.ParseInt(high, 10, 64)
		for row := range numbers.Len() {
			if n := numbers.Value(row); n < from || n > to {
				return fmt.Errorf("block %d is not within the tags %s to %s", n, low, high)
			}
		}
	}
	return nil
}

func (c *statsChecker) column(path string, a arrow.Array, low, high map[string]any, name string) error {
	c.nulls[path] += int64(a.NullN())
	if s, ok := a.(*array.Struct); ok {
		l, _ := low[name].(map[string]any)
		h, _ := high[name].(map[string]any)
		for i, f := range s.DataType().(*arrow.StructType).Fields() {
			if err := c.column(path+"."+f.Name, s.Field(i), l, h, f.Name); err != nil {
				return err
			}
		}
		return nil
	}
	for i := range a.Len() {
		if a.IsNull(i) {
			continue
		}
		if bound, ok := low[name]; ok {
			if cmp, err := compare(a, i, bound); err != nil || cmp < 0 {
				return fmt.Errorf("%s is below the minimum %v (%w)", a.ValueStr(i), bound, err)
			}
		}
		if bound, ok := high[name]; ok {
			if cmp, err := compare(a, i, bound); err != nil || cmp > 0 {
				return fmt.Errorf("%s is above the maximum %v (%w)", a.ValueStr(i), bound, err)
			}
		}
	}
	return nil
}

// compare compares a value with a bound.
func compare(a arrow.Array, i int, bound any) (int, error) {
	text := fmt.Sprint(bound)
	switch a := a.(type) {
	case *array.String:
		return strings.Compare(a.Value(i), text), nil
	case *array.Date32:
		day, err := time.Parse(time.DateOnly, text)
		return a.Value(i).ToTime().Compare(day), err
	case *array.Timestamp:
		at, err := time.Parse(time.RFC3339Nano, text)
		return a.Value(i).ToTime(arrow.Microsecond).Compare(at), err
	}
	want, ok := new(big.Rat).SetString(text)
	if !ok {
		return 0, fmt.Errorf("bound %q is no number", text)
	}
	got, ok := new(big.Rat).SetString(a.ValueStr(i))
	if f, is := a.(*array.Float64); is {
		if f.Value(i) != f.Value(i) {
			return 0, fmt.Errorf("NaN has bounds")
		}
		got, ok = new(big.Rat).SetFloat64(f.Value(i)), true
	}
	if f, is := a.(*array.Float32); is {
		got, ok = new(big.Rat).SetFloat64(float64(f.Value(i))), true
	}
	if !ok || got == nil {
		return 0, fmt.Errorf("value %s is no number", a.ValueStr(i))
	}
	return got.Cmp(want), nil
}

func (c *statsChecker) end() error {
	if c.rows != c.stats.NumRecords {
		return fmt.Errorf("%d rows, and the log says %d", c.rows, c.stats.NumRecords)
	}
	return c.nullsOf("", c.stats.NullCount)
}

func (c *statsChecker) nullsOf(prefix string, counts map[string]any) error {
	for name, n := range counts {
		if nested, ok := n.(map[string]any); ok {
			if err := c.nullsOf(prefix+name+".", nested); err != nil {
				return err
			}
			continue
		}
		// Arrow does not count a field as null whose struct is.
		if strings.Contains(prefix, ".") {
			continue
		}
		if got := strconv.FormatInt(c.nulls[prefix+name], 10); got != fmt.Sprint(n) {
			return fmt.Errorf("column %q has %s nulls, and the log says %v", prefix+name, got, n)
		}
	}
	return nil
}
