package redis_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/sink/sinktest"
	"github.com/ampipe/ampipe/pkg/sink/sinktest/realdata"
)

func TestRealRowsArriveAsTheyAre(t *testing.T) {
	t.Parallel()
	dir, files := realdata.Files(t, "*/*/*.parquet")
	for _, path := range files {
		name, _ := filepath.Rel(dir, path)
		t.Run(name, func(t *testing.T) {
			real := realdata.ReadParquet(t, path)
			for _, structure := range []config.Structure{config.Hash, config.String, config.Stream} {
				loadReal(t, structure, real)
			}
		})
	}
}

func TestRecordedRowsArriveAsTheyAre(t *testing.T) {
	t.Parallel()
	realdata.EachRecording(t, func(t *testing.T, real realdata.Table) { loadReal(t, config.Stream, real) })
}

// loadReal loads all rows, compares every value of them and verifies them.
func loadReal(t *testing.T, structure config.Structure, real realdata.Table) {
	t.Helper()
	s := newServer(t)
	cfg := s.config(structure, "{table}")
	if structure.Keyed() {
		for _, c := range real.Key(t) {
			cfg.Key += ":{" + c + "}"
		}
	}
	table := real.Table
	table.Pipeline = s.name
	w := open(t, cfg, table)
	for some := range slices.Chunk(real.Changes(), 3) {
		if _, err := w.Apply(t.Context(), some); err != nil {
			t.Fatal(err)
		}
	}
	got, want := stored(s, structure), expectedRows(t, structure, real)
	sinktest.WantSameRows(t, got, want)
	sinktest.WantSameDigests(t, w, real.Rows...)
	t.Logf("%d rows of %d columns are equal in structure %s", len(got), real.Table.Schema.NumFields(), structure)
}

// stored returns every row as JSON of its fields.
func stored(s *server, structure config.Structure) []string {
	s.Helper()
	ctx := context.Background()
	var rows []string
	add := func(fields any) {
		b, err := json.Marshal(fields)
		if err != nil {
			s.Fatal(err)
		}
		rows = append(rows, string(b))
	}
	if structure == config.Stream {
		all, err := s.XRange(ctx, s.name, "-", "+").Result()
		if err != nil {
			s.Fatal(err)
		}
		for _, m := range all {
			add(m.Values)
		}
		return rows
	}
	keys := s.Scan(ctx, 0, s.name+":*", 10_000).Iterator()
	for keys.Next(ctx) {
		if structure == config.Hash {
			add(s.HGetAll(ctx, keys.Val()).Val())
			continue
		}
		d := json.NewDecoder(strings.NewReader(s.Get(ctx, keys.Val()).Val()))
		d.UseNumber()
		var doc map[string]any
		if err := d.Decode(&doc); err != nil {
			s.Fatal(err)
		}
		add(doc)
	}
	if err := keys.Err(); err != nil {
		s.Fatal(err)
	}
	return rows
}

// expectedRows returns the rows as they are to be in Redis, by Arrow's accessors.
func expectedRows(t *testing.T, structure config.Structure, real realdata.Table) []string {
	t.Helper()
	var rows []string
	for _, rec := range real.Rows {
		for row := range int(rec.NumRows()) {
			fields := make(map[string]any)
			for i, f := range real.Table.Schema.Fields() {
				arr := rec.Column(i)
				if arr.IsNull(row) || f.Type.ID() == arrow.NULL {
					continue
				}
				v := expected(t, arr, row)
				if structure != config.String {
					text, ok := v.(string)
					if !ok {
						b, err := json.Marshal(v)
						if err != nil {
							t.Fatal(err)
						}
						text = string(b)
					}
					v = text
					if arrow.IsNested(f.Type.ID()) {
						v = nestedText(t, arr, row)
					}
				}
				fields[f.Name] = v
			}
			b, err := json.Marshal(fields)
			if err != nil {
				t.Fatal(err)
			}
			rows = append(rows, string(b))
		}
	}
	return rows
}

