package postgres_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/postgres"
	"github.com/ampipe/ampipe/pkg/sink/sinktest"
)

func table(fields ...arrow.Field) sink.Table {
	fields = append([]arrow.Field{{Name: "block_num", Type: arrow.PrimitiveTypes.Uint64}}, fields...)
	return sink.Table{Pipeline: "p", Sink: "s", Schema: arrow.NewSchema(fields, nil), Epoch: 1}
}

func field(name string, dt arrow.DataType) arrow.Field {
	return arrow.Field{Name: name, Type: dt, Nullable: true}
}

var (
	textType = arrow.BinaryTypes.String
	longName = strings.Repeat("ä", 32) // 64 bytes
)

// small is a table whose key is n.
var small = table(field("n", arrow.PrimitiveTypes.Int64), field("Name", textType))

// wantRefused fails unless err is permanent and says all of texts.
func wantRefused(t *testing.T, err error, texts ...string) {
	t.Helper()
	if fault.Of(err) != fault.ClassPermanent || err == nil {
		t.Fatalf("answered with %v (%v)", err, fault.Of(err))
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("%q does not say %q", err, text)
		}
	}
}

func TestWhatCannotBeATable(t *testing.T) {
	t.Parallel()
	union := arrow.SparseUnionOf([]arrow.Field{field("a", textType)}, []arrow.UnionTypeCode{0})
	many := make([]arrow.Field, 1600)
	for i := range many {
		many[i] = field(fmt.Sprintf("c%d", i), textType)
	}
	upsert := func(key ...string) config.Postgres {
		return config.Postgres{Schema: "public", Table: "t", Mode: config.Upsert, Key: key}
	}
	types := func(column, as string) config.Postgres {
		return config.Postgres{Schema: "public", Table: "t", Types: map[string]string{column: as}}
	}
	plain := config.Postgres{Schema: "public", Table: "t"}
	for _, c := range []struct {
		name  string
		cfg   config.Postgres
		table sink.Table
		want  []string
	}{
		{"column name too long", plain, table(field(longName, textType)), []string{longName, "64 bytes", "63"}},
		{"table name too long", config.Postgres{Schema: "public", Table: longName}, small, []string{longName, "table"}},
		{"schema name too long", config.Postgres{Schema: longName, Table: "t"}, small, []string{longName, "schema"}},
		{"column without a name", plain, table(field("", textType)), []string{"no name"}},
		{"column with NUL in its name", plain, table(field("a\x00", textType)), []string{`a\x00`}},
		{"system columns, both named", plain, table(field("ctid", textType), field("xmin", textType)), []string{"ctid", "xmin", "AS"}},
		{"a name twice", plain, table(field("a", textType), field("a", textType)), []string{`"a"`, "two"}},
		{"too many columns", plain, table(many...), []string{"1601", "1600"}},
		{"a union", plain, table(field("u", union)), []string{`"u"`, "sparse_union", "cast"}},
		{"a union in a list", plain, table(field("u", arrow.ListOf(union))), []string{`"u"`, "sparse_union"}},
		{"a struct with a name twice", plain, table(field("s", arrow.StructOf(field("x", textType), field("x", textType)))), []string{`"x"`, "two"}},
		{"block column is text", plain, sink.Table{Schema: arrow.NewSchema([]arrow.Field{field("b", textType)}, nil)}, []string{`"b"`, "integer", "source.block_column"}},
		{"no block column", plain, sink.Table{Schema: small.Schema, BlockColumn: -1}, []string{"block column"}},
		{"key twice", upsert("n", "n"), small, []string{`"n"`, "twice"}},
		{"key unknown", upsert("block_num", "m"), small, []string{`"m"`, `"Name"`}},
		{"no key", upsert(), small, []string{"key"}},
		{"key of floats", upsert("f"), table(field("f", arrow.PrimitiveTypes.Float64)), []string{`"f"`, "double precision"}},
		{"types of an unknown column", types("m", "bigint"), small, []string{`"m"`, `"n"`}},
		{"text as bigint", types("Name", "bigint"), small, []string{`"Name"`, "utf8", "bigint"}},
		{"a key of text as numeric", config.Postgres{Schema: "public", Table: "t", Mode: config.Upsert, Key: []string{"Name"}, Types: map[string]string{"Name": "numeric"}}, small, []string{`"Name"`, "1 and 1.0"}},
		{"block column is text in digits", config.Postgres{Schema: "public", Table: "t", Types: map[string]string{"b": "numeric"}}, sink.Table{Schema: arrow.NewSchema([]arrow.Field{field("b", textType)}, nil)}, []string{`"b"`, "integer"}},
		{"integer as hex", types("n", "hex"), small, []string{`"n"`, "int64", "hex"}},
		{"block column as hex", types("block_num", "hex"), small, []string{`"block_num"`, "uint64", "hex"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := postgres.New(c.cfg).Describe(c.table)
			wantRefused(t, err, c.want...)
		})
	}
}

