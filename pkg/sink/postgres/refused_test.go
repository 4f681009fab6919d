package postgres_test

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/postgres"
	"github.com/ampipe/ampipe/pkg/sink/sinktest"
)

// misfits are values that a column which is there refuses; each is row 1 of three, in
// block 1.
var misfits = []struct {
	name  string
	sql   string // the column v
	value string // as it is shown
	says  string
	typeCase
}{
	{"longer than varchar", "varchar(3)", `"abcd"`, "more than 3 characters", typeCase{dt: textType, put: values[*array.StringBuilder]("äöü", "abcd")}},
	{"blanks at the end of varchar", "varchar(3)", `"abc "`, "more than 3 characters", typeCase{dt: textType, put: values[*array.StringBuilder]("abc", "abc ")}},
	{"longer than char", "char(3)", `"äöüx"`, "more than 3 characters", typeCase{dt: textType, put: values[*array.StringBuilder]("", "äöüx")}},
	{"longer than a domain's varchar", "short", `"elevenchars"`, "more than 10 characters", typeCase{dt: textType, put: values[*array.StringBuilder]("x", "elevenchars")}},
	{"much longer", "varchar(66)", `"` + strings.Repeat("x", 100) + `…"`, "more than 66", typeCase{dt: textType, put: values[*array.StringBuilder]("x", strings.Repeat("x", 100_000))}},
	{"hex longer than varchar", "varchar(5)", "0x0102", "more than 5", typeCase{dt: arrow.BinaryTypes.Binary, as: "hex", put: values[*array.BinaryBuilder]([]byte{1}, []byte{1, 2})}},
	{"bytes in hex in a dictionary", "varchar(5)", "0x0102", "more than 5", typeCase{dt: &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.Binary}, as: "hex", put: json(`"AQ=="`, `"AQI="`, "null")}},
	{"not of the enum", "mood", `"happy"`, "none of the values", typeCase{dt: textType, put: values[*array.StringBuilder]("sad", "happy")}},
	{"not of the enum, and with a quote", "mood", `"it's"`, "none of the values", typeCase{dt: textType, put: values[*array.StringBuilder]("sad", "it's")}},
	{"no value that an enum can have", "mood", `"` + strings.Repeat("x", 64) + `"`, "none of the values", typeCase{dt: textType, put: values[*array.StringBuilder]("sad", strings.Repeat("x", 64))}},
	{"above an integer", "integer", "2147483648", "no integer", typeCase{dt: arrow.PrimitiveTypes.Int64, put: values[*array.Int64Builder](int64(math.MinInt32), math.MaxInt32+1)}},
	{"below a smallint", "smallint", "-32769", "no smallint", typeCase{dt: arrow.PrimitiveTypes.Int32, put: values[*array.Int32Builder](int32(-32768), -32769)}},
	{"above a bigint", "bigint", "9223372036854775808", "no bigint", typeCase{dt: arrow.PrimitiveTypes.Uint64, put: values[*array.Uint64Builder](uint64(math.MaxInt64), math.MaxInt64+1)}},
	{"above a bigint that was asked for", "bigint", "9223372036854775808", "highest of a bigint", typeCase{dt: arrow.PrimitiveTypes.Uint64, as: "bigint", put: values[*array.Uint64Builder](uint64(math.MaxInt64), math.MaxInt64+1)}},
	{"a decimal above a bigint", "bigint", "9223372036854775808", "no bigint", typeCase{dt: &arrow.Decimal128Type{Precision: 38}, put: decimal128s("-9223372036854775808", "9223372036854775808")}},
	{"a decimal that is not whole", "integer", "1.5", "no integer", typeCase{dt: &arrow.Decimal128Type{Precision: 38, Scale: 1}, put: decimal128s("10", "15")}},
	{"a decimal with many zeros", "integer", "10000000000", "no integer", typeCase{dt: &arrow.Decimal128Type{Precision: 5, Scale: -9}, put: decimal128s("1", "10")}},
	{"more digits than a numeric", "numeric(5,2)", "1000", "numeric(5,2)", typeCase{dt: arrow.PrimitiveTypes.Int64, put: values[*array.Int64Builder](int64(-999), 1000)}},
	{"more digits of a decimal", "numeric(5,2)", "1000.00", "numeric(5,2)", typeCase{dt: &arrow.Decimal128Type{Precision: 38, Scale: 2}, put: decimal128s("-99999", "100000")}},
	{"more digits behind the point", "numeric(5,2)", "0.001", "numeric(5,2)", typeCase{dt: &arrow.Decimal128Type{Precision: 38, Scale: 3}, put: decimal128s("10", "1")}},
	{"a number of 256 bits for 38 digits", "numeric(38,0)", `"` + nines(78) + `"`, "numeric(38,0)", typeCase{dt: textType, put: values[*array.StringBuilder](nines(38), nines(78))}},
	{"no digits for a number with a scale", "numeric(5,2)", `"x"`, "filter", typeCase{dt: textType, put: values[*array.StringBuilder]("1", "x")}},
	{"a text with more digits behind the point", "numeric(5,2)", `"1.005"`, "numeric(5,2)", typeCase{dt: textType, put: values[*array.StringBuilder]("1.50e2", "1.005")}},
	{"hex digits for a number", "numeric(78,0)", `"0x1f"`, "no number in digits", typeCase{dt: textType, put: values[*array.StringBuilder]("1", "0x1f")}},
	{"no digits for a number", "numeric", `"NaN"`, "no number in digits", typeCase{dt: textType, put: values[*array.StringBuilder]("1", "NaN")}},
	{"an exponent that is too large", "numeric", `"1e200000"`, "too many digits", typeCase{dt: textType, put: values[*array.StringBuilder]("1e131071", "1e200000")}},
	{"text that is no JSON", "jsonb", `"{\"a\": 01}"`, "no JSON", typeCase{dt: textType, put: values[*array.StringBuilder](`{"a": 1}`, `{"a": 01}`)}},
	{"JSON with a NUL character", "jsonb", `"[\"\\u0000\"]"`, "NUL", typeCase{dt: textType, put: values[*array.StringBuilder](`[]`, `["\u0000"]`)}},
	{"JSON of which a few letters are many digits", "jsonb", `"[` + strings.Repeat("1e131071,", 600)[:99] + `…"`, "too many digits",
		typeCase{dt: textType, put: values[*array.StringBuilder]("[1e131071]", "["+strings.Repeat("1e131071,", 600)+"1]")}},
	{"JSON with half a character", "jsonb", `"\"\\ud83d\""`, "half a character", typeCase{dt: textType, put: values[*array.StringBuilder](`"\ud83d\ude00"`, `"\ud83d"`)}},
	{"text that ends within JSON", "json", `"[1, "`, "ends too early", typeCase{dt: textType, put: values[*array.StringBuilder](`["\u0000"]`, `[1, `)}},
	{"a NUL character", "text", `"a\x00b"`, "NUL", typeCase{dt: textType, put: values[*array.StringBuilder]("x", "a\x00b")}},
	{"a NUL character for varchar", "varchar(10)", `"a\x00b"`, "NUL", typeCase{dt: textType, put: values[*array.StringBuilder]("x", "a\x00b")}},
	{"broken UTF-8", "text", `"a\xff"`, "UTF-8", typeCase{dt: textType, put: values[*array.StringBuilder]("x", "a\xff")}},
	{"a time too late", "timestamp", "", "294276", typeCase{dt: ts(arrow.Second, utc), put: values[*array.TimestampBuilder](arrow.Timestamp(0), 9224318016000)}},
	{"an element of an array", "varchar(2)[]", `["abc"]`, "more than 2", typeCase{dt: arrow.ListOf(textType), put: json(`["ab"]`, `["abc"]`, "null")}},
	{"a domain's check", "short", `"never"`, "DROP CONSTRAINT", typeCase{dt: textType, put: values[*array.StringBuilder]("x", "never")}},
	{"a check of the column", "integer CHECK (v < 10)", "11", "DROP CONSTRAINT", typeCase{dt: arrow.PrimitiveTypes.Int32, put: values[*array.Int32Builder](int32(1), 11)}},
	{"a row that is there", "integer UNIQUE", "1", "DROP CONSTRAINT", typeCase{dt: arrow.PrimitiveTypes.Int32, put: values[*array.Int32Builder](int32(1), 1)}},
	{"a decimal with more digits than its type", "numeric(3,0)", "1000", "more digits", typeCase{dt: &arrow.Decimal128Type{Precision: 3}, put: decimal128s("999", "1000")}},
}

