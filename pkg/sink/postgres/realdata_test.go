package postgres_test

import (
	"bytes"
	"context"
	stdjson "encoding/json"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strconv"
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
	db := newDatabase(t)
	db.run("SET timezone = 'UTC'; SET intervalstyle = 'iso_8601'")
	seen := map[string]int{}
	for _, path := range files {
		name, _ := filepath.Rel(dir, path)
		t.Run(name, func(t *testing.T) {
			real := realdata.ReadParquet(t, path)
			cfg := db.config()
			cfg.Schema = strings.ReplaceAll(filepath.Dir(filepath.Dir(name)), "/", "_")
			seen[filepath.Dir(name)]++
			cfg.Table = fmt.Sprintf("%s %d", filepath.Base(filepath.Dir(name)), seen[filepath.Dir(name)])
			loadReal(t, db, cfg, real)

			cfg.Mode, cfg.Key = config.Upsert, real.Key(t)
			cfg.Table += " by key"
			loadReal(t, db, cfg, real)
			// What is there already comes again, as after a lost state.
			db.run("DELETE FROM ampipe.tables WHERE table_name = $1", cfg.Table)
			loadReal(t, db, cfg, real)
		})
	}
}

// loadReal loads all rows and compares every value of them.
func loadReal(t *testing.T, db *database, cfg config.Postgres, real realdata.Table) {
	t.Helper()
	w := open(t, cfg, real.Table)
	for some := range slices.Chunk(real.Changes(), 3) {
		if _, err := w.Apply(t.Context(), some); err != nil {
			t.Fatal(err)
		}
	}
	wantTable(t, db, cfg, real)
	sinktest.WantSameDigests(t, w, real.Rows...)
}

func TestRecordedRowsArriveAsTheyAre(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	db.run("SET timezone = 'UTC'; SET intervalstyle = 'iso_8601'")
	tables := 0
	realdata.EachRecording(t, func(t *testing.T, real realdata.Table) {
		tables++
		cfg := db.config()
		cfg.Table = fmt.Sprintf("t%d", tables)
		loadReal(t, db, cfg, real)
	})
}