func TestDescribeIsWhatIsMade(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	cfg := db.config()
	cfg.Table, cfg.Mode, cfg.Key, cfg.Types = `My "odd" Table`, config.Upsert, []string{"n", "block_num"}, map[string]string{"*": "bigint"}
	wide := table(field("n", arrow.PrimitiveTypes.Int64), field("gas", arrow.PrimitiveTypes.Uint64), field("Name", textType))
	ddl, err := postgres.New(cfg).Describe(wide)
	if err != nil {
		t.Fatal(err)
	}
	opclass := " int8_minmax_multi_ops"
	want := `CREATE TABLE "public"."My ""odd"" Table" (
    "block_num" bigint,
    "n" bigint,
    "gas" bigint,
    "Name" text,
    PRIMARY KEY ("n", "block_num")
);
CREATE INDEX ON "public"."My ""odd"" Table" USING brin ("block_num"` + opclass + `) WITH (autosummarize = on);
`
	if ddl != want {
		t.Errorf("described as\n%s", ddl)
	}
	if err := postgres.New(cfg).Check(t.Context(), wide); err != nil {
		t.Fatal(err)
	}
	if n := db.text("SELECT count(*) FROM pg_namespace WHERE nspname = 'ampipe'"); n != "0" {
		t.Error("Check has made the schema ampipe")
	}
	open(t, cfg, wide)
	made := db.text(`SELECT string_agg(format('%s %s %s', attname, format_type(atttypid, atttypmod), attnotnull), ',' ORDER BY attnum)
		FROM pg_attribute WHERE attrelid = '"My ""odd"" Table"'::regclass AND attnum > 0`)
	if made != "block_num bigint t,n bigint t,gas bigint f,Name text f" {
		t.Errorf("made with the columns %s", made)
	}
	indexes := db.text(`SELECT string_agg(regexp_replace(pg_get_indexdef(indexrelid), '.* USING ', ''), '; ' ORDER BY indexrelid) FROM pg_index WHERE indrelid = '"My ""odd"" Table"'::regclass`)
	if db.version() < 14 {
		opclass = ""
	}
	brin, btree := "brin (block_num"+opclass+") WITH (autosummarize='on')", "btree (n, block_num)"
	if indexes != brin+"; "+btree && indexes != btree+"; "+brin {
		t.Errorf("made with the indexes %s", indexes)
	}
}

// A block column of any integer type gets an index, and blocks are counted in it.
func TestBlockColumnsOfEveryType(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	for i, c := range []struct {
		dt arrow.DataType
		as string
	}{
		{arrow.PrimitiveTypes.Uint8, ""}, {arrow.PrimitiveTypes.Uint16, ""}, {arrow.PrimitiveTypes.Uint32, ""}, {arrow.PrimitiveTypes.Uint64, ""},
		{arrow.PrimitiveTypes.Int16, ""}, {arrow.PrimitiveTypes.Int32, ""}, {arrow.PrimitiveTypes.Int64, ""}, {arrow.PrimitiveTypes.Uint64, "numeric"},
	} {
		cfg := db.config()
		cfg.Table = fmt.Sprintf("t%d", i)
		if c.as != "" {
			cfg.Types = map[string]string{"n": c.as}
		}
		tab := sink.Table{Pipeline: "p", Sink: "s", Schema: arrow.NewSchema([]arrow.Field{{Name: "n", Type: c.dt}}, nil), Epoch: 1}
		w := open(t, cfg, tab)
		rec := integers(c.dt, 3, 3, 100, 120)
		if _, err := w.Apply(t.Context(), []sink.Change{sinktest.ChangeOf(block.Range{Start: 0, End: 127}, rec)}); err != nil {
			t.Fatal(err)
		}
		sinktest.WantSameDigests(t, w, rec)
		undo := live(sink.Change{}, 1, 0)
		undo.Kind, undo.Range = "invalidate", block.Range{Start: 100, End: 101}
		got, err := w.Apply(t.Context(), []sink.Change{undo})
		if err != nil || got.Deleted != 2 {
			t.Errorf("%s %s: invalidating block 100 deleted %d rows: %v", c.dt, c.as, got.Deleted, err)
		}
	}
}