var advisedInQuery = regexp.MustCompile(`write CAST\("v" AS (\w+)\) AS "v"`)

var advisedSQL = regexp.MustCompile(`(?:run|or) (ALTER (?:TABLE|TYPE|DOMAIN) .*?|DROP INDEX .*?)(?:, or |$)`)

// TestMisfitsAreNamedAndMended: the error names block, row, column and value in one
// line, before anything of it is written; and each statement that it advises, run as it
// stands, makes the same rows load, and all verify, also those that were there before.
func TestMisfitsAreNamedAndMended(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	for i, c := range misfits {
		t.Run(c.name, func(t *testing.T) {
			statements := 1
			for k := 0; k < statements; k++ {
				db.run("DROP TYPE IF EXISTS mood CASCADE; DROP DOMAIN IF EXISTS short CASCADE; CREATE TYPE mood AS ENUM ('sad'); CREATE DOMAIN short AS varchar(10) CHECK (value <> 'never')")
				cfg := db.config()
				cfg.Table = fmt.Sprintf("t%d_%d", i, k)
				if c.as != "" {
					cfg.Types = map[string]string{"v": c.as}
				}
				db.run(fmt.Sprintf("CREATE TABLE %s (block_num bigint, v %s)", cfg.Table, c.sql))
				w := open(t, cfg, tableOf(c.typeCase))
				rec := recordOf(t, c.typeCase)
				first := rec.NewSlice(0, 1)
				defer first.Release()
				if _, err := w.Apply(t.Context(), []sink.Change{sinktest.ChangeOf(block.Range{Start: 0, End: 1}, first)}); err != nil {
					t.Fatal(err)
				}
				change := sinktest.ChangeOf(block.Range{Start: 0, End: 100}, rec)
				_, err := w.Apply(t.Context(), []sink.Change{change})
				bad, ok := errors.AsType[*sink.BadRowError](err)
				if !ok || fault.Of(err) != fault.ClassPermanent {
					t.Fatalf("answered with %v", err)
				}
				if bad.Block != 1 || bad.Row != 1 || bad.Column != "v" || !strings.Contains(bad.Reason, c.says) || (c.value != "" && bad.Value != c.value) {
					t.Errorf("named as block %d, row %d, column %s, value %s, reason %s", bad.Block, bad.Row, bad.Column, bad.Value, bad.Reason)
				}
				if line := err.Error(); strings.ContainsAny(line, "\n\t") || len([]rune(line)) > 480 || strings.ContainsAny(line, "<>") {
					t.Errorf("not a line for a terminal: %s", line)
				}
				if n := db.text("SELECT count(*) FROM " + cfg.Table); n != "1" {
					t.Errorf("%s rows are there, want the first", n)
				}
				advised := advisedSQL.FindAllStringSubmatch(bad.Reason, -1)
				statements = len(advised)
				if statements == 0 {
					return // the query has to be mended
				}
				db.run(advised[k][1])
				if m := advisedInQuery.FindStringSubmatch(bad.Reason); m != nil {
					cast := typeCase{dt: map[string]arrow.DataType{"BYTEA": arrow.BinaryTypes.Binary}[m[1]]}
					if err := postgres.New(cfg).Check(t.Context(), tableOf(cast)); err != nil {
						t.Errorf("cast to %s, and after %s: %v", m[1], advised[k][1], err)
					}
					return
				}
				again := open(t, cfg, tableOf(c.typeCase))
				if _, err := again.Apply(t.Context(), []sink.Change{change}); err != nil {
					t.Fatalf("after %s: %v", advised[k][1], err)
				}
				sinktest.WantSameDigests(t, again, rec)
			}
		})
	}
}

