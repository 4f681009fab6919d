package postgres_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/flight"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"google.golang.org/protobuf/proto"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/sink"
)

// realData gives the files that match a pattern below AMPIPE_REAL_DATA.
func realData(t *testing.T, pattern string) (dir string, files []string) {
	t.Helper()
	dir = os.Getenv("AMPIPE_REAL_DATA")
	if dir == "" {
		t.Skip("AMPIPE_REAL_DATA is not set; it names the folder of real rows and recordings")
	}
	files, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(files) == 0 {
		t.Fatalf("no files %s in AMPIPE_REAL_DATA: %v", pattern, err)
	}
	return dir, files
}

// realTable is a table of the source with all its rows, ascending by block.
type realTable struct {
	table sink.Table
	rows  []arrow.RecordBatch
}

// changes gives the rows as entries of one block each, and the range of all.
func (r realTable) changes() []sink.Change {
	var changes []sink.Change
	for _, rec := range r.rows {
		blocks, err := sink.BlocksOf(rec, r.table.BlockColumn)
		if err != nil {
			panic(err)
		}
		for from := 0; from < blocks.Len(); {
			n := blocks.At(from)
			to := blocks.Search(n + 1)
			piece := rec.NewSlice(int64(from), int64(to))
			if last := len(changes) - 1; last >= 0 && changes[last].Range.Has(n) {
				changes[last].Records = append(changes[last].Records, piece)
				changes[last].Rows += to - from
			} else {
				changes = append(changes, changeOf(block.Closed(n, n), piece))
			}
			from = to
		}
	}
	return changes
}

// blockColumn finds the block column as the planner does.
func blockColumn(s *arrow.Schema) int {
	for _, name := range []string{"_block_num", "block_num", "slot"} {
		if at := s.FieldIndices(name); len(at) == 1 {
			return at[0]
		}
	}
	return -1
}

func TestRealRowsArriveAsTheyAre(t *testing.T) {
	t.Parallel()
	dir, files := realData(t, "*/*/*.parquet")
	db := newDatabase(t)
	db.run("SET timezone = 'UTC'; SET intervalstyle = 'iso_8601'")
	seen := map[string]int{}
	for _, path := range files {
		name, _ := filepath.Rel(dir, path)
		t.Run(name, func(t *testing.T) {
			real := readParquet(t, path)
			cfg := db.config()
			cfg.Schema = strings.ReplaceAll(filepath.Dir(filepath.Dir(name)), "/", "_")
			seen[filepath.Dir(name)]++
			cfg.Table = fmt.Sprintf("%s %d", filepath.Base(filepath.Dir(name)), seen[filepath.Dir(name)])
			loadReal(t, db, cfg, real)

			cfg.Mode, cfg.Key = config.Upsert, keyOf(t, real)
			cfg.Table += " by key"
			loadReal(t, db, cfg, real)
			// What is there already comes again, as after a lost state.
			db.run("DELETE FROM ampipe.tables WHERE table_name = $1", cfg.Table)
			loadReal(t, db, cfg, real)
		})
	}
}

// loadReal loads all rows and compares every value of them.
func loadReal(t *testing.T, db *database, cfg config.Postgres, real realTable) {
	t.Helper()
	w := open(t, cfg, real.table)
	for some := range slices.Chunk(real.changes(), 3) {
		if _, err := w.Apply(t.Context(), some); err != nil {
			t.Fatal(err)
		}
	}
	wantTable(t, db, cfg, real)
	wantSameDigests(t, w, real.rows...)
}

// keyOf finds integer columns that tell rows apart, beginning with the block.
func keyOf(t *testing.T, real realTable) []string {
	t.Helper()
	var ints []int
	for i, f := range real.table.Schema.Fields() {
		if arrow.IsInteger(f.Type.ID()) && i != real.table.BlockColumn {
			ints = append(ints, i)
		}
	}
	for size := range 4 {
		var try func(from int, chosen []int) []int
		try = func(from int, chosen []int) []int {
			if len(chosen) == size+1 {
				if unique(real, chosen) {
					return chosen
				}
				return nil
			}
			for i := from; i < len(ints); i++ {
				if found := try(i+1, append(slices.Clone(chosen), ints[i])); found != nil {
					return found
				}
			}
			return nil
		}
		if found := try(0, []int{real.table.BlockColumn}); found != nil {
			var names []string
			for _, i := range found {
				names = append(names, real.table.Schema.Field(i).Name)
			}
			return names
		}
	}
	t.Fatal("no few integer columns tell the rows apart")
	return nil
}

func unique(real realTable, columns []int) bool {
	seen := make(map[string]bool)
	for _, rec := range real.rows {
		for row := range int(rec.NumRows()) {
			var key strings.Builder
			for _, c := range columns {
				if rec.Column(c).IsNull(row) {
					return false
				}
				fmt.Fprintf(&key, "%s ", rec.Column(c).ValueStr(row))
			}
			if seen[key.String()] {
				return false
			}
			seen[key.String()] = true
		}
	}
	return true
}