func upsertByN(c *config.Postgres) { c.Mode, c.Key = config.Upsert, []string{"n"} }

func TestTableBelongsToOneSink(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	open(t, db.config(), small)
	other := small
	other.Sink = "other"
	for range 2 {
		err := postgres.New(db.config()).Open(t.Context(), other)
		wantRefused(t, err, `"s"`, `"p"`, "DELETE FROM ampipe.tables WHERE id = 1")
	}
	db.run("DELETE FROM ampipe.tables WHERE id = 1")
	open(t, db.config(), other)
}

func TestOverwriteEmptiesOnce(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	db.run(`CREATE TABLE t (block_num bigint, n bigint, "Name" text); INSERT INTO t VALUES (1, 1, 'old')`)
	cfg := db.config()
	cfg.Overwrite = true
	var group sync.WaitGroup
	for i := range block.Number(8) {
		group.Go(func() {
			w := postgres.New(cfg)
			if err := openPatiently(w); err != nil {
				t.Error(err)
				return
			}
			defer w.Close()
			if _, err := w.Apply(context.Background(), []sink.Change{rows(10*i, 10*i+10)}); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if got := db.text(`SELECT count(*) || ' rows, old: ' || count(*) FILTER (WHERE "Name" = 'old') FROM t`); got != "80 rows, old: 0" {
		t.Errorf("the table holds %s", got)
	}
}

// openPatiently opens as a sink does, which tries again when others are opening.
func openPatiently(w *postgres.Writer) error {
	return fault.Retry(context.Background(), fault.Backoff{Attempts: 10}, func(ctx context.Context) error { return w.Open(ctx, small) }, nil)
}

// Without overwrite rows that are there stay.
func TestRowsOfOthersStay(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	db.run(`CREATE TABLE t (block_num bigint, n bigint, "Name" text); INSERT INTO t VALUES (1, 1, 'old')`)
	w := open(t, db.config(), small)
	if _, err := w.Apply(t.Context(), []sink.Change{rows(0, 3)}); err != nil {
		t.Fatal(err)
	}
	if got := db.text(`SELECT count(*) FROM t`); got != "4" {
		t.Errorf("the table holds %s rows", got)
	}
}

// TestConnectChangesNothing, and what it keeps serves Open, also when the server has ended the
// session meanwhile. A writer may be closed without having been opened.
func TestConnectChangesNothing(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	made := func() string {
		return db.text("SELECT (to_regclass($1) IS NOT NULL)::text", db.config().Table)
	}
	for range 2 {
		w := postgres.New(db.config())
		if err := w.Connect(t.Context(), small); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil || made() != "false" {
			t.Errorf("the table is made: %s; %v", made(), err)
		}
	}
	w := postgres.New(db.config())
	if err := w.Connect(t.Context(), small); err != nil {
		t.Fatal(err)
	}
	const others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
	db.run("SELECT pg_terminate_backend(pid) " + others)
	eventually(t, db.Conn, "SELECT count(*) = 0 "+others)
	if err := w.Open(t.Context(), small); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil || made() != "true" {
		t.Errorf("the table is made: %s; %v", made(), err)
	}
}

func TestDroppedTableIsLoadedAgain(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	w := open(t, db.config(), small)
	if _, err := w.Apply(t.Context(), []sink.Change{rows(0, 3)}); err != nil {
		t.Fatal(err)
	}
	db.run("DROP TABLE t")
	again := open(t, db.config(), small)
	s, err := again.State(t.Context())
	if err != nil || s.Coverage.Len() != 0 {
		t.Fatalf("the state of a dropped table is %+v: %v", s, err)
	}
	if _, err := again.Apply(t.Context(), []sink.Change{rows(0, 3)}); err != nil {
		t.Fatal(err)
	}
	// The one from before must not go on with what it remembers.
	_, err = w.Apply(t.Context(), []sink.Change{rows(3, 5)})
	wantRefused(t, err, "ampipe.tables")
}

func TestManyOpenAtOnce(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	cfg := db.config()
	cfg.Schema = "Fresh"
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			mine := cfg
			mine.Table = fmt.Sprintf("t%d", i%3)
			w := postgres.New(mine)
			if err := openPatiently(w); err != nil {
				t.Error(err)
			}
			_ = w.Close()
		})
	}
	group.Wait()
	if got := db.text("SELECT count(*) FROM ampipe.tables"); got != "3" {
		t.Errorf("%s tables are registered, want 3", got)
	}
}

