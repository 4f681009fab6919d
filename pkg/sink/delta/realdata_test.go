package delta_test

import (
	stdjson "encoding/json"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/ampipe/ampipe/pkg/sink/delta"
	"github.com/ampipe/ampipe/pkg/sink/sinktest"
	"github.com/ampipe/ampipe/pkg/sink/sinktest/realdata"
)

func TestRealRowsArriveAsTheyAre(t *testing.T) {
	t.Parallel()
	dir, files := realdata.Files(t, "*/*/*.parquet")
	for _, path := range files {
		name, _ := filepath.Rel(dir, path)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			loadReal(t, realdata.ReadParquet(t, path))
		})
	}
}

func TestRecordedRowsArriveAsTheyAre(t *testing.T) {
	t.Parallel()
	realdata.EachRecording(t, func(t *testing.T, real realdata.Table) {
		t.Parallel()
		loadReal(t, renamed(real))
	})
}

// renamed returns columns under names that Delta allows, as its refusal tells users to do.
func renamed(real realdata.Table) realdata.Table {
	fields := slices.Clone(real.Table.Schema.Fields())
	for i := range fields {
		fields[i].Name = strings.NewReplacer(" ", "_", "(", "_", ")", "_", ",", "_").Replace(fields[i].Name)
	}
	real.Table.Schema = arrow.NewSchema(fields, nil)
	rows := make([]arrow.RecordBatch, len(real.Rows))
	for i, rec := range real.Rows {
		rows[i] = array.NewRecordBatch(real.Table.Schema, rec.Columns(), rec.NumRows())
	}
	real.Rows = rows
	return real
}

// loadReal loads all rows and compares every value with what delta-rs reads.
func loadReal(t *testing.T, real realdata.Table) {
	t.Helper()
	d := inFolder(t)
	w := d.open(t, real.Table)
	for some := range slices.Chunk(real.Changes(), 3) {
		if _, err := w.Apply(t.Context(), some); err != nil {
			t.Fatal(err)
		}
	}
	sinktest.WantSameDigests(t, w, real.Rows...)
	if err := delta.Scan(t.Context(), d.store, -1, nil); err != nil {
		t.Error(err)
	}
	var rows []stdjson.RawMessage
	deltalake(t, d).ask(&rows, "values")
	var got, want []string
	for _, row := range rows {
		got = append(got, string(row))
	}
	for _, rec := range real.Rows {
		for row := range int(rec.NumRows()) {
			var values []any
			for i, f := range rec.Schema().Fields() {
				if f.Type.ID() != arrow.NULL {
					values = append(values, plain(rec.Column(i), row, i == real.Table.BlockColumn))
				}
			}
			line, err := stdjson.Marshal(values)
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, string(line))
		}
	}
	sinktest.WantSameRows(t, got, want)
	t.Logf("%d rows of %d columns are equal", len(got), real.Table.Schema.NumFields())
}

// plain is a value as the table is to have it, by Arrow's own accessors.
func plain(arr arrow.Array, row int, long bool) any {
	if arr.IsNull(row) {
		return nil
	}
	switch a := arr.(type) {
	case *array.Binary, *array.LargeBinary, *array.BinaryView, *array.FixedSizeBinary:
		return fmt.Sprintf("0x%x", arr.(interface{ Value(int) []byte }).Value(row))
	case *array.String, *array.LargeString, *array.StringView:
		return arr.(interface{ Value(int) string }).Value(row)
	case *array.Boolean:
		return a.Value(row)
	case *array.Uint64:
		if long {
			return a.Value(row)
		}
		return fmt.Sprint(a.Value(row)) // a decimal
	case *array.Float16:
		return bits(float64(a.Value(row).Float32()))
	case *array.Float32:
		return bits(float64(a.Value(row)))
	case *array.Float64:
		return bits(a.Value(row))
	case *array.Decimal128:
		return a.Value(row).ToString(a.DataType().(*arrow.Decimal128Type).Scale)
	case *array.Decimal256:
		return a.Value(row).ToString(a.DataType().(*arrow.Decimal256Type).Scale)
	case *array.Timestamp:
		return a.Value(row).ToTime(a.DataType().(*arrow.TimestampType).Unit).Truncate(time.Microsecond).Format("2006-01-02T15:04:05.000000+00:00")
	case *array.Date32:
		return a.Value(row).ToTime().Format(time.DateOnly)
	case *array.Date64:
		return a.Value(row).ToTime().Format(time.DateOnly)
	case *array.Time64:
		return a.Value(row).ToTime(a.DataType().(*arrow.Time64Type).Unit).Format("15:04:05.999999999")
	case *array.Duration:
		return int64(a.Value(row))
	case *array.MonthDayNanoInterval:
		v := a.Value(row)
		return fmt.Sprintf("P%dM%dD", v.Months, v.Days)
	case *array.Map:
		from, to := a.ValueOffsets(row)
		pairs := []any{}
		for k := int(from); k < int(to); k++ {
			pairs = append(pairs, []any{plain(a.Keys(), k, false), plain(a.Items(), k, false)})
		}
		return pairs
	case array.ListLike:
		from, to := a.ValueOffsets(row)
		list := []any{}
		for k := int(from); k < int(to); k++ {
			list = append(list, plain(a.ListValues(), k, false))
		}
		return list
	case *array.Struct:
		fields := map[string]any{}
		for i, f := range a.DataType().(*arrow.StructType).Fields() {
			fields[f.Name] = plain(a.Field(i), row, false)
		}
		return fields
	default:
		return stdjson.RawMessage(arr.ValueStr(row))
	}
}

func bits(v float64) string { return fmt.Sprintf("%016x", math.Float64bits(v)) }
