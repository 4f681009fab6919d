package postgres_test

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/decimal256"
	"github.com/apache/arrow-go/v18/arrow/extensions"
	"github.com/apache/arrow-go/v18/arrow/float16"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/sinktest"
)

// typeCase is a column, the values put in and what SQL is to read.
type typeCase struct {
	name string
	dt   arrow.DataType
	as   string // types: override
	sql  string // type in PostgreSQL
	put  func(array.Builder)
	want []string // as text; NULL for a null
}

func values[B interface{ Append(T) }, T any](vs ...T) func(array.Builder) {
	return func(b array.Builder) {
		for _, v := range vs {
			any(b).(B).Append(v)
		}
		b.AppendNull()
	}
}

func decimal128s(texts ...string) func(array.Builder) {
	return func(b array.Builder) {
		for _, s := range texts {
			n, _ := new(big.Int).SetString(s, 10)
			b.(*array.Decimal128Builder).Append(decimal128.FromBigInt(n))
		}
		b.AppendNull()
	}
}

func decimal256s(texts ...string) func(array.Builder) {
	return func(b array.Builder) {
		for _, s := range texts {
			n, _ := new(big.Int).SetString(s, 10)
			b.(*array.Decimal256Builder).Append(decimal256.FromBigInt(n))
		}
		b.AppendNull()
	}
}

// json appends values given as JSON, which Arrow reads by itself.
func json(lines ...string) func(array.Builder) {
	return func(b array.Builder) {
		if err := b.UnmarshalJSON([]byte("[" + strings.Join(lines, ",") + "]")); err != nil {
			panic(err)
		}
	}
}

func nines(n int) string { return strings.Repeat("9", n) }

var (
	negativeZero = math.Copysign(0, -1)
	utc          = "UTC"
	ts           = func(u arrow.TimeUnit, zone string) *arrow.TimestampType {
		return &arrow.TimestampType{Unit: u, TimeZone: zone}
	}
	abFields = []arrow.Field{
		{Name: "long_name", Type: arrow.PrimitiveTypes.Uint64, Nullable: true},
		{Name: "b", Type: arrow.BinaryTypes.String, Nullable: true},
		{Name: "a", Type: arrow.BinaryTypes.Binary, Nullable: true},
	}
)

