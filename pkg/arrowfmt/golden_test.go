package arrowfmt_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/extensions"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/ampipe/ampipe/pkg/arrowfmt"
	"github.com/ampipe/ampipe/pkg/layout"
)

// jsonb has the options of pkg/sink/postgres, compact those of pkg/sink/redis.
const (
	jsonb   = arrowfmt.PlainFloats | arrowfmt.Spaces | arrowfmt.ShortEscapes | arrowfmt.Objects
	compact = arrowfmt.QuotedDecimals
)

type golden struct {
	dt     arrow.DataType
	values []string // as builders read them; null for NULL
}

func goldens() []golden {
	all := []golden{
		{arrow.Null, []string{null}},
		{arrow.FixedWidthTypes.Boolean, []string{"true", "false", null}},
		{arrow.PrimitiveTypes.Int8, []string{"-128", "127", null}},
		{arrow.PrimitiveTypes.Int16, []string{"-32768", "32767"}},
		{arrow.PrimitiveTypes.Int32, []string{"-2147483648", "2147483647"}},
		{arrow.PrimitiveTypes.Int64, []string{"-9223372036854775808", "9223372036854775807"}},
		{arrow.PrimitiveTypes.Uint8, []string{"0", "255"}},
		{arrow.PrimitiveTypes.Uint16, []string{"65535"}},
		{arrow.PrimitiveTypes.Uint32, []string{"4294967295"}},
		{arrow.PrimitiveTypes.Uint64, []string{"18446744073709551615"}},
		{arrow.FixedWidthTypes.Float16, []string{"0.1", "-65504", "NaN", "Inf", "-Inf", "-0"}},
		{arrow.PrimitiveTypes.Float32, []string{"0.1", "16777216", "1e21", "1e-7", "NaN", "Inf", "-Inf", "-0"}},
		{arrow.PrimitiveTypes.Float64, []string{"0.1", "100000", "1e21", "1e20", "1e-7", "5e-324", "NaN", "Inf", "-Inf", "-0", null}},
		{&arrow.Decimal32Type{Precision: 9, Scale: 2}, []string{"1234567.89", "-0.01", "0.00"}},
		{&arrow.Decimal64Type{Precision: 18, Scale: 0}, []string{"-999999999999999999"}},
		{&arrow.Decimal128Type{Precision: 38, Scale: 18}, []string{"-12345678901234567890.123456789012345678", null}},
		{&arrow.Decimal256Type{Precision: 76, Scale: 1}, []string{"115792089237316195423570985008687907853269984665640564039457584007913129639.9"}},
		{arrow.BinaryTypes.LargeBinary, []string{"AP8="}},
		{&arrow.FixedSizeBinaryType{ByteWidth: 2}, []string{"3q0=", null}},
		{arrow.FixedWidthTypes.Date32, []string{"1970-01-01", "9999-12-31", "0001-01-01", null}},
		{arrow.FixedWidthTypes.Date64, []string{"1969-12-31"}},
		{arrow.FixedWidthTypes.Time32s, []string{"23:59:59"}},
		{arrow.FixedWidthTypes.Time32ms, []string{"00:00:00.120"}},
		{arrow.FixedWidthTypes.Time64us, []string{"12:34:56.000001"}},
		{arrow.FixedWidthTypes.Time64ns, []string{"12:34:56.123456789", null}},
		{arrow.FixedWidthTypes.MonthInterval, []string{"0", "-13"}},
		{arrow.FixedWidthTypes.DayTimeInterval, []string{`{"days":0,"milliseconds":0}`, `{"days":-2,"milliseconds":1500}`}},
		{arrow.FixedWidthTypes.MonthDayNanoInterval, []string{`{"months":0,"days":0,"nanoseconds":0}`, `{"months":1,"days":-2,"nanoseconds":-1}`, null}},
		{&arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String}, []string{"a", "b", "a", null}},
		{extensions.NewUUIDType(), []string{"01234567-89ab-cdef-0123-456789abcdef", null}},
	}
	for _, text := range []arrow.DataType{arrow.BinaryTypes.String, arrow.BinaryTypes.LargeString, arrow.BinaryTypes.StringView} {
		all = append(all, golden{text, []string{"", "a \"quoted\" \\ text", "\x00\x01\b\f\n\r\t\x1f\x7f/<>&", "ä€😀\u2028", null}})
	}
	for _, binary := range []arrow.DataType{arrow.BinaryTypes.Binary, arrow.BinaryTypes.BinaryView} {
		all = append(all, golden{binary, []string{"", "AAH/", "bG9uZ2VyIHRoYW4gdHdlbHZlIGJ5dGVz", null}})
	}
	for _, unit := range []arrow.TimeUnit{arrow.Second, arrow.Millisecond, arrow.Microsecond, arrow.Nanosecond} {
		all = append(all,
			golden{&arrow.TimestampType{Unit: unit}, []string{"2024-02-29 12:34:56", "1969-12-31 23:59:59", null}},
			golden{&arrow.TimestampType{Unit: unit, TimeZone: "UTC"}, []string{"2024-02-29T12:34:56Z"}},
			golden{&arrow.DurationType{Unit: unit}, []string{"0", "-1500", "9223372036854775807"}})
	}
	member := func(name string, dt arrow.DataType) arrow.Field {
		return arrow.Field{Name: name, Type: dt, Nullable: true}
	}
	decimal, float, text := &arrow.Decimal128Type{Precision: 38, Scale: 2}, arrow.PrimitiveTypes.Float64, arrow.BinaryTypes.String
	return append(all,
		golden{arrow.StructOf(), []string{"{}"}},
		golden{arrow.StructOf(member("long", decimal), member("b\n", text), member("a", arrow.FixedWidthTypes.Date32)),
			[]string{`{"long":"1.50","b\n":"\t","a":"2024-02-29"}`, `{"long":null,"b\n":null,"a":null}`, null}},
		golden{arrow.ListOf(float), []string{"[]", "[1.5,null,1e21]", null}},
		golden{arrow.LargeListOf(text), []string{`["a",null,""]`}},
		golden{arrow.FixedSizeListOf(2, arrow.PrimitiveTypes.Uint64), []string{"[1,4294967296]", null}},
		golden{arrow.ListViewOf(arrow.BinaryTypes.Binary), []string{`["AP8=",null]`}},
		golden{arrow.LargeListViewOf(arrow.FixedWidthTypes.Timestamp_ms), []string{`["2024-02-29T12:34:56.789Z"]`}},
		golden{arrow.MapOf(text, decimal), []string{`[{"key":"long","value":"1.50"},{"key":"b","value":null},{"key":"a","value":"-0.25"}]`, "[]", null}},
		golden{arrow.MapOf(arrow.PrimitiveTypes.Int64, arrow.ListOf(text)), []string{`[{"key":2,"value":["x","y"]},{"key":1,"value":null}]`, "[]", null}},
	)
}

