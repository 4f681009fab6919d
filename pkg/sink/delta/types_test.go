package delta_test

import (
	stdjson "encoding/json"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/delta"
	"github.com/ampipe/ampipe/pkg/sink/sinktest"
)

func ts(u arrow.TimeUnit, zone string) arrow.DataType {
	return &arrow.TimestampType{Unit: u, TimeZone: zone}
}

// typeCases are types that the recordings do not have, or not with such values.
// The first value stands before the rows that are written: everything is read from
// a slice. want is what delta-rs reads; without it, what Arrow has.
var typeCases = []struct {
	name string
	dt   arrow.DataType
	json []string
	want []string
}{
	{"boolean", arrow.FixedWidthTypes.Boolean, []string{"true", "true", "null", "false"}, nil},
	{"byte", arrow.PrimitiveTypes.Int8, []string{"1", "-128", "null", "127"}, nil},
	{"uint8", arrow.PrimitiveTypes.Uint8, []string{"1", "0", "null", "255"}, nil},
	{"uint16", arrow.PrimitiveTypes.Uint16, []string{"1", "0", "null", "65535"}, nil},
	{"uint32", arrow.PrimitiveTypes.Uint32, []string{"1", "0", "null", "4294967295"}, nil},
	{"uint64", arrow.PrimitiveTypes.Uint64, []string{"1", "0", "null", "18446744073709551615"}, []string{`"0"`, "null", `"18446744073709551615"`}},
	{"long", arrow.PrimitiveTypes.Int64, []string{"1", "-9223372036854775808", "null", "9223372036854775807"}, nil},
	{"large_text", arrow.BinaryTypes.LargeString, []string{`"x"`, `""`, "null", `"äöü"`}, nil},
	{"view", arrow.BinaryTypes.StringView, []string{`"x"`, `""`, "null", `"a text that is longer than twelve bytes"`}, nil},
	{"fixed", &arrow.FixedSizeBinaryType{ByteWidth: 2}, []string{`"AAA="`, `"AQI="`, "null", `"//8="`}, []string{`"0x0102"`, "null", `"0xffff"`}},
	{"dec32", &arrow.Decimal32Type{Precision: 5, Scale: 2}, []string{`"1.00"`, `"-999.99"`, "null", `"0.01"`}, []string{`"-999.99"`, "null", `"0.01"`}},
	{"dec64", &arrow.Decimal64Type{Precision: 15, Scale: 5}, []string{`"1"`, `"-9999999999.99999"`, "null", `"1"`}, []string{`"-9999999999.99999"`, "null", `"1.00000"`}},
	{"dec128", &arrow.Decimal128Type{Precision: 38, Scale: 0}, []string{`"1"`, `"-99999999999999999999999999999999999999"`, "null", `"7"`}, []string{`"-99999999999999999999999999999999999999"`, "null", `"7"`}},
	{"seconds", ts(arrow.Second, ""), []string{"0", "-1", "null", "253402214400"}, []string{`"1969-12-31T23:59:59.000000+00:00"`, "null", `"9999-12-31T00:00:00.000000+00:00"`}},
	{"nanos", ts(arrow.Nanosecond, "UTC"), []string{"0", "-1", "null", "1700000000123456789"}, []string{`"1969-12-31T23:59:59.999999+00:00"`, "null", `"2023-11-14T22:13:20.123456+00:00"`}},
	{"zoned", ts(arrow.Millisecond, "Europe/Berlin"), []string{"0", "-1", "null", "1700000000123"}, []string{`"1969-12-31T23:59:59.999000+00:00"`, "null", `"2023-11-14T22:13:20.123000+00:00"`}},
	{"date64", arrow.FixedWidthTypes.Date64, []string{"0", "-86400000", "null", "1700000000000"}, []string{`"1969-12-31"`, "null", `"2023-11-14"`}},
	{"time32", arrow.FixedWidthTypes.Time32ms, []string{"0", "3723004", "null", "0"}, []string{`"01:02:03.004"`, "null", `"00:00:00"`}},
	{"time64", arrow.FixedWidthTypes.Time64ns, []string{"0", "1", "null", "86399999999999"}, []string{`"00:00:00.000000001"`, "null", `"23:59:59.999999999"`}},
	{"duration", arrow.FixedWidthTypes.Duration_ms, []string{"0", "-5", "null", "5"}, []string{"-5", "null", "5"}},
	{"months", arrow.FixedWidthTypes.MonthInterval, []string{`{"months":0}`, `{"months":-14}`, "null", `{"months":0}`}, []string{`"P-14M"`, "null", `"PT0S"`}},
	{"days", arrow.FixedWidthTypes.DayTimeInterval, []string{`{"days":0,"milliseconds":0}`, `{"days":1,"milliseconds":-1500}`, "null", `{"days":0,"milliseconds":5}`}, []string{`"P1DT-1.5S"`, "null", `"PT0.005S"`}},
	{"words", &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String}, []string{`"x"`, `"a"`, "null", `"a"`}, []string{`"a"`, "null", `"a"`}},
	{"large_list", arrow.LargeListOf(arrow.PrimitiveTypes.Uint8), []string{"[9,9]", "[]", "null", "[1,null,255]"}, nil},
	{"fixed_list", arrow.FixedSizeListOf(2, arrow.BinaryTypes.String), []string{`["z","z"]`, `["a",null]`, "null", `["b","c"]`}, nil},
	{"list_view", arrow.ListViewOf(arrow.PrimitiveTypes.Int32), []string{"[9]", "[]", "null", "[1,2,3]"}, nil},
	{"structs", arrow.StructOf(nullableField("u", arrow.PrimitiveTypes.Uint32), nullableField("l", arrow.ListOf(ts(arrow.Second, "")))),
		[]string{`{"u":9,"l":[0]}`, `{"u":1,"l":[null,5]}`, "null", `{"u":null,"l":null}`},
		[]string{`{"l":[null,"1970-01-01T00:00:05.000000+00:00"],"u":1}`, "null", `{"l":null,"u":null}`}},
	{"maps", arrow.MapOf(arrow.BinaryTypes.String, arrow.PrimitiveTypes.Uint64), []string{`[{"key":"z","value":9}]`, `[{"key":"a","value":1},{"key":"b","value":null}]`, "null", "[]"},
		[]string{`[["a","1"],["b",null]]`, "null", "[]"}},
	{"half", arrow.FixedWidthTypes.Float16, []string{"1", "-0.5", "null", "65504"}, []string{`"` + bits(-0.5) + `"`, "null", `"` + bits(65504) + `"`}},
}