var typeCases = []typeCase{
	{"boolean", arrow.FixedWidthTypes.Boolean, "", "boolean", values[*array.BooleanBuilder](true, false, true, true, false, false, true, true, true), []string{"true", "false", "true", "true", "false", "false", "true", "true", "true", "NULL"}},
	{"int8", arrow.PrimitiveTypes.Int8, "", "smallint", values[*array.Int8Builder](int8(-128), 0, 127), []string{"-128", "0", "127", "NULL"}},
	{"int16", arrow.PrimitiveTypes.Int16, "", "smallint", values[*array.Int16Builder](int16(-32768), -1, 32767), []string{"-32768", "-1", "32767", "NULL"}},
	{"uint8", arrow.PrimitiveTypes.Uint8, "", "smallint", values[*array.Uint8Builder](uint8(0), 255), []string{"0", "255", "NULL"}},
	{"int32", arrow.PrimitiveTypes.Int32, "", "integer", values[*array.Int32Builder](int32(math.MinInt32), -1, math.MaxInt32), []string{"-2147483648", "-1", "2147483647", "NULL"}},
	{"uint16", arrow.PrimitiveTypes.Uint16, "", "integer", values[*array.Uint16Builder](uint16(0), 65535), []string{"0", "65535", "NULL"}},
	{"int64", arrow.PrimitiveTypes.Int64, "", "bigint", values[*array.Int64Builder](int64(math.MinInt64), -1, math.MaxInt64), []string{"-9223372036854775808", "-1", "9223372036854775807", "NULL"}},
	{"uint32", arrow.PrimitiveTypes.Uint32, "", "bigint", values[*array.Uint32Builder](uint32(0), math.MaxUint32), []string{"0", "4294967295", "NULL"}},
	{"uint64", arrow.PrimitiveTypes.Uint64, "", "numeric(20,0)", values[*array.Uint64Builder](uint64(0), 1, 9999, 10000, 10001, 100000000, 99990000, math.MaxInt64, math.MaxUint64),
		[]string{"0", "1", "9999", "10000", "10001", "100000000", "99990000", "9223372036854775807", "18446744073709551615", "NULL"}},
	{"uint64 as bigint", arrow.PrimitiveTypes.Uint64, "bigint", "bigint", values[*array.Uint64Builder](uint64(0), math.MaxInt64), []string{"0", "9223372036854775807", "NULL"}},
	{"int64 as numeric", arrow.PrimitiveTypes.Int64, "numeric", "numeric(19,0)", values[*array.Int64Builder](int64(math.MinInt64), -10000, 0, math.MaxInt64), []string{"-9223372036854775808", "-10000", "0", "9223372036854775807", "NULL"}},
	{"int8 as numeric", arrow.PrimitiveTypes.Int8, "numeric", "numeric(3,0)", values[*array.Int8Builder](int8(-128), 127), []string{"-128", "127", "NULL"}},
	{"uint8 as bigint", arrow.PrimitiveTypes.Uint8, "bigint", "bigint", values[*array.Uint8Builder](uint8(0), 255), []string{"0", "255", "NULL"}},
	{"text as numeric", arrow.BinaryTypes.String, "numeric", "numeric", values[*array.StringBuilder]("0", "-1.50", nines(78), "1e3"), []string{"0", "-1.50", nines(78), "1000", "NULL"}},
	{"float16", arrow.FixedWidthTypes.Float16, "", "real", values[*array.Float16Builder](float16.New(1.5), float16.New(-65504), float16.Inf(), float16.NaN()), []string{"1.5", "-65504", "Infinity", "NaN", "NULL"}},
	{"float32", arrow.PrimitiveTypes.Float32, "", "real", values[*array.Float32Builder](float32(0.1), math.MaxFloat32, float32(negativeZero), float32(math.Inf(-1))), []string{"0.1", "3.4028235e+38", "-0", "-Infinity", "NULL"}},
	{"float64", arrow.PrimitiveTypes.Float64, "", "double precision", values[*array.Float64Builder](0.1, math.SmallestNonzeroFloat64, math.MaxFloat64, negativeZero, math.NaN(), math.Inf(1)),
		[]string{"0.1", "5e-324", "1.7976931348623157e+308", "-0", "NaN", "Infinity", "NULL"}},
	{"utf8", arrow.BinaryTypes.String, "", "text", values[*array.StringBuilder]("", "ä€😀", "a'\"\\\n\t\x7f"), []string{"", "ä€😀", "a'\"\\\n\t\x7f", "NULL"}},
	{"large utf8", arrow.BinaryTypes.LargeString, "", "text", values[*array.LargeStringBuilder]("", "x", "ß"), []string{"", "x", "ß", "NULL"}},
	{"utf8 view", arrow.BinaryTypes.StringView, "", "text", values[*array.StringViewBuilder]("", "short", "twelve bytes", "longer than twelve bytes", "ö"), []string{"", "short", "twelve bytes", "longer than twelve bytes", "ö", "NULL"}},
	{"binary", arrow.BinaryTypes.Binary, "", "bytea", values[*array.BinaryBuilder]([]byte{}, []byte{0, 255, 92}), []string{`\x`, `\x00ff5c`, "NULL"}},
	{"large binary", arrow.BinaryTypes.LargeBinary, "", "bytea", values[*array.BinaryBuilder]([]byte{}, []byte{1, 2}), []string{`\x`, `\x0102`, "NULL"}},
	{"binary view", arrow.BinaryTypes.BinaryView, "", "bytea", values[*array.BinaryViewBuilder]([]byte{}, []byte{1}, []byte("more than twelve bytes")), []string{`\x`, `\x01`, `\x6d6f7265207468616e207477656c7665206279746573`, "NULL"}},
	{"fixed binary", &arrow.FixedSizeBinaryType{ByteWidth: 3}, "", "bytea", values[*array.FixedSizeBinaryBuilder]([]byte{0, 0, 0}, []byte{1, 2, 255}), []string{`\x000000`, `\x0102ff`, "NULL"}},
	{"fixed binary of nothing", &arrow.FixedSizeBinaryType{ByteWidth: 0}, "", "bytea", values[*array.FixedSizeBinaryBuilder]([]byte{}), []string{`\x`, "NULL"}},
	{"binary as hex", arrow.BinaryTypes.Binary, "hex", "text", values[*array.BinaryBuilder]([]byte{}, []byte{0, 255, 92}), []string{"0x", "0x00ff5c", "NULL"}},
	{"fixed binary as hex", &arrow.FixedSizeBinaryType{ByteWidth: 2}, "hex", "text", values[*array.FixedSizeBinaryBuilder]([]byte{0xab, 0xcd}), []string{"0xabcd", "NULL"}},
	{"binary view as hex", arrow.BinaryTypes.BinaryView, "hex", "text", values[*array.BinaryViewBuilder]([]byte{0xab}), []string{"0xab", "NULL"}},
	{"decimal128(38,0)", &arrow.Decimal128Type{Precision: 38}, "", "numeric(38,0)",
		decimal128s("0", "1", "-1", "10000", nines(38), "-"+nines(38), "1"+strings.Repeat("0", 37), "18446744073709551616"),
		[]string{"0", "1", "-1", "10000", nines(38), "-" + nines(38), "1" + strings.Repeat("0", 37), "18446744073709551616", "NULL"}},
	{"decimal128(10,2)", &arrow.Decimal128Type{Precision: 10, Scale: 2}, "", "numeric(10,2)", decimal128s("0", "1", "-1", "100", "1234", "9999999999", "1000000"), []string{"0.00", "0.01", "-0.01", "1.00", "12.34", "99999999.99", "10000.00", "NULL"}},
	{"decimal128(38,37)", &arrow.Decimal128Type{Precision: 38, Scale: 37}, "", "numeric(38,37)", decimal128s("1", nines(38)), []string{"0." + strings.Repeat("0", 36) + "1", "9." + nines(37), "NULL"}},
	{"decimal128(5,-3)", &arrow.Decimal128Type{Precision: 5, Scale: -3}, "", "numeric(8,0)", decimal128s("0", "1", "-99999"), []string{"0", "1000", "-99999000", "NULL"}},
	{"decimal128(2,5)", &arrow.Decimal128Type{Precision: 2, Scale: 5}, "", "numeric(5,5)", decimal128s("0", "7", "-99"), []string{"0.00000", "0.00007", "-0.00099", "NULL"}},
	{"decimal256(76,0)", &arrow.Decimal256Type{Precision: 76}, "", "numeric(76,0)", decimal256s("0", "5", nines(76), "-"+nines(76), "340282366920938463463374607431768211456"),
		[]string{"0", "5", nines(76), "-" + nines(76), "340282366920938463463374607431768211456", "NULL"}},
	{"decimal256(76,75)", &arrow.Decimal256Type{Precision: 76, Scale: 75}, "", "numeric(76,75)", decimal256s(nines(76), "-1"), []string{"9." + nines(75), "-0." + strings.Repeat("0", 74) + "1", "NULL"}},
	{"decimal32", &arrow.Decimal32Type{Precision: 9, Scale: 3}, "", "numeric(9,3)", json(`"-123456.789"`, `"0.001"`, "null"), []string{"-123456.789", "0.001", "NULL"}},
	{"decimal64", &arrow.Decimal64Type{Precision: 18, Scale: 1}, "", "numeric(18,1)", json(`"99999999999999999.9"`, `"-0.1"`, "null"), []string{"99999999999999999.9", "-0.1", "NULL"}},
	{"decimal as numeric", &arrow.Decimal128Type{Precision: 4, Scale: 1}, "numeric", "numeric(4,1)", decimal128s("15"), []string{"1.5", "NULL"}},
	{"date32", arrow.FixedWidthTypes.Date32, "", "date", values[*array.Date32Builder](arrow.Date32(0), -1, 19723, -719162-366, 2145031948+10957), []string{"1970-01-01", "1969-12-31", "2024-01-01", "0001-01-01 BC", "5874897-12-31", "NULL"}},
	{"date64", arrow.FixedWidthTypes.Date64, "", "date", values[*array.Date64Builder](arrow.Date64(0), -86400000, 19723*86400000), []string{"1970-01-01", "1969-12-31", "2024-01-01", "NULL"}},
	{"time32(s)", arrow.FixedWidthTypes.Time32s, "", "time without time zone", values[*array.Time32Builder](arrow.Time32(0), 86399, 86400), []string{"00:00:00", "23:59:59", "24:00:00", "NULL"}},
	{"time32(ms)", arrow.FixedWidthTypes.Time32ms, "", "time without time zone", values[*array.Time32Builder](arrow.Time32(1), 3723004), []string{"00:00:00.001", "01:02:03.004", "NULL"}},
	{"time64(us)", arrow.FixedWidthTypes.Time64us, "", "time without time zone", values[*array.Time64Builder](arrow.Time64(1), 86399999999), []string{"00:00:00.000001", "23:59:59.999999", "NULL"}},
	{"time64(ns)", arrow.FixedWidthTypes.Time64ns, "", "time without time zone", values[*array.Time64Builder](arrow.Time64(1999), 86399999999999), []string{"00:00:00.000001", "23:59:59.999999", "NULL"}},
	{"timestamp(s)", ts(arrow.Second, ""), "", "timestamp without time zone", values[*array.TimestampBuilder](arrow.Timestamp(0), -1, -210866803200, 9224318015999), []string{"1970-01-01 00:00:00", "1969-12-31 23:59:59", "4714-11-24 00:00:00 BC", "294276-12-31 23:59:59", "NULL"}},
	{"timestamp(ms)", ts(arrow.Millisecond, ""), "", "timestamp without time zone", values[*array.TimestampBuilder](arrow.Timestamp(-1), 9224318015999999), []string{"1969-12-31 23:59:59.999", "294276-12-31 23:59:59.999", "NULL"}},
	{"timestamp(us)", ts(arrow.Microsecond, utc), "", "timestamp with time zone", values[*array.TimestampBuilder](arrow.Timestamp(-1), 1704067200000001, math.MaxInt64), []string{"1969-12-31 23:59:59.999999+00", "2024-01-01 00:00:00.000001+00", "294247-01-10 04:00:54.775807+00", "NULL"}},
	{"timestamp(ns)", ts(arrow.Nanosecond, "+00:00"), "", "timestamp with time zone", values[*array.TimestampBuilder](arrow.Timestamp(1704067200123456789), -1, -1001, math.MaxInt64, math.MinInt64),
		[]string{"2024-01-01 00:00:00.123456+00", "1969-12-31 23:59:59.999999+00", "1969-12-31 23:59:59.999998+00", "2262-04-11 23:47:16.854775+00", "1677-09-21 00:12:43.145224+00", "NULL"}},
	{"timestamp in another zone", ts(arrow.Second, "America/New_York"), "", "timestamp with time zone", values[*array.TimestampBuilder](arrow.Timestamp(0)), []string{"1970-01-01 00:00:00+00", "NULL"}},
	{"duration(s)", arrow.FixedWidthTypes.Duration_s, "", "interval", values[*array.DurationBuilder](arrow.Duration(5), -90061), []string{"PT5S", "PT-25H-1M-1S", "NULL"}},
	{"duration(ms)", arrow.FixedWidthTypes.Duration_ms, "", "interval", values[*array.DurationBuilder](arrow.Duration(1500)), []string{"PT1.5S", "NULL"}},
	{"duration(us)", arrow.FixedWidthTypes.Duration_us, "", "interval", values[*array.DurationBuilder](arrow.Duration(-1)), []string{"PT-0.000001S", "NULL"}},
	{"duration(ns)", arrow.FixedWidthTypes.Duration_ns, "", "interval", values[*array.DurationBuilder](arrow.Duration(1999), -1999), []string{"PT0.000001S", "PT-0.000001S", "NULL"}},
	{"interval months", arrow.FixedWidthTypes.MonthInterval, "", "interval", values[*array.MonthIntervalBuilder](arrow.MonthInterval(14), -1), []string{"P1Y2M", "P-1M", "NULL"}},
	{"interval days", arrow.FixedWidthTypes.DayTimeInterval, "", "interval", values[*array.DayTimeIntervalBuilder](arrow.DayTimeInterval{Days: 2, Milliseconds: -1500}), []string{"P2DT-1.5S", "NULL"}},
	{"interval nanos", arrow.FixedWidthTypes.MonthDayNanoInterval, "", "interval", values[*array.MonthDayNanoIntervalBuilder](arrow.MonthDayNanoInterval{Months: 1, Days: -2, Nanoseconds: 3_000_001_999}), []string{"P1M-2DT3.000001S", "NULL"}},
	{"null", arrow.Null, "", "text", func(b array.Builder) { b.AppendNulls(3) }, []string{"NULL", "NULL", "NULL"}},
	{"dictionary", &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Uint8, ValueType: arrow.BinaryTypes.String}, "", "text", json(`"x"`, `""`, `"x"`, "null", `"y"`), []string{"x", "", "x", "NULL", "y"}},
	{"dictionary as hex", &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int32, ValueType: arrow.BinaryTypes.Binary}, "hex", "text", json(`"AQI="`, "null"), []string{"0x0102", "NULL"}},
	{"extension", extensions.NewUUIDType(), "", "bytea", json(`"00112233-4455-6677-8899-aabbccddeeff"`, "null"), []string{`\x00112233445566778899aabbccddeeff`, "NULL"}},
	{"list", arrow.ListOf(arrow.PrimitiveTypes.Int64), "", "jsonb", json("[1, -2, null]", "[]", "null", "[9223372036854775807]"), []string{"[1, -2, null]", "[]", "NULL", "[9223372036854775807]"}},
	{"large list", arrow.LargeListOf(arrow.PrimitiveTypes.Uint64), "", "jsonb", json("[18446744073709551615]", "null"), []string{"[18446744073709551615]", "NULL"}},
	{"fixed list", arrow.FixedSizeListOf(2, arrow.PrimitiveTypes.Int8), "", "jsonb", json("[1, 2]", "null", "[3, null]"), []string{"[1, 2]", "NULL", "[3, null]"}},
	{"list view", arrow.ListViewOf(arrow.PrimitiveTypes.Int32), "", "jsonb", json("[1, 2]", "null", "[]"), []string{"[1, 2]", "NULL", "[]"}},
	{"list of lists", arrow.ListOf(arrow.ListOf(&arrow.FixedSizeBinaryType{ByteWidth: 2})), "", "jsonb", json(`[["AQI="], [], null]`, "null"), []string{`[["0x0102"], [], null]`, "NULL"}},
	{"struct", arrow.StructOf(abFields...), "", "jsonb", json(`{"long_name": 18446744073709551615, "b": "\u0001\b\f\n\r\t\"\\/\u001f\u007f€", "a": "AA=="}`, `{"long_name": null, "b": "", "a": null}`, "null"),
		[]string{`{"a": "0x00", "b": "\u0001\b\f\n\r\t\"\\/\u001f` + "\x7f€" + `", "long_name": 18446744073709551615}`, `{"a": null, "b": "", "long_name": null}`, "NULL"}},
	{"struct of nothing", arrow.StructOf(), "", "jsonb", json("{}", "null"), []string{"{}", "NULL"}},
	{"struct with odd names", arrow.StructOf(arrow.Field{Name: "ä", Type: arrow.PrimitiveTypes.Int8}, arrow.Field{Name: "", Type: arrow.PrimitiveTypes.Int8}, arrow.Field{Name: "zz", Type: arrow.PrimitiveTypes.Int8}, arrow.Field{Name: "\"", Type: arrow.PrimitiveTypes.Int8}), "", "jsonb",
		json(`{"ä": 1, "": 2, "zz": 3, "\"": 4}`), []string{`{"": 2, "\"": 4, "zz": 3, "ä": 1}`}},
	{"list of structs", arrow.ListOf(arrow.StructOf(abFields...)), "", "jsonb", json(`[{"long_name": 1, "b": "x", "a": ""}, null]`, "null"), []string{`[{"a": "0x", "b": "x", "long_name": 1}, null]`, "NULL"}},
	{"map of texts", arrow.MapOf(arrow.BinaryTypes.String, arrow.PrimitiveTypes.Int64), "", "jsonb", json(`[{"key":"zz","value":1},{"key":"b","value":null},{"key":"","value":3}]`, "[]", "null"), []string{`{"": 3, "b": null, "zz": 1}`, "{}", "NULL"}},
	{"map of numbers", arrow.MapOf(arrow.PrimitiveTypes.Int64, arrow.BinaryTypes.String), "", "jsonb", json(`[{"key":2,"value":"b"},{"key":1,"value":null}]`, "[]"), []string{`[[2, "b"], [1, null]]`, "[]"}},
	{"json of floats", arrow.ListOf(arrow.PrimitiveTypes.Float64), "", "jsonb", func(b array.Builder) {
		b.(*array.ListBuilder).Append(true)
		for _, f := range []float64{0.1, 1, 1e21, 1e-9, -2.5e30, negativeZero, math.NaN(), math.Inf(1), math.Inf(-1), 123456789.125} {
			b.(*array.ListBuilder).ValueBuilder().(*array.Float64Builder).Append(f)
		}
	}, []string{`[0.1, 1, 1000000000000000000000, 0.000000001, -2500000000000000000000000000000, 0, "NaN", "Infinity", "-Infinity", 123456789.125]`}},
	{"json of small floats", arrow.ListOf(arrow.PrimitiveTypes.Float32), "", "jsonb", json("[0.1, 16777216, 3.4028235e38]"), []string{"[0.1, 16777216, 340282350000000000000000000000000000000]"}},
	{"json of halves", arrow.ListOf(arrow.FixedWidthTypes.Float16), "", "jsonb", json("[1.5, 65504]"), []string{"[1.5, 65504]"}},
	{"json of decimals", arrow.ListOf(&arrow.Decimal128Type{Precision: 38, Scale: 3}), "", "jsonb", json(`["12.300", "-0.001", "0", "99999999999999999999999999999999999.999"]`), []string{"[12.300, -0.001, 0.000, 99999999999999999999999999999999999.999]"}},
	{"json of negative scale", arrow.ListOf(&arrow.Decimal256Type{Precision: 10, Scale: -2}), "", "jsonb", func(b array.Builder) {
		b.(*array.ListBuilder).Append(true)
		decimal256s("5", "0", "-7")(b.(*array.ListBuilder).ValueBuilder())
	}, []string{"[500, 0, -700, null]"}},
	{"json of times", arrow.StructOf(
		arrow.Field{Name: "a", Type: ts(arrow.Nanosecond, utc)}, arrow.Field{Name: "b", Type: ts(arrow.Second, "")},
		arrow.Field{Name: "c", Type: arrow.FixedWidthTypes.Date32}, arrow.Field{Name: "d", Type: arrow.FixedWidthTypes.Time64ns},
		arrow.Field{Name: "e", Type: arrow.FixedWidthTypes.Duration_ms}, arrow.Field{Name: "f", Type: arrow.FixedWidthTypes.MonthDayNanoInterval}), "", "jsonb",
		func(b array.Builder) {
			s := b.(*array.StructBuilder)
			s.Append(true)
			s.FieldBuilder(0).(*array.TimestampBuilder).Append(1704067200123456789)
			s.FieldBuilder(1).(*array.TimestampBuilder).Append(-1)
			s.FieldBuilder(2).(*array.Date32Builder).Append(19723)
			s.FieldBuilder(3).(*array.Time64Builder).Append(3723_000_000_010)
			s.FieldBuilder(4).(*array.DurationBuilder).Append(-1500)
			s.FieldBuilder(5).(*array.MonthDayNanoIntervalBuilder).Append(arrow.MonthDayNanoInterval{Months: 1, Days: 2, Nanoseconds: 3_000_000_001})
		}, []string{`{"a": "2024-01-01T00:00:00.123456789Z", "b": "1969-12-31T23:59:59", "c": "2024-01-01", "d": "01:02:03.00000001", "e": "PT-1.5S", "f": "P1M2DT3.000000001S"}`}},
	{"json of the rest", arrow.StructOf(
		arrow.Field{Name: "a", Type: arrow.FixedWidthTypes.Boolean}, arrow.Field{Name: "b", Type: arrow.Null},
		arrow.Field{Name: "c", Type: &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String}},
		arrow.Field{Name: "d", Type: arrow.BinaryTypes.StringView}, arrow.Field{Name: "e", Type: arrow.BinaryTypes.BinaryView},
		arrow.Field{Name: "f", Type: arrow.FixedWidthTypes.DayTimeInterval}, arrow.Field{Name: "g", Type: arrow.FixedWidthTypes.MonthInterval}), "", "jsonb",
		json(`{"a": true, "b": null, "c": "x", "d": "y", "e": "AQ==", "f": {"days": 1, "milliseconds": 2}, "g": {"months": 14}}`), []string{`{"a": true, "b": null, "c": "x", "d": "y", "e": "0x01", "f": "P1DT0.002S", "g": "P14M"}`}},
}