// readParquet reads a file and sorts its rows by block if they are not.
func readParquet(t *testing.T, path string) realTable {
	t.Helper()
	pf, err := file.OpenParquetFile(path, false)
	if err != nil {
		t.Fatal(err)
	}
	defer pf.Close()
	reader, err := pqarrow.NewFileReader(pf, pqarrow.ArrowReadProperties{BatchSize: 4096}, memory.DefaultAllocator)
	if err != nil {
		t.Fatal(err)
	}
	schema, err := reader.Schema()
	if err != nil {
		t.Fatal(err)
	}
	records, err := reader.GetRecordReader(t.Context(), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer records.Release()
	real := realTable{table: sink.Table{Pipeline: "real", Sink: "rows", Schema: schema, BlockColumn: blockColumn(schema), Epoch: 1}}
	for records.Next() {
		rec := records.RecordBatch()
		rec.Retain()
		real.rows = append(real.rows, rec)
	}
	if err := records.Err(); err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	real.rows = ascending(t, real)
	return real
}

// ascending cuts records where blocks go back, and puts the pieces in order.
func ascending(t *testing.T, real realTable) []arrow.RecordBatch {
	t.Helper()
	type piece struct {
		first block.Number
		rec   arrow.RecordBatch
	}
	var pieces []piece
	for _, rec := range real.rows {
		blocks, err := sink.BlocksOf(rec, real.table.BlockColumn)
		if err != nil {
			t.Fatal(err)
		}
		for from := 0; from < blocks.Len(); {
			to := from + 1
			for to < blocks.Len() && blocks.At(to) == blocks.At(from) {
				to++
			}
			pieces = append(pieces, piece{blocks.At(from), rec.NewSlice(int64(from), int64(to))})
			from = to
		}
	}
	slices.SortStableFunc(pieces, func(a, b piece) int { return int(int64(a.first) - int64(b.first)) })
	sorted := make([]arrow.RecordBatch, len(pieces))
	for i, p := range pieces {
		sorted[i] = p.rec
	}
	return sorted
}

// TestRecordedRowsArriveAsTheyAre loads every recording that has rows and a
// block column. Of a stream with reorgs it loads all forks.
func TestRecordedRowsArriveAsTheyAre(t *testing.T) {
	t.Parallel()
	_, files := realData(t, "recorded/*/*.pb")
	db := newDatabase(t)
	db.run("SET timezone = 'UTC'; SET intervalstyle = 'iso_8601'")
	loaded := 0
	for i, path := range files {
		real, ok := readRecording(t, path)
		if !ok {
			continue // no rows with a block column
		}
		t.Run(filepath.Base(path), func(t *testing.T) {
			cfg := db.config()
			cfg.Table = fmt.Sprintf("t%d", i)
			loadReal(t, db, cfg, real)
			loaded++
		})
	}
	if loaded == 0 {
		t.Error("no recording has any rows")
	}
}

// readRecording decodes the messages of a recording: a FlightInfo, then
// FlightData.
func readRecording(t *testing.T, path string) (realTable, bool) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(bytes.NewReader(raw))
	var messages []*flight.FlightData
	for n := 0; ; n++ {
		size, err := binary.ReadUvarint(in)
		if errors.Is(err, io.EOF) {
			break
		}
		body := make([]byte, size)
		if _, err := io.ReadFull(in, body); err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			continue
		}
		var data flight.FlightData
		if err := proto.Unmarshal(body, &data); err != nil {
			t.Fatal(err)
		}
		messages = append(messages, &data)
	}
	if len(messages) == 0 {
		return realTable{}, false
	}
	reader, err := flight.NewRecordReader(&messageStream{messages: messages})
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Release()
	schema := reader.Schema()
	real := realTable{table: sink.Table{Pipeline: "real", Sink: "rows", Schema: schema, BlockColumn: blockColumn(schema), Epoch: 1}}
	if real.table.BlockColumn < 0 {
		return realTable{}, false
	}
	for reader.Next() {
		rec := reader.RecordBatch()
		if rec.Column(real.table.BlockColumn).NullN() > 0 {
			return realTable{}, false
		}
		rec.Retain()
		real.rows = append(real.rows, rec)
	}
	// A recorded failure breaks off.
	real.rows = ascending(t, real)
	return real, len(real.rows) > 0
}

// messageStream hands out recorded messages.
type messageStream struct{ messages []*flight.FlightData }

func (s *messageStream) Recv() (*flight.FlightData, error) {
	if len(s.messages) == 0 {
		return nil, io.EOF
	}
	m := s.messages[0]
	s.messages = s.messages[1:]
	return m, nil
}

// wantTable reads the whole table by SQL, as text, and compares it with the
// rows, in any order.
func wantTable(t *testing.T, db *database, cfg config.Postgres, real realTable) {
	t.Helper()
	var columns []string
	for _, f := range real.table.Schema.Fields() {
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
				if arrow.IsNested(real.table.Schema.Field(i).Type.ID()) {
					text = "=" + canonical(t, []byte(*f))
				}
			}
			fmt.Fprintf(&line, "%s|%s\n", real.table.Schema.Field(i).Name, text)
		}
		got = append(got, line.String())
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	for _, rec := range real.rows {
		for row := range int(rec.NumRows()) {
			var line strings.Builder
			for i, f := range real.table.Schema.Fields() {
				text := "NULL"
				if arr := rec.Column(i); arr.IsValid(row) && f.Type.ID() != arrow.NULL {
					text = "=" + expected(t, arr, row)
				}
				fmt.Fprintf(&line, "%s|%s\n", f.Name, text)
			}
			want = append(want, line.String())
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if len(got) != len(want) {
		t.Fatalf("%d rows in the table, want %d", len(got), len(want))
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("a row is\n%s\nwant\n%s", got[i], want[i])
		}
	}
	t.Logf("%d rows of %d columns are equal", len(got), len(columns))
}

// expected is how a value is to print in PostgreSQL, by Arrow's own accessors.
func expected(t *testing.T, arr arrow.Array, row int) string {
	t.Helper()
	switch a := arr.(type) {
	case *array.Binary, *array.LargeBinary, *array.BinaryView, *array.FixedSizeBinary:
		return fmt.Sprintf(`\x%x`, arr.(interface{ Value(int) []byte }).Value(row))
	case *array.String, *array.LargeString, *array.StringView:
		return arr.(interface{ Value(int) string }).Value(row)
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

// canonical gives JSON in one form, its numbers as they were written.
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