// typedRecord has a block column and a column of each case.
func typedRecord(t testing.TB) arrow.RecordBatch {
	t.Helper()
	fields := []arrow.Field{{Name: "block_num", Type: arrow.PrimitiveTypes.Uint64}}
	columns := []arrow.Array{fromJSON(t, arrow.PrimitiveTypes.Uint64, "7", "7", "7", "9")}
	for _, c := range typeCases {
		fields = append(fields, nullableField(c.name, c.dt))
		columns = append(columns, fromJSON(t, c.dt, c.json...))
	}
	return array.NewRecordBatch(arrow.NewSchema(fields, nil), columns, 4)
}

func fromJSON(t testing.TB, dt arrow.DataType, values ...string) arrow.Array {
	t.Helper()
	a, _, err := array.FromJSON(memory.DefaultAllocator, dt, strings.NewReader("["+strings.Join(values, ",")+"]"))
	if err != nil {
		t.Fatalf("%s: %v", dt, err)
	}
	return a
}

func TestEveryTypeIsReadBackByDeltaRS(t *testing.T) {
	t.Parallel()
	d := inFolder(t)
	rec := typedRecord(t).NewSlice(1, 4)
	as := sink.Table{Pipeline: "types", Sink: "lake", Schema: rec.Schema(), Epoch: 1}
	w := d.open(t, as)
	if _, err := w.Apply(t.Context(), []sink.Change{sinktest.ChangeOf(block.Closed(5, 12), rec)}); err != nil {
		t.Fatal(err)
	}
	sinktest.WantSameDigests(t, w, rec)
	if err := delta.Scan(t.Context(), d.store, -1, nil); err != nil {
		t.Error(err)
	}
	var rows [][]stdjson.RawMessage
	deltalake(t, d).ask(&rows, "values")
	if len(rows) != 3 {
		t.Fatalf("%d rows", len(rows))
	}
	for i, c := range typeCases {
		for row := range rows {
			var want string
			if c.want != nil {
				want = c.want[row]
			} else {
				text, err := stdjson.Marshal(plain(rec.Column(i+1), row, false))
				if err != nil {
					t.Fatal(err)
				}
				want = string(text)
			}
			if got := string(rows[row][i+1]); got != want {
				t.Errorf("%s, row %d: delta-rs reads %s, want %s", c.name, row, got, want)
			}
		}
	}
	// Everything is written anew when a block goes.
	live := sinktest.ChangeOf(block.Closed(9, 9))
	live.Kind, live.Live, live.Seq = "invalidate", true, 1
	start := sinktest.ChangeOf(block.Closed(20, 20))
	start.Live, start.Seq = true, 1
	live.Seq, live.After = 2, 1
	if applied, err := w.Apply(t.Context(), []sink.Change{start, live}); err != nil || applied.Deleted != 1 {
		t.Fatalf("%+v, %v", applied, err)
	}
	sinktest.WantSameDigests(t, w, rec.NewSlice(0, 2))
}