// tableOf is a table of a block column and one other.
func tableOf(c typeCase) sink.Table {
	schema := arrow.NewSchema([]arrow.Field{
		{Name: "block_num", Type: arrow.PrimitiveTypes.Uint64}, {Name: "v", Type: c.dt, Nullable: true}}, nil)
	return sink.Table{Pipeline: "p", Sink: "s", Schema: schema, Epoch: 1}
}

// recordOf returns the values, one to a block, from block 0 on.
func recordOf(t testing.TB, c typeCase) arrow.RecordBatch {
	b := array.NewRecordBuilder(memory.DefaultAllocator, tableOf(c).Schema)
	defer b.Release()
	c.put(b.Field(1))
	for n := range b.Field(1).Len() {
		b.Field(0).(*array.Uint64Builder).Append(uint64(n))
	}
	rec := b.NewRecordBatch()
	t.Cleanup(rec.Release)
	return rec
}

func TestEveryTypeIsReadBackBySQL(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	db.run("SET timezone = 'UTC'; SET intervalstyle = 'iso_8601'; SET datestyle = 'ISO'")
	for i, c := range typeCases {
		t.Run(c.name, func(t *testing.T) {
			cfg, table := db.config(), tableOf(c)
			cfg.Table = fmt.Sprintf("t%d", i)
			if c.as != "" {
				cfg.Types = map[string]string{"v": c.as}
			}
			w := open(t, cfg, table)
			rec := recordOf(t, c)
			// Twice, so that the second entry begins inside the record.
			cut := rec.NumRows() / 2
			head, tail := rec.NewSlice(0, cut), rec.NewSlice(cut, rec.NumRows())
			defer head.Release()
			defer tail.Release()
			at := block.Number(cut)
			if _, err := w.Apply(t.Context(), []sink.Change{sinktest.ChangeOf(block.Range{Start: at, End: 1000}, tail)}); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Apply(t.Context(), []sink.Change{sinktest.ChangeOf(block.Range{Start: 0, End: at}, head)}); err != nil {
				t.Fatal(err)
			}
			if got := db.text("SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = $1::text::regclass AND attname = 'v'", cfg.Table); got != c.sql {
				t.Errorf("the column is of the type %s, want %s", got, c.sql)
			}
			var got []string
			if err := db.QueryRow(t.Context(), "SELECT array_agg(coalesce(v::text, 'NULL') ORDER BY block_num) FROM "+cfg.Table).Scan(&got); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("read back as\n%q, want\n%q", got, c.want)
			}
			sinktest.WantSameDigests(t, w, rec)
		})
	}
}

