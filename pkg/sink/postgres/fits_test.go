package postgres_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/extensions"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/postgres"
	"github.com/ampipe/ampipe/pkg/sink/sinktest"
)

var update = flag.Bool("update", false, "write testdata/fits.txt anew: what is taken of tables that are there has changed, so read the difference")

// thereTypes are types of columns that may be there, and how PostgreSQL itself makes a
// value of such a type of one in a column of ampipe's own, %s; "": by a cast.
var thereTypes = []struct{ sql, same string }{
	{"text", ""}, {"character varying", ""}, {"character varying(20)", ""}, {"character(20)", ""}, {"citext", ""},
	{"short", "%s::text::short"}, {"mood", "%s::text::mood"},
	{"numeric", ""}, {"numeric(78,0)", ""}, {"numeric(38,9)", ""}, {"numeric(4,0)", ""}, {"amount", ""}, {"smallint", ""}, {"integer", ""}, {"bigint", ""},
	{"real", ""}, {"double precision", ""}, {"boolean", ""}, {"bytea", ""}, {"uuid", "encode(%s, 'hex')::uuid"}, {"date", ""},
	{"time without time zone", ""}, {"time(0) without time zone", "date_trunc('second', %s)::time(0)"},
	{"timestamp without time zone", ""}, {"timestamp(3) without time zone", "date_trunc('millisecond', %s)::timestamp(3)"},
	{"timestamp with time zone", ""}, {"timestamp(0) with time zone", "date_trunc('second', %s)::timestamptz(0)"},
	{"interval", ""}, {"interval day", ""}, {"json", "%s::text::json"}, {"jsonb", ""},
	{"text[]", "ARRAY(SELECT jsonb_array_elements_text(%s))"}, {"bigint[]", "ARRAY(SELECT jsonb_array_elements_text(%s)::bigint)"},
	{"bytea[]", "ARRAY(SELECT decode(substr(e, 3), 'hex') FROM jsonb_array_elements_text(%s) e)"}, {"inet", ""},
}

const thereMade = `CREATE EXTENSION citext; CREATE DOMAIN short AS varchar(10) CHECK (value <> 'never'); CREATE DOMAIN whole AS numeric(30);
	CREATE DOMAIN amount AS whole CHECK (value >= 0); CREATE TYPE mood AS ENUM ('12', '7', 'sad')`