func TestValuesThatDoNotFitAreNamed(t *testing.T) {
	t.Parallel()
	build := func(dt arrow.DataType, fill func(array.Builder)) arrow.Array {
		b := array.NewBuilder(memory.DefaultAllocator, dt)
		defer b.Release()
		fill(b)
		return b.NewArray()
	}
	seconds := func(b array.Builder) {
		for _, v := range []arrow.Timestamp{0, math.MaxInt64, 0} {
			b.(*array.TimestampBuilder).Append(v)
		}
	}
	for name, c := range map[string]struct {
		column arrow.Array
		by     []config.Partition
		want   string
	}{
		"broken UTF-8": {build(arrow.BinaryTypes.String, func(b array.Builder) {
			b.(*array.StringBuilder).AppendValues([]string{"ä", "\xff", "x"}, nil)
		}), nil, "UTF-8"},
		"half a character": {build(arrow.BinaryTypes.String, func(b array.Builder) {
			b.(*array.StringBuilder).AppendValues([]string{"x", "\xc3", "\xa4"}, nil)
		}), nil, "UTF-8"},
		"broken UTF-8 in a list": {build(arrow.ListOf(arrow.BinaryTypes.String), func(b array.Builder) {
			l := b.(*array.ListBuilder)
			for _, some := range [][]string{{"a", "b"}, {"c", "\xff"}, nil} {
				l.Append(true)
				l.ValueBuilder().(*array.StringBuilder).AppendValues(some, nil)
			}
		}), nil, "UTF-8"},
		"a decimal too wide": {build(&arrow.Decimal128Type{Precision: 3}, func(b array.Builder) {
			for _, v := range []int64{999, 1000, 0} {
				b.(*array.Decimal128Builder).Append(decimal128.FromI64(v))
			}
		}), nil, "3 digits"},
		"a second too late": {build(ts(arrow.Second, ""), seconds), nil, "timestamp"},
		"a date too early": {build(arrow.FixedWidthTypes.Date64, func(b array.Builder) {
			b.(*array.Date64Builder).AppendValues([]arrow.Date64{0, math.MinInt64, 0}, nil)
		}), nil, "date"},
		"an empty text as a partition": {build(arrow.BinaryTypes.String, func(b array.Builder) {
			b.(*array.StringBuilder).AppendValues([]string{"a", "", "c"}, nil)
		}), []config.Partition{{Column: "v"}}, "empty text"},
		"a text that is too long for a folder": {build(arrow.BinaryTypes.String, func(b array.Builder) {
			b.(*array.StringBuilder).AppendValues([]string{strings.Repeat("a", 253), strings.Repeat("b", 254), "c"}, nil)
		}), []config.Partition{{Column: "v"}}, "takes 256 bytes, and the storage takes 255"},
		"letters that are too long in a folder's name": {build(arrow.BinaryTypes.String, func(b array.Builder) {
			b.(*array.StringBuilder).AppendValues([]string{"a/b?\x00.", strings.Repeat("語", 29), "c"}, nil)
		}), []config.Partition{{Column: "w"}, {Column: "v"}}, "takes 263 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := inFolder(t)
			d.cfg.PartitionBy = c.by
			as := tableWith(nullableField("v", c.column.DataType()), nullableField("w", arrow.PrimitiveTypes.Int8))
			rec := array.NewRecordBatch(as.Schema, []arrow.Array{fromJSON(t, arrow.PrimitiveTypes.Uint64, "3", "4", "5"), c.column,
				fromJSON(t, arrow.PrimitiveTypes.Int8, "1", "2", "3")}, 3)
			_, err := d.open(t, as).Apply(t.Context(), []sink.Change{sinktest.ChangeOf(block.Closed(3, 5), rec)})
			bad, ok := errors.AsType[*sink.BadRowError](err)
			if !ok || fault.Of(err) != fault.ClassPermanent || bad.Block != 4 || bad.Row != 1 || bad.Column != "v" || !strings.Contains(bad.Reason, c.want) {
				t.Errorf("the value is refused as %v", err)
			}
			if _, err := delta.Replay(t.Context(), d.store, 1); err == nil {
				t.Error("a version was made")
			}
		})
	}
}