// refusals are values that the destination cannot hold; each is row 1 of three.
var refusals = []typeCase{
	{name: "NUL in text", dt: arrow.BinaryTypes.String, put: values[*array.StringBuilder]("a", "b\x00c"), want: []string{"NUL"}},
	{name: "NUL in a view", dt: arrow.BinaryTypes.StringView, put: values[*array.StringViewBuilder]("a", "\x00"), want: []string{"NUL"}},
	{name: "broken UTF-8", dt: arrow.BinaryTypes.String, put: values[*array.StringBuilder]("ä", "\xff"), want: []string{"UTF-8"}},
	{name: "half a character", dt: arrow.BinaryTypes.LargeString, put: values[*array.LargeStringBuilder]("x", "\xc3", "\xa4"), want: []string{"UTF-8"}},
	{name: "UInt64 as bigint", dt: arrow.PrimitiveTypes.Uint64, as: "bigint", put: values[*array.Uint64Builder](uint64(1), math.MaxInt64+1), want: []string{"9223372036854775807"}},
	{name: "decimal too wide", dt: &arrow.Decimal128Type{Precision: 3}, put: decimal128s("999", "-1000"), want: []string{"more digits"}},
	{name: "decimal256 too wide", dt: &arrow.Decimal256Type{Precision: 76}, put: decimal256s("1", "1"+strings.Repeat("0", 76)), want: []string{"more digits"}},
	{name: "second too early", dt: ts(arrow.Second, ""), put: values[*array.TimestampBuilder](arrow.Timestamp(0), -210866803201), want: []string{"4713 BC"}},
	{name: "second too late", dt: ts(arrow.Second, utc), put: values[*array.TimestampBuilder](arrow.Timestamp(0), 9224318016000), want: []string{"294276"}},
	{name: "millisecond too late", dt: ts(arrow.Millisecond, ""), put: values[*array.TimestampBuilder](arrow.Timestamp(0), math.MaxInt64), want: []string{"294276"}},
	{name: "microsecond too early", dt: ts(arrow.Microsecond, ""), put: values[*array.TimestampBuilder](arrow.Timestamp(0), math.MinInt64), want: []string{"4713 BC"}},
	{name: "date too late", dt: arrow.FixedWidthTypes.Date32, put: values[*array.Date32Builder](arrow.Date32(0), math.MaxInt32), want: []string{"5874897"}},
	{name: "date64 too early", dt: arrow.FixedWidthTypes.Date64, put: values[*array.Date64Builder](arrow.Date64(0), math.MinInt64), want: []string{"4713 BC"}},
	{name: "time after midnight", dt: arrow.FixedWidthTypes.Time32s, put: values[*array.Time32Builder](arrow.Time32(0), 86401), want: []string{"24:00"}},
	{name: "time before midnight", dt: arrow.FixedWidthTypes.Time64ns, put: values[*array.Time64Builder](arrow.Time64(0), -1), want: []string{"24:00"}},
	{name: "duration too long", dt: arrow.FixedWidthTypes.Duration_s, put: values[*array.DurationBuilder](arrow.Duration(0), math.MaxInt64), want: []string{"interval"}},
	{name: "NUL in a list", dt: arrow.ListOf(arrow.BinaryTypes.String), put: json(`["a"]`, `["b", "\u0000"]`, "null"), want: []string{"NUL"}},
	{name: "NUL in the key of a map", dt: arrow.MapOf(arrow.BinaryTypes.String, arrow.PrimitiveTypes.Int8), put: json("[]", `[{"key":"\u0000","value":1}]`, "null"), want: []string{"NUL"}},
	{name: "a map with a key twice", dt: arrow.MapOf(arrow.BinaryTypes.String, arrow.PrimitiveTypes.Int8), put: json("[]", `[{"key":"k","value":1},{"key":"k","value":2}]`, "null"), want: []string{"twice"}},
	{name: "NUL in a dictionary", dt: &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Uint8, ValueType: arrow.BinaryTypes.String}, put: json(`"x"`, `"\u0000"`, "null"), want: []string{"NUL"}},
	{name: "a timestamp in a struct", dt: arrow.StructOf(arrow.Field{Name: "t", Type: ts(arrow.Second, "")}), put: func(b array.Builder) {
		for _, v := range []arrow.Timestamp{0, math.MaxInt64, 0} {
			b.(*array.StructBuilder).Append(true)
			b.(*array.StructBuilder).FieldBuilder(0).(*array.TimestampBuilder).Append(v)
		}
	}, want: []string{"294276"}},
}