const null = array.NullValueStr

// TestGolden holds the bytes of every type. They are in tables, keys and digests: a change
// of them makes what was loaded before differ.
func TestGolden(t *testing.T) {
	t.Parallel()
	var got bytes.Buffer
	for _, g := range goldens() {
		arr := build(t, g)
		fmt.Fprintf(&got, "%s\n", g.dt)
		for i := range arr.Len() {
			text := "NULL"
			if arr.IsValid(i) {
				text = fmt.Sprintf("%q", compact.Text(arr)(nil, i))
			}
			fmt.Fprintf(&got, "  text    %s\n  compact %s\n  jsonb   %s\n", text, compact.JSON(arr)(nil, i), jsonb.JSON(arr)(nil, i))
			switch g.dt.ID() {
			case arrow.INTERVAL_MONTHS, arrow.INTERVAL_DAY_TIME, arrow.INTERVAL_MONTH_DAY_NANO:
				fmt.Fprintf(&got, "  short   %s\n", arrowfmt.ShortIntervals.JSON(arr)(nil, i))
			}
		}
	}
	file := filepath.Join("testdata", "golden.txt")
	if *update {
		if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines, wanted := bytes.Split(got.Bytes(), []byte("\n")), bytes.Split(want, []byte("\n"))
	for i := range max(len(lines), len(wanted)) {
		if i >= len(lines) || i >= len(wanted) || !bytes.Equal(lines[i], wanted[i]) {
			t.Fatalf("line %d of %s differs; got:\n%s", i+1, file, got.Bytes())
		}
	}
}

// TestGoldenHasEveryType holds that no type is missing that Amp may send and a destination
// takes.
func TestGoldenHasEveryType(t *testing.T) {
	t.Parallel()
	have := make(map[arrow.Type]bool)
	for _, g := range goldens() {
		have[g.dt.ID()] = true
	}
	for _, dt := range layout.Leaves() {
		if !have[dt.ID()] {
			t.Errorf("no golden value of the type %s", dt)
		}
	}
}

var update = flag.Bool("update", false, "write testdata/golden.txt")

func build(t *testing.T, g golden) arrow.Array {
	t.Helper()
	b := array.NewBuilder(memory.DefaultAllocator, g.dt)
	defer b.Release()
	for _, v := range g.values {
		if v == null {
			b.AppendNull()
			continue
		}
		if err := b.AppendValueFromString(v); err != nil {
			t.Fatalf("%s: %q: %v", g.dt, v, err)
		}
	}
	return b.NewArray()
}