func TestBlockNumbersThatAreTooLargeAreNamed(t *testing.T) {
	t.Parallel()
	as := tableWith(nullableField("v", arrow.PrimitiveTypes.Int8))
	rec := array.NewRecordBatch(as.Schema, []arrow.Array{fromJSON(t, arrow.PrimitiveTypes.Uint64, "9223372036854775808"), fromJSON(t, arrow.PrimitiveTypes.Int8, "1")}, 1)
	_, err := inFolder(t).open(t, as).Apply(t.Context(), []sink.Change{sinktest.ChangeOf(block.Closed(0, 5), rec)})
	if err == nil {
		t.Error("a block above the largest long was written")
	}
}

// TestPartitions divides tables in every way and reads them by delta-rs, which
// takes the values of partition columns from the log.
func TestPartitions(t *testing.T) {
	t.Parallel()
	for name, by := range map[string][]config.Partition{
		"by text":             {{Column: "key"}},
		"by block":            {{Column: "block_num"}},
		"by buckets":          {{Column: "block_num", Bucket: 7}},
		"by number and block": {{Column: "log_index"}, {Column: "block_num", Bucket: 25}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := inFolder(t)
			d.cfg.PartitionBy = by
			p := deltalake(t, d)
			s := &teller{t: t, w: d.open(t, suiteTable())}
			for n := block.Number(0); n < 40; n += 10 {
				s.history(n, n+10)
			}
			s.liveData(40, 60, 1)
			s.invalidate(33, 59)
			s.liveData(33, 50, 2)
			if by[0].Column != "block_num" || by[0].Bucket > 0 {
				if _, err := s.w.Compact(t.Context(), false); err != nil {
					t.Fatal(err)
				}
			}
			var rows []map[string]any
			p.ask(&rows, "dicts")
			var got []sinktest.Row
			for _, r := range rows {
				if bucket, ok := r["block_num_bucket"]; ok {
					size := float64(by[len(by)-1].Bucket)
					if want := math.Floor(r["block_num"].(float64)/size) * size; bucket != want {
						t.Errorf("block %v is in the bucket %v, want %v", r["block_num"], bucket, want)
					}
				}
				got = append(got, sinktest.Row{Key: r["key"].(string), Block: block.Number(r["block_num"].(float64)),
					Index: int32(r["log_index"].(float64)), Value: int64(r["value"].(float64))})
			}
			if want := sorted(s.want); !slices.Equal(sorted(got), want) {
				t.Errorf("delta-rs reads %d rows, want %d", len(got), len(want))
			}
			sinktest.WantSameDigests(t, s.w, record(sorted(s.want)))
		})
	}
}