func TestValuesThatDoNotFitAreNamed(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	for i, c := range refusals {
		t.Run(c.name, func(t *testing.T) {
			cfg := db.config()
			cfg.Table = fmt.Sprintf("t%d", i)
			if c.as != "" {
				cfg.Types = map[string]string{"v": c.as}
			}
			w := open(t, cfg, tableOf(c))
			rec := recordOf(t, c)
			good := rec.NewSlice(0, 1)
			defer good.Release()
			other := sinktest.ChangeOf(block.Range{Start: 500, End: 501})
			_, err := w.Apply(t.Context(), []sink.Change{other, sinktest.ChangeOf(block.Range{Start: 0, End: 100}, good, rec.NewSlice(1, rec.NumRows()))})
			var bad *sink.BadRowError
			if !errors.As(err, &bad) || fault.Of(err) != fault.ClassPermanent {
				t.Fatalf("answered with %v", err)
			}
			if bad.Block != 1 || bad.Row != 1 || bad.Column != "v" || !strings.Contains(bad.Reason, c.want[0]) {
				t.Errorf("named as %v, want row 1 of block 1, column v, because of %q", bad, c.want[0])
			}
			if got := db.text("SELECT count(*) FROM "+cfg.Table) + db.text("SELECT count(*) FROM ampipe.coverage c JOIN ampipe.tables t ON t.id = c.table_id WHERE table_name = $1", cfg.Table); got != "00" {
				t.Errorf("something was written: %s", got)
			}
			if err := w.DigestSource().Add(rec); !errors.As(err, &bad) {
				t.Errorf("the digest answers %v", err)
			}
		})
	}
}