// expected is a value in a document.
func expected(t *testing.T, arr arrow.Array, row int) any {
	t.Helper()
	if arr.IsNull(row) {
		return nil
	}
	switch a := arr.(type) {
	case *array.Boolean:
		return a.Value(row)
	case *array.Binary, *array.LargeBinary, *array.BinaryView, *array.FixedSizeBinary:
		return fmt.Sprintf("0x%x", arr.(interface{ Value(int) []byte }).Value(row))
	case *array.String, *array.LargeString, *array.StringView:
		return arr.(interface{ Value(int) string }).Value(row)
	case *array.Decimal128:
		return a.Value(row).ToString(a.DataType().(*arrow.Decimal128Type).Scale)
	case *array.Decimal256:
		return a.Value(row).ToString(a.DataType().(*arrow.Decimal256Type).Scale)
	case *array.Timestamp:
		dt := a.DataType().(*arrow.TimestampType)
		layout := "2006-01-02T15:04:05.999999999"
		if dt.TimeZone != "" {
			layout += "Z"
		}
		return a.Value(row).ToTime(dt.Unit).UTC().Format(layout)
	case *array.Date32:
		return a.Value(row).ToTime().Format(time.DateOnly)
	case *array.Date64:
		return a.Value(row).ToTime().Format(time.DateOnly)
	case *array.Time64:
		return a.Value(row).ToTime(a.DataType().(*arrow.Time64Type).Unit).Format("15:04:05.999999999")
	case *array.Duration:
		return fmt.Sprintf("PT%gS", (time.Duration(a.Value(row)) * a.DataType().(*arrow.DurationType).Unit.Multiplier()).Seconds())
	case *array.MonthDayNanoInterval:
		v := a.Value(row)
		return fmt.Sprintf("P%dM%dDT%gS", v.Months, v.Days, float64(v.Nanoseconds)/1e9)
	case *array.Map:
		pairs := []any{}
		from, to := a.ValueOffsets(row)
		for k := int(from); k < int(to); k++ {
			pairs = append(pairs, []any{expected(t, a.Keys(), k), expected(t, a.Items(), k)})
		}
		return pairs
	case array.ListLike:
		values := []any{}
		from, to := a.ValueOffsets(row)
		for k := int(from); k < int(to); k++ {
			values = append(values, expected(t, a.ListValues(), k))
		}
		return values
	case *array.Struct:
		fields := make(map[string]any)
		for i, f := range a.DataType().(*arrow.StructType).Fields() {
			fields[f.Name] = expected(t, a.Field(i), row)
		}
		return fields
	default:
		return json.Number(arr.ValueStr(row))
	}
}

// nestedText is a nested value as it is written: fields in the order of the
// schema, and none of JSON's letters escaped that need not be.
func nestedText(t *testing.T, arr arrow.Array, row int) string {
	t.Helper()
	var out bytes.Buffer
	var write func(arr arrow.Array, row int)
	write = func(arr arrow.Array, row int) {
		list := func(values arrow.Array, from, to int64) {
			out.WriteByte('[')
			for k := int(from); k < int(to); k++ {
				if k > int(from) {
					out.WriteByte(',')
				}
				write(values, k)
			}
			out.WriteByte(']')
		}
		switch a := arr.(type) {
		case *array.Map:
			if a.IsNull(row) {
				out.WriteString("null")
				return
			}
			from, to := a.ValueOffsets(row)
			out.WriteByte('[')
			for k := int(from); k < int(to); k++ {
				out.WriteString(map[bool]string{true: "[", false: ",["}[k == int(from)])
				write(a.Keys(), k)
				out.WriteByte(',')
				write(a.Items(), k)
				out.WriteByte(']')
			}
			out.WriteByte(']')
		case array.ListLike:
			if a.IsNull(row) {
				out.WriteString("null")
				return
			}
			from, to := a.ValueOffsets(row)
			list(a.ListValues(), from, to)
		case *array.Struct:
			if a.IsNull(row) {
				out.WriteString("null")
				return
			}
			for i, f := range a.DataType().(*arrow.StructType).Fields() {
				out.WriteString(map[bool]string{true: "{", false: ","}[i == 0])
				fmt.Fprintf(&out, "%q:", f.Name)
				write(a.Field(i), row)
			}
			out.WriteByte('}')
		default:
			e := json.NewEncoder(&out)
			e.SetEscapeHTML(false)
			if err := e.Encode(expected(t, arr, row)); err != nil {
				t.Fatal(err)
			}
			out.Truncate(out.Len() - 1)
		}
	}
	write(arr, row)
	return out.String()
}