// sent are Arrow types and values of them, all of which fit where their type does; the
// last is NULL.
var sent = []typeCase{
	{name: "boolean", dt: arrow.FixedWidthTypes.Boolean, put: values[*array.BooleanBuilder](true, false)},
	{name: "int8", dt: arrow.PrimitiveTypes.Int8, put: values[*array.Int8Builder](int8(0), 12, 127)},
	{name: "int16", dt: arrow.PrimitiveTypes.Int16, put: values[*array.Int16Builder](int16(0), 12, 7)},
	{name: "int32", dt: arrow.PrimitiveTypes.Int32, put: values[*array.Int32Builder](int32(12), 7, 100)},
	{name: "int64", dt: arrow.PrimitiveTypes.Int64, put: values[*array.Int64Builder](int64(0), 12, 9999)},
	{name: "uint8", dt: arrow.PrimitiveTypes.Uint8, put: values[*array.Uint8Builder](uint8(0), 255)},
	{name: "uint32", dt: arrow.PrimitiveTypes.Uint32, put: values[*array.Uint32Builder](uint32(0), 12, 9999)},
	{name: "uint64", dt: arrow.PrimitiveTypes.Uint64, put: values[*array.Uint64Builder](uint64(0), 12, 9999)},
	{name: "float32", dt: arrow.PrimitiveTypes.Float32, put: values[*array.Float32Builder](float32(0.5), -1.25)},
	{name: "float64", dt: arrow.PrimitiveTypes.Float64, put: values[*array.Float64Builder](0.1, 1e300)},
	{name: "utf8", dt: arrow.BinaryTypes.String, put: values[*array.StringBuilder]("12", "7")},
	{name: "utf8 view", dt: arrow.BinaryTypes.StringView, put: values[*array.StringViewBuilder]("7", "12")},
	{name: "dictionary of utf8", dt: &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Uint8, ValueType: arrow.BinaryTypes.String}, put: json(`"12"`, `"7"`, `"12"`, "null")},
	{name: "binary", dt: arrow.BinaryTypes.Binary, put: values[*array.BinaryBuilder]([]byte{}, []byte{0, 255, 92})},
	{name: "binary as hex", dt: arrow.BinaryTypes.Binary, as: "hex", put: values[*array.BinaryBuilder]([]byte{}, []byte{0, 255, 92})},
	{name: "16 bytes", dt: &arrow.FixedSizeBinaryType{ByteWidth: 16}, put: values[*array.FixedSizeBinaryBuilder]([]byte("0123456789abcdef"))},
	{name: "uuid", dt: extensions.NewUUIDType(), put: json(`"00112233-4455-6677-8899-aabbccddeeff"`, "null")},
	{name: "9 bytes as hex", dt: &arrow.FixedSizeBinaryType{ByteWidth: 9}, as: "hex", put: values[*array.FixedSizeBinaryBuilder]([]byte("123456789"))},
	{name: "decimal128(38,0)", dt: &arrow.Decimal128Type{Precision: 38}, put: decimal128s("0", "12", "9999")},
	{name: "decimal128(38,9)", dt: &arrow.Decimal128Type{Precision: 38, Scale: 9}, put: decimal128s("0", "12000000000")},
	{name: "decimal128(10,-2)", dt: &arrow.Decimal128Type{Precision: 10, Scale: -2}, put: decimal128s("0", "12")},
	{name: "decimal256(76,0)", dt: &arrow.Decimal256Type{Precision: 76}, put: decimal256s("0", "9999")},
	{name: "date32", dt: arrow.FixedWidthTypes.Date32, put: values[*array.Date32Builder](arrow.Date32(19723))},
	{name: "time64(us)", dt: arrow.FixedWidthTypes.Time64us, put: values[*array.Time64Builder](arrow.Time64(1), 86399999999)},
	{name: "timestamp(ns, UTC)", dt: ts(arrow.Nanosecond, utc), put: values[*array.TimestampBuilder](arrow.Timestamp(1704067200999999999), -1)},
	{name: "timestamp(s)", dt: ts(arrow.Second, ""), put: values[*array.TimestampBuilder](arrow.Timestamp(1704067200), -1)},
	{name: "duration(s)", dt: arrow.FixedWidthTypes.Duration_s, put: values[*array.DurationBuilder](arrow.Duration(86400))},
	{name: "list of utf8", dt: arrow.ListOf(arrow.BinaryTypes.String), put: json(`["a", "", "ä"]`, "[]", "null")},
	{name: "list of int64", dt: arrow.ListOf(arrow.PrimitiveTypes.Int64), put: json("[1, -2]", "[]", "null")},
	{name: "list of binary", dt: arrow.LargeListOf(arrow.BinaryTypes.Binary), put: json(`["AQI=", ""]`, "[]", "null")},
	{name: "struct", dt: arrow.StructOf(abFields...), put: json(`{"long_name": 1, "b": "x", "a": "AA=="}`, "null")},
	{name: "map", dt: arrow.MapOf(arrow.BinaryTypes.String, arrow.PrimitiveTypes.Int64), put: json(`[{"key":"zz","value":1}]`, "null")},
	{name: "null", dt: arrow.Null, put: func(b array.Builder) { b.AppendNulls(2) }},
}

// castTypes are the Arrow types of the casts in a query.
var castTypes = map[string]string{
	"BOOLEAN": "boolean", "SMALLINT": "int16", "INT": "int32", "BIGINT": "int64", "REAL": "float32", "DOUBLE": "float64",
	"VARCHAR": "utf8", "DATE": "date32", "TIMESTAMP": "timestamp(s)", "DECIMAL(38, 9)": "decimal128(38,9)", "DECIMAL(4, 0)": "decimal128(38,0)", "DECIMAL(30, 0)": "decimal128(38,0)",
}

func sentAs(t *testing.T, name string) typeCase {
	t.Helper()
	at := slices.IndexFunc(sent, func(c typeCase) bool { return c.name == name })
	if at < 0 {
		t.Fatalf("no values of the type %q", name)
	}
	return sent[at]
}

// pairing is a table that is there, and a query: column c0 is of the first of
// thereTypes, and so on.
type pairing struct {
	*database
	cfg     config.Postgres
	columns map[string]typeCase // of the query
}

func newPairing(db *database, name string, of typeCase) *pairing {
	p := &pairing{db, db.config(), map[string]typeCase{}}
	p.cfg.Table, p.cfg.Types = name, map[string]string{}
	made := []string{"block_num bigint"}
	for i, there := range thereTypes {
		column := fmt.Sprintf("c%d", i)
		made = append(made, column+" "+there.sql)
		p.columns[column] = of
		if of.as != "" {
			p.cfg.Types[column] = of.as
		}
	}
	db.run(fmt.Sprintf("CREATE TABLE %s (%s); CREATE INDEX ON %[1]s (block_num)", name, strings.Join(made, ", ")))
	return p
}

func (p *pairing) table() sink.Table {
	var fields []arrow.Field
	for _, name := range slices.Sorted(maps.Keys(p.columns)) {
		fields = append(fields, field(name, p.columns[name].dt))
	}
	return table(fields...)
}