// Under a NULL there may be any bytes: they are nobody's business.
func TestBytesUnderNullAreIgnored(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	b := array.NewStringBuilder(memory.DefaultAllocator)
	b.AppendValues([]string{"a", "\x00\xff", "b"}, []bool{true, false, true})
	text := b.NewArray()
	// The builder may have left the bytes out; put them back.
	data := array.NewData(arrow.BinaryTypes.String, 3, []*memory.Buffer{
		text.Data().Buffers()[0], memory.NewBufferBytes(arrow.Int32Traits.CastToBytes([]int32{0, 1, 3, 4})), memory.NewBufferBytes([]byte("a\x00\xffb")),
	}, nil, 1, 0)
	c := typeCase{dt: arrow.BinaryTypes.String}
	n := array.NewUint64Builder(memory.DefaultAllocator)
	n.AppendValues([]uint64{0, 1, 2}, nil)
	rec := array.NewRecordBatch(tableOf(c).Schema, []arrow.Array{n.NewArray(), array.NewStringData(data)}, 3)
	w := open(t, db.config(), tableOf(c))
	if _, err := w.Apply(t.Context(), []sink.Change{sinktest.ChangeOf(block.Range{Start: 0, End: 3}, rec)}); err != nil {
		t.Fatal(err)
	}
	if got := db.text("SELECT string_agg(coalesce(v, 'NULL'), ',' ORDER BY block_num) FROM t"); got != "a,NULL,b" {
		t.Errorf("read back as %s", got)
	}
}