// TestNullsThatAColumnDoesNotTake are found before anything is written, and the
// statement that the error shows lets them in.
func TestNullsThatAColumnDoesNotTake(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	db.run("CREATE DOMAIN given AS text NOT NULL")
	for i, sql := range []string{"text NOT NULL", "text PRIMARY KEY", "given", "bigint NOT NULL GENERATED BY DEFAULT AS IDENTITY"} {
		t.Run(sql, func(t *testing.T) {
			c := typeCase{dt: textType, put: values[*array.StringBuilder]("x")}
			if strings.Contains(sql, "bigint") {
				c = typeCase{dt: arrow.PrimitiveTypes.Int64, put: values[*array.Int64Builder](int64(1))}
			}
			cfg := db.config()
			cfg.Table = fmt.Sprintf("t%d", i)
			db.run(fmt.Sprintf("CREATE TABLE %s (block_num bigint, v %s)", cfg.Table, sql))
			rec := recordOf(t, c)
			change := []sink.Change{sinktest.ChangeOf(block.Range{Start: 0, End: 100}, rec)}
			_, err := open(t, cfg, tableOf(c)).Apply(t.Context(), change)
			bad, ok := errors.AsType[*sink.BadRowError](err)
			if !ok || bad.Block != 1 || bad.Column != "v" || bad.Value != "NULL" {
				t.Fatalf("answered with %v", err)
			}
			db.run(advisedSQL.FindStringSubmatch(bad.Reason)[1])
			w := open(t, cfg, tableOf(c))
			if _, err := w.Apply(t.Context(), change); err != nil {
				t.Fatal(err)
			}
			sinktest.WantSameDigests(t, w, rec)
		})
	}
}