// load writes and verifies.
func (p *pairing) load(t *testing.T) {
	t.Helper()
	w, tab := open(t, p.cfg, p.table()), p.table()
	b := array.NewRecordBuilder(memory.DefaultAllocator, tab.Schema)
	defer b.Release()
	rows := 0
	for i, f := range tab.Schema.Fields()[1:] {
		p.columns[f.Name].put(b.Field(i + 1))
		rows = max(rows, b.Field(i+1).Len())
	}
	for i := range b.Fields() {
		for b.Field(i).Len() < rows {
			if n, ok := b.Field(0).(*array.Uint64Builder); ok && i == 0 {
				n.Append(uint64(n.Len()))
				continue
			}
			b.Field(i).AppendNull()
		}
	}
	rec := b.NewRecordBatch()
	defer rec.Release()
	if _, err := w.Apply(t.Context(), []sink.Change{sinktest.ChangeOf(block.Range{Start: 0, End: 100}, rec)}); err != nil {
		t.Fatal(err)
	}
	sinktest.WantSameDigests(t, w, rec)
	reader := postgres.New(p.cfg)
	if err := reader.OpenStored(t.Context(), tab); err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	sinktest.WantSameDigests(t, reader, rec)
}

var (
	refusedColumn = regexp.MustCompile(`column "(\w+)" is of the type .*?, and the query needs [^;\n]*; (.*), or load into another table`)
	condition     = regexp.MustCompile(`, if its values are [^,]*`)
	advisedType   = regexp.MustCompile(`^set types: \{(\w+): (\w+)\}`)
	advisedCast   = regexp.MustCompile(`^write CAST\("(\w+)" AS (.*)\) AS "\w+" in the query$`)
	advisedOut    = regexp.MustCompile(`^take (\w+) out of types$`)
)

// follow does what one sentence advises for a column.
func (p *pairing) follow(t *testing.T, column, advice string) {
	t.Helper()
	if m := advisedType.FindStringSubmatch(advice); m != nil {
		p.cfg.Types[m[1]] = m[2]
		return
	}
	if m := advisedCast.FindStringSubmatch(advice); m != nil {
		p.columns[m[1]] = sentAs(t, castTypes[m[2]])
		delete(p.cfg.Types, m[1])
		return
	}
	if m := advisedOut.FindStringSubmatch(advice); m != nil {
		delete(p.cfg.Types, m[1])
		return
	}
	if sql, ok := strings.CutPrefix(advice, "run "); ok {
		p.run(sql)
		return
	}
	switch advice {
	case "leave it out of the query":
	case "leave it out of the query and of types":
		delete(p.cfg.Types, column)
	default:
		t.Errorf("column %s: nobody can follow %q", column, advice)
	}
	delete(p.columns, column)
}

// TestEveryPairOfTypes: of every pair of an Arrow type and a type that is there it is
// decided whether it is taken, or refused with an advice. What is taken is stored as
// PostgreSQL itself would store it, and verifies; and every advice, followed, ends so.
func TestEveryPairOfTypes(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	db.run("SET timezone = 'UTC'; " + thereMade)
	var lines []string
	for n, c := range sent {
		p := newPairing(db, fmt.Sprintf("t%d", n), c)
		ways := p.refusals(t)
		for i, there := range thereTypes {
			said := "taken"
			if advice, ok := ways[fmt.Sprintf("c%d", i)]; ok {
				said = strings.ReplaceAll(strings.Join(advice, ", or "), fmt.Sprintf("c%d", i), "c")
			}
			lines = append(lines, fmt.Sprintf("%s | %s | %s", c.name, there.sql, strings.ReplaceAll(said, p.cfg.Table, "t")))
		}
		most := 1
		for _, advice := range ways {
			most = max(most, len(advice))
		}
		for k := range most {
			p := p
			if k > 0 {
				p = newPairing(db, fmt.Sprintf("t%d_%d", n, k), c)
				ways = p.refusals(t)
			}
			for column, advice := range ways {
				p.follow(t, column, advice[min(k, len(advice)-1)])
			}
			p.load(t)
			if k == 0 {
				p.wantAsPostgres(t, fmt.Sprintf("r%d", n), c, ways)
			}
		}
	}
	path := filepath.Join("testdata", "fits.txt")
	got := strings.Join(lines, "\n") + "\n"
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	golden, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	decided := strings.Split(strings.TrimSuffix(string(golden), "\n"), "\n")
	if len(decided) != len(lines) {
		t.Errorf("%s has %d lines, want %d", path, len(decided), len(lines))
	}
	for _, line := range lines {
		if !slices.Contains(decided, line) {
			t.Errorf("not in %s: %s", path, line)
		}
	}
}