func TestNewerStateIsLeftAlone(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	open(t, db.config(), small)
	db.run("INSERT INTO ampipe.migrations (step) VALUES (99)")
	wantRefused(t, postgres.New(db.config()).Open(t.Context(), small), "99", "newer")
}

func TestMissingRightsAreNamed(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	guest, owner := db.role("guest"), db.role("owner")
	db.run("REVOKE CREATE ON SCHEMA public FROM PUBLIC; REVOKE TEMPORARY ON DATABASE " + db.Config().Database + " FROM PUBLIC")
	cfg := db.config()
	cfg.DSN = config.Secret(db.as(guest))
	try := func() error {
		w := postgres.New(cfg)
		err := w.Open(t.Context(), small)
		_ = w.Close()
		if checked := postgres.New(cfg).Check(t.Context(), small); (checked == nil) != (err == nil) {
			t.Errorf("checked: %v; opened: %v", checked, err)
		}
		return err
	}
	wantRefused(t, try(), "CREATE SCHEMA ampipe", "GRANT USAGE, CREATE ON SCHEMA", guest)
	if n := db.text("SELECT count(*) FROM pg_namespace WHERE nspname = 'ampipe'"); n != "0" {
		t.Error("the schema ampipe was made all the same")
	}
	db.run(`CREATE TABLE t (block_num bigint, n bigint PRIMARY KEY, "Name" text); GRANT SELECT ON t TO ` + guest)
	wantRefused(t, try(), "GRANT INSERT, DELETE ON")
	db.run("CREATE SCHEMA ampipe AUTHORIZATION " + owner)
	wantRefused(t, try(), "GRANT USAGE ON SCHEMA ampipe")
	db.run("GRANT USAGE ON SCHEMA ampipe TO " + guest + "; GRANT INSERT, DELETE ON t TO " + guest)
	wantRefused(t, try(), "does not own")
	open(t, db.config(), small) // the administrator makes the tables of the schema
	wantRefused(t, try(), "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA ampipe TO")
	db.run("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA ampipe TO " + guest)
	if err := try(); err != nil {
		t.Error(err)
	}
	upsertByN(&cfg)
	wantRefused(t, try(), "GRANT TEMPORARY ON DATABASE", "GRANT UPDATE ON")
}

func TestFewestRightsWillDo(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	guest := db.role("guest")
	other := db.config()
	other.Table = "other"
	open(t, other, small) // makes the schema ampipe
	db.run(`CREATE SCHEMA own AUTHORIZATION ` + guest + `;
		GRANT USAGE ON SCHEMA ampipe TO ` + guest + `; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA ampipe TO ` + guest)
	cfg := db.config()
	cfg.DSN, cfg.Schema, cfg.Mode, cfg.Key = config.Secret(db.as(guest)), "own", config.Upsert, []string{"n"}
	w := open(t, cfg, small)
	for range 2 {
		if _, err := w.Apply(t.Context(), []sink.Change{rows(0, 3), rows(100, 103)}); err != nil {
			t.Fatal(err)
		}
		db.run("DELETE FROM ampipe.coverage") // so that the second time goes through the staging table
	}
	if got := db.text("SELECT count(*) FROM own.t"); got != "3" {
		t.Errorf("%s rows by three keys", got)
	}
}