// TestRowsThatTheServerDoesNotName are found all the same, and what the error advises
// lets them in.
func TestRowsThatTheServerDoesNotName(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		sql    string
		upsert bool
		column string
	}{
		"a foreign key":                    {"CREATE TABLE known (n bigint PRIMARY KEY); INSERT INTO known VALUES (0), (1), (2), (3), (4), (5), (6), (8), (9); CREATE TABLE t (block_num bigint, n bigint REFERENCES known, \"Name\" text)", false, "n"},
		"a foreign key that waits":         {"CREATE TABLE known (n bigint PRIMARY KEY); INSERT INTO known VALUES (0), (1), (2), (3), (4), (5), (6), (8), (9); CREATE TABLE t (block_num bigint, n bigint REFERENCES known DEFERRABLE INITIALLY DEFERRED, \"Name\" text)", false, "n"},
		"a check, behind a staging table":  {"CREATE TABLE t (block_num bigint, n bigint PRIMARY KEY, \"Name\" text CHECK (\"Name\" <> 'b7'))", true, "Name"},
		"unique, behind a staging table":   {"CREATE TABLE t (block_num bigint, n bigint PRIMARY KEY, \"Name\" text UNIQUE); INSERT INTO t VALUES (100, 100, 'b7')", true, "Name"},
		"another index, behind such a one": {"CREATE TABLE t (block_num bigint, n bigint PRIMARY KEY, \"Name\" text); CREATE UNIQUE INDEX once ON t (lower(\"Name\")); INSERT INTO t VALUES (100, 100, 'B7')", true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := newDatabase(t)
			db.run(c.sql)
			cfg := db.config()
			rec := integers10(t)
			if c.upsert {
				upsertByN(&cfg)
				db.run("INSERT INTO t VALUES (0, 0, 'before')") // so that rows go through the temporary table
			}
			w := open(t, cfg, small)
			change := []sink.Change{sinktest.ChangeOf(block.Range{Start: 0, End: 10}, rec)}
			_, err := w.Apply(t.Context(), change)
			bad, ok := errors.AsType[*sink.BadRowError](err)
			if !ok || bad.Block != 7 || bad.Row != 7 || bad.Column != c.column || fault.Of(err) != fault.ClassPermanent {
				t.Fatalf("answered with %v", err)
			}
			if n := db.text("SELECT count(*) FROM t WHERE block_num < 100 AND \"Name\" <> 'before'"); n != "0" {
				t.Errorf("%s rows were written", n)
			}
			db.run(advisedSQL.FindStringSubmatch(bad.Reason)[1])
			if _, err := open(t, cfg, small).Apply(t.Context(), change); err != nil {
				t.Fatal(err)
			}
			db.want("SELECT count(*) FROM t WHERE block_num < 100", "10")
		})
	}
}