// wantTable reads the whole table by SQL, as text, and compares it with the
// rows, in any order.
func wantTable(t *testing.T, db *database, cfg config.Postgres, real realdata.Table) {
	t.Helper()
	var columns []string
	for _, f := range real.Table.Schema.Fields() {
		columns = append(columns, fmt.Sprintf("%q::text", f.Name))
	}
	rows, err := db.Query(context.Background(), fmt.Sprintf("SELECT %s FROM %q.%q", strings.Join(columns, ", "), cfg.Schema, cfg.Table))
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var got, want []string
	for rows.Next() {
		fields := make([]*string, len(columns))
		into := make([]any, len(columns))
		for i := range fields {
			into[i] = &fields[i]
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		var line strings.Builder
		for i, f := range fields {
			text := "NULL"
			if f != nil {
				text = "=" + *f
				if arrow.IsNested(real.Table.Schema.Field(i).Type.ID()) {
					text = "=" + canonical(t, []byte(*f))
				}
			}
			fmt.Fprintf(&line, "%s|%s\n", real.Table.Schema.Field(i).Name, text)
		}
		got = append(got, line.String())
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	for _, rec := range real.Rows {
		for row := range int(rec.NumRows()) {
			var line strings.Builder
			for i, f := range real.Table.Schema.Fields() {
				text := "NULL"
				if arr := rec.Column(i); arr.IsValid(row) && f.Type.ID() != arrow.NULL {
					text = "=" + expected(t, arr, row)
				}
				fmt.Fprintf(&line, "%s|%s\n", f.Name, text)
			}
			want = append(want, line.String())
		}
	}
	sinktest.WantSameRows(t, got, want)
	t.Logf("%d rows of %d columns are equal", len(got), len(columns))
}

// floatText is how PostgreSQL prints a float that is none of the special ones: with an
// exponent below -4 and from 15 on.
func floatText(v float64, bits int) string {
	if exp := math.Floor(math.Log10(math.Abs(v))); v != 0 && (exp < -4 || exp >= 15) {
		return strconv.FormatFloat(v, 'e', -1, bits)
	}
	return strconv.FormatFloat(v, 'f', -1, bits)
}

// expected is how a value is to print in PostgreSQL, by Arrow's own accessors.
func expected(t *testing.T, arr arrow.Array, row int) string {
	t.Helper()
	switch a := arr.(type) {
	case *array.Binary, *array.LargeBinary, *array.BinaryView, *array.FixedSizeBinary:
		return fmt.Sprintf(`\x%x`, arr.(interface{ Value(int) []byte }).Value(row))
	case *array.String, *array.LargeString, *array.StringView:
		return arr.(interface{ Value(int) string }).Value(row)
	case *array.Float32:
		return floatText(float64(a.Value(row)), 32)
	case *array.Float64:
		return floatText(a.Value(row), 64)
	case *array.Decimal128:
		return a.Value(row).ToString(a.DataType().(*arrow.Decimal128Type).Scale)
	case *array.Decimal256:
		return a.Value(row).ToString(a.DataType().(*arrow.Decimal256Type).Scale)
	case *array.Timestamp:
		dt := a.DataType().(*arrow.TimestampType)
		layout := "2006-01-02 15:04:05.999999"
		if dt.TimeZone != "" {
			layout += "+00"
		}
		return a.Value(row).ToTime(dt.Unit).Truncate(time.Microsecond).Format(layout)
	case *array.Date32:
		return a.Value(row).ToTime().Format(time.DateOnly)
	case *array.Date64:
		return a.Value(row).ToTime().Format(time.DateOnly)
	case *array.Time64:
		return a.Value(row).ToTime(a.DataType().(*arrow.Time64Type).Unit).Format("15:04:05.999999")
	case *array.Duration:
		return fmt.Sprintf("PT%gS", (time.Duration(a.Value(row)) * a.DataType().(*arrow.DurationType).Unit.Multiplier()).Seconds())
	case *array.MonthDayNanoInterval:
		v := a.Value(row)
		if v.Nanoseconds != 0 {
			t.Fatalf("interval %+v: add a case for nanoseconds", v)
		}
		return fmt.Sprintf("P%dM%dD", v.Months, v.Days)
	case array.ListLike, *array.Struct:
		return canonical(t, []byte(nested(t, arr, row)))
	default:
		return arr.ValueStr(row)
	}
}

// nested is a value as JSON.
func nested(t *testing.T, arr arrow.Array, row int) string {
	t.Helper()
	if arr.IsNull(row) {
		return "null"
	}
	quote := func(s string) string {
		b, err := stdjson.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	var parts []string
	switch a := arr.(type) {
	case *array.Map:
		from, to := a.ValueOffsets(row)
		for k := int(from); k < int(to); k++ {
			parts = append(parts, quote(a.Keys().ValueStr(k))+":"+nested(t, a.Items(), k))
		}
		return "{" + strings.Join(parts, ",") + "}"
	case array.ListLike:
		from, to := a.ValueOffsets(row)
		for k := int(from); k < int(to); k++ {
			parts = append(parts, nested(t, a.ListValues(), k))
		}
		return "[" + strings.Join(parts, ",") + "]"
	case *array.Struct:
		for i, f := range a.DataType().(*arrow.StructType).Fields() {
			parts = append(parts, quote(f.Name)+":"+nested(t, a.Field(i), row))
		}
		return "{" + strings.Join(parts, ",") + "}"
	case *array.Binary, *array.LargeBinary, *array.BinaryView, *array.FixedSizeBinary:
		return fmt.Sprintf(`"0x%x"`, arr.(interface{ Value(int) []byte }).Value(row))
	case *array.String, *array.LargeString, *array.StringView:
		return quote(arr.(interface{ Value(int) string }).Value(row))
	default:
		return arr.ValueStr(row)
	}
}

// canonical returns JSON in one form, its numbers as they were written.
func canonical(t *testing.T, text []byte) string {
	t.Helper()
	d := stdjson.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	b, err := stdjson.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