// TestDomainsTakeWhatTheirTypeTakes: a column of a domain takes what one of the type below
// it takes, no more and no less, and it verifies, also rows whose numbers show other zeros.
func TestDomainsTakeWhatTheirTypeTakes(t *testing.T) {
	t.Parallel()
	golden, err := os.ReadFile(filepath.Join("testdata", "fits.txt"))
	if err != nil {
		t.Fatal(err)
	}
	db := newDatabase(t)
	db.run("SET timezone = 'UTC'; " + thereMade)
	for i, there := range thereTypes {
		db.run(fmt.Sprintf(`CREATE DOMAIN "Domain %d" AS %s`, i, there.sql))
	}
	p := &pairing{db, db.config(), map[string]typeCase{}} // of all pairs
	p.cfg.Types = map[string]string{}
	made := []string{"block_num bigint"}
	for n, c := range sent {
		for i := range thereTypes {
			column := fmt.Sprintf("c%d_%d", n, i)
			made = append(made, fmt.Sprintf(`%s "Domain %d"`, column, i))
			p.columns[column] = c
			if c.as != "" {
				p.cfg.Types[column] = c.as
			}
		}
	}
	db.run(fmt.Sprintf("CREATE TABLE t (%s)", strings.Join(made, ", ")))
	refused := p.refusals(t)
	for n, c := range sent {
		for i, there := range thereTypes {
			column := fmt.Sprintf("c%d_%d", n, i)
			_, is := refused[column]
			if taken := strings.Contains("\n"+string(golden), fmt.Sprintf("\n%s | %s | taken\n", c.name, there.sql)); taken == is {
				t.Errorf("%s into %s is taken: %v, and into a domain over it: %v", c.name, there.sql, taken, !is)
			}
			if is {
				delete(p.columns, column)
				delete(p.cfg.Types, column)
			}
		}
	}
	p.load(t)
}

// TestNumbersOfADomainAreComparedByValue: 1.5 and 1.50 are equal, as in a numeric.
func TestNumbersOfADomainAreComparedByValue(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	db.run("CREATE DOMAIN price AS numeric; CREATE TABLE t (block_num bigint, v price, n text)")
	tab := table(field("v", &arrow.Decimal128Type{Precision: 38, Scale: 2}), field("n", textType))
	w := open(t, db.config(), tab)
	b := array.NewRecordBuilder(memory.DefaultAllocator, tab.Schema)
	defer b.Release()
	b.Field(0).(*array.Uint64Builder).AppendValues([]uint64{0, 1}, nil)
	decimal128s("150")(b.Field(1)) // and NULL
	b.Field(2).(*array.StringBuilder).AppendValues([]string{"x", "y"}, nil)
	rec := b.NewRecordBatch()
	defer rec.Release()
	if _, err := w.Apply(t.Context(), []sink.Change{sinktest.ChangeOf(block.Range{Start: 0, End: 2}, rec)}); err != nil {
		t.Fatal(err)
	}
	db.run("UPDATE t SET v = 1.50000 WHERE v IS NOT NULL")
	sinktest.WantSameDigests(t, w, rec)
}

// refusals returns what is advised for each column that is refused.
func (p *pairing) refusals(t *testing.T) map[string][]string {
	t.Helper()
	ways := make(map[string][]string)
	err := postgres.New(p.cfg).Check(t.Context(), p.table())
	if err == nil {
		return ways
	}
	for line := range strings.Lines(err.Error()) {
		m := refusedColumn.FindStringSubmatch(line)
		if m == nil {
			t.Fatalf("not a sentence about a column: %s", line)
		}
		ways[m[1]] = strings.Split(condition.ReplaceAllString(m[2], ""), ", or ")
	}
	return ways
}

// wantAsPostgres compares what is stored in the columns that were taken with what
// PostgreSQL makes of the values in a column of ampipe's own.
func (p *pairing) wantAsPostgres(t *testing.T, name string, c typeCase, refused map[string][]string) {
	t.Helper()
	own := pairing{p.database, p.cfg, map[string]typeCase{"v": c}}
	own.cfg.Table, own.cfg.Types = name, map[string]string{}
	if c.as != "" {
		own.cfg.Types["v"] = c.as
	}
	own.load(t)
	for i, there := range thereTypes {
		column := fmt.Sprintf("c%d", i)
		if _, ok := refused[column]; ok {
			continue
		}
		same := "%s::" + there.sql
		if there.same != "" && c.name != "null" {
			same = there.same
		}
		same = "(CASE WHEN r.v IS NOT NULL THEN " + strings.ReplaceAll(same, "%s", "r.v") + " END)::text"
		differ := "SELECT coalesce(string_agg(concat_ws(' and not ', t." + column + "::text, " + same + "), '; '), '') FROM " + p.cfg.Table +
			" t JOIN " + name + " r USING (block_num) WHERE t." + column + "::text IS DISTINCT FROM " + same
		if got := p.text(differ); got != "" {
			t.Errorf("%s in a column %s: %s", c.name, there.sql, got)
		}
	}
}