// TestRowsThatOthersReplaceAreNotNamed: of rows with the same key only the last is written,
// so what an earlier one holds does not matter.
func TestRowsThatOthersReplaceAreNotNamed(t *testing.T) {
	t.Parallel()
	for name, as := range map[string]func(sink.Change) sink.Change{
		"history": func(c sink.Change) sink.Change { return c },
		"live":    func(c sink.Change) sink.Change { return live(c, 1, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := newDatabase(t)
			db.run(`CREATE TABLE t (block_num bigint, n bigint PRIMARY KEY, "Name" text UNIQUE); INSERT INTO t VALUES (0, 0, 'before'), (0, 100, 'bad')`)
			cfg := db.config()
			upsertByN(&cfg)
			b := array.NewRecordBuilder(memory.DefaultAllocator, small.Schema)
			defer b.Release()
			for at, row := range []struct {
				n    int64
				name string
			}{{0, "a"}, {1, "bad"}, {2, "bad"}, {3, "c"}, {4, "d"}, {5, "bad"}, {6, "e"}, {2, "f"}, {1, "g"}, {9, "h"}} {
				b.Field(0).(*array.Uint64Builder).Append(uint64(at))
				b.Field(1).(*array.Int64Builder).Append(row.n)
				b.Field(2).(*array.StringBuilder).Append(row.name)
			}
			rec := b.NewRecordBatch()
			defer rec.Release()
			change := as(sinktest.ChangeOf(block.Range{Start: 0, End: 10}, rec))
			w := open(t, cfg, small)
			_, err := w.Apply(t.Context(), []sink.Change{change})
			bad, ok := errors.AsType[*sink.BadRowError](err)
			if !ok || bad.Block != 5 || bad.Row != 5 || bad.Column != "Name" {
				t.Fatalf("answered with %v", err)
			}
			w.SearchFor(0)
			_, err = w.Apply(t.Context(), []sink.Change{change})
			wantRefused(t, err, "one of 8 rows of the blocks 0 to 9 (looking for it was given up after", "a constraint of the table refuses a row")
		})
	}
}

// integers10 is a record of ten rows of the table small, one to a block, with a key each.
func integers10(t *testing.T) arrow.RecordBatch {
	b := array.NewRecordBuilder(memory.DefaultAllocator, small.Schema)
	defer b.Release()
	for n := range 10 {
		b.Field(0).(*array.Uint64Builder).Append(uint64(n))
		b.Field(1).(*array.Int64Builder).Append(int64(n))
		b.Field(2).(*array.StringBuilder).Append(fmt.Sprintf("b%d", n))
	}
	rec := b.NewRecordBatch()
	t.Cleanup(rec.Release)
	return rec
}
