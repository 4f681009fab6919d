package redis_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
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
	"github.com/ampipe/ampipe/pkg/entry"
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

// changeOf is an entry of one record whose rows are of the blocks of r.
func changeOf(r block.Range, recs ...arrow.RecordBatch) sink.Change {
	c := sink.Change{Header: entry.Header{Kind: entry.Data, Epoch: 1, Range: r, End: r.End}, Records: recs}
	for _, rec := range recs {
		c.Rows += int(rec.NumRows())
	}
	return c
}

// wantSameDigests compares the digest of records with that of the table.
func wantSameDigests(t testing.TB, w sink.Digester, recs ...arrow.RecordBatch) {
	t.Helper()
	source, stored := w.DigestSource(), make(sink.Digests)
	for _, rec := range recs {
		if err := source.Add(rec); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range []block.Range{{Start: 0, End: 3}, {Start: 3, End: block.Max + 1}} {
		if err := w.DigestStored(context.Background(), r, stored); err != nil {
			t.Fatal(err)
		}
	}
	want := source.Digests()
	if len(want) != len(stored) {
		t.Errorf("the source has %d blocks with rows, the table %d", len(want), len(stored))
	}
	for n, d := range want {
		if stored[n] != d {
			t.Errorf("block %d: the source's digest is %+v, the table's %+v", n, d, stored[n])
		}
	}
}

func TestRealRowsArriveAsTheyAre(t *testing.T) {
	t.Parallel()
	dir, files := realData(t, "*/*/*.parquet")
	for _, path := range files {
		name, _ := filepath.Rel(dir, path)
		t.Run(name, func(t *testing.T) {
			real := readParquet(t, path)
			for _, structure := range []config.Structure{config.Hash, config.String, config.Stream} {
				loadReal(t, structure, real)
			}
		})
	}
}

// TestRecordedRowsArriveAsTheyAre loads every recording that has rows and a
// block column. Of a stream with reorgs it loads all forks.
func TestRecordedRowsArriveAsTheyAre(t *testing.T) {
	t.Parallel()
	_, files := realData(t, "recorded/*/*.pb")
	loaded := 0
	for _, path := range files {
		real, ok := readRecording(t, path)
		if !ok {
			continue // no rows with a block column
		}
		t.Run(filepath.Base(path), func(t *testing.T) {
			loadReal(t, config.Stream, real)
			loaded++
		})
	}
	if loaded == 0 {
		t.Error("no recording has any rows")
	}
}

// loadReal loads all rows, compares every value of them and verifies them.
func loadReal(t *testing.T, structure config.Structure, real realTable) {
	t.Helper()
	s := newServer(t)
	cfg := s.config(structure, "{table}")
	if structure.Keyed() {
		for _, c := range keyOf(t, real) {
			cfg.Key += ":{" + c + "}"
		}
	}
	table := real.table
	table.Pipeline = s.name
	w := open(t, cfg, table)
	for some := range slices.Chunk(real.changes(), 3) {
		if _, err := w.Apply(t.Context(), some); err != nil {
			t.Fatal(err)
		}
	}
	got, want := stored(s, structure), expectedRows(t, structure, real)
	slices.Sort(got)
	slices.Sort(want)
	if len(got) != len(want) {
		t.Fatalf("%d rows are in Redis, want %d", len(got), len(want))
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("a row is\n%s\nwant\n%s", got[i], want[i])
		}
	}
	wantSameDigests(t, w, real.rows...)
	t.Logf("%d rows of %d columns are equal in structure %s", len(got), real.table.Schema.NumFields(), structure)
}

// stored gives every row as JSON of its fields.
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

// expectedRows gives the rows as they are to be in Redis, by Arrow's accessors.
func expectedRows(t *testing.T, structure config.Structure, real realTable) []string {
	t.Helper()
	var rows []string
	for _, rec := range real.rows {
		for row := range int(rec.NumRows()) {
			fields := make(map[string]any)
			for i, f := range real.table.Schema.Fields() {
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