// TestPartitionsOfOddValues has values that folders cannot have as they are.
func TestPartitionsOfOddValues(t *testing.T) {
	t.Parallel()
	d := inFolder(t)
	d.cfg.PartitionBy = []config.Partition{{Column: "v"}, {Column: "day"}, {Column: "at"}, {Column: "yes"}}
	as := tableWith(nullableField("v", arrow.BinaryTypes.String), nullableField("day", arrow.FixedWidthTypes.Date32),
		nullableField("at", ts(arrow.Nanosecond, "UTC")), nullableField("yes", arrow.FixedWidthTypes.Boolean))
	values := []string{`"a/b"`, `"50% = ä:b c+d"`, "null", `"__HIVE_DEFAULT_PARTITION__x"`, `"'\"\\"`}
	rec := array.NewRecordBatch(as.Schema, []arrow.Array{
		fromJSON(t, arrow.PrimitiveTypes.Uint64, "1", "2", "3", "4", "5"),
		fromJSON(t, arrow.BinaryTypes.String, values...),
		fromJSON(t, arrow.FixedWidthTypes.Date32, "0", "19000", "null", "-1", "5"),
		fromJSON(t, ts(arrow.Nanosecond, "UTC"), "0", "1700000000123456789", "null", "-1", "5000"),
		fromJSON(t, arrow.FixedWidthTypes.Boolean, "true", "false", "null", "true", "true"),
	}, 5)
	w := d.open(t, as)
	if _, err := w.Apply(t.Context(), []sink.Change{sinktest.ChangeOf(block.Closed(0, 9), rec)}); err != nil {
		t.Fatal(err)
	}
	sinktest.WantSameDigests(t, w, rec)
	var rows []stdjson.RawMessage
	deltalake(t, d).ask(&rows, "values")
	var got []string
	for _, r := range rows {
		got = append(got, string(r))
	}
	slices.Sort(got)
	want := []string{
		`[1,"a/b","1970-01-01","1970-01-01T00:00:00.000000+00:00",true]`,
		`[2,"50% = ä:b c+d","2022-01-08","2023-11-14T22:13:20.123456+00:00",false]`,
		`[3,null,null,null,null]`,
		`[4,"__HIVE_DEFAULT_PARTITION__x","1969-12-31","1969-12-31T23:59:59.999999+00:00",true]`,
		`[5,"'\"\\","1970-01-06","1970-01-01T00:00:00.000005+00:00",true]`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("delta-rs reads\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestCompressions reads files of every compression, and of dictionaries.
func TestCompressions(t *testing.T) {
	t.Parallel()
	for i, compression := range []string{"zstd(1)", "zstd(19)", "zstd", "snappy", "gzip", "none"} {
		d := inFolder(t)
		d.cfg.Compression = compression
		if i%2 == 0 {
			d.cfg.Dictionary = []string{"key", "value"}
		}
		s := &teller{t: t, w: d.open(t, suiteTable())}
		s.history(0, 30)
		if got, want := deltalake(t, d).rows(), sorted(s.want); !slices.Equal(got, want) {
			t.Errorf("%s: delta-rs reads %d rows, want %d", compression, len(got), len(want))
		}
	}
}
