package postgres_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/jackc/pgx/v5"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/postgres"
	"github.com/ampipe/ampipe/pkg/sink/sinktest"
)

// hostile are defaults that change what a session reads and writes, or end it. The
// access method and the functions are made by [database.arm].
var hostile = [][2]string{
	{"client_encoding", "WIN1252"},
	{"standard_conforming_strings", "off"},
	{"backslash_quote", "off"},
	{"escape_string_warning", "off"},
	{"array_nulls", "off"},
	{"transform_null_equals", "on"},
	{"quote_all_identifiers", "on"},
	{"DateStyle", "SQL, DMY"},
	{"IntervalStyle", "sql_standard"},
	{"TimeZone", "Asia/Kolkata"},
	{"extra_float_digits", "-15"},
	{"bytea_output", "escape"},
	{"xmlbinary", "hex"},
	{"xmloption", "document"},
	{"lc_monetary", "C"},
	{"lc_numeric", "C"},
	{"search_path", "evil, pg_catalog, ampipe"},
	{"row_security", "on"},
	{"session_replication_role", "replica"},
	{"default_transaction_isolation", "serializable"},
	{"default_transaction_read_only", "on"},
	{"default_transaction_deferrable", "on"},
	{"default_table_access_method", "other_heap"},
	{"default_tablespace", "none_of_this_name"},
	{"temp_tablespaces", "none_of_this_name"},
	{"synchronous_commit", "off"},
	{"exit_on_error", "on"},
	{"statement_timeout", "300ms"},
	{"lock_timeout", "1ms"},
	{"idle_in_transaction_session_timeout", "50ms"},
	{"transaction_timeout", "300ms"},
	{"idle_session_timeout", "700ms"},
	{"tcp_user_timeout", "0"},
	{"enable_hashjoin", "off"},
	{"plan_cache_mode", "force_generic_plan"},
	{"client_min_messages", "debug1"},
	{"stats_fetch_consistency", "snapshot"},
	{"work_mem", "64kB"},
	{"gin_fuzzy_search_limit", "1"},
}

// known returns those of them that the server knows.
func (d *database) known() [][2]string {
	var known [][2]string
	for _, s := range hostile {
		if d.text("SELECT count(*) FROM pg_settings WHERE name = $1", s[0]) == "1" {
			known = append(known, s)
		}
	}
	return known
}

// arm makes what the hostile settings name. Functions and operators of the schema
// evil have the names of those that ampipe uses.
func (d *database) arm() {
	d.run(`CREATE ACCESS METHOD other_heap TYPE TABLE HANDLER heap_tableam_handler;
		CREATE SCHEMA evil;
		CREATE TYPE evil.int8range AS (a integer);
		CREATE DOMAIN evil.text AS varchar(1);
		CREATE FUNCTION evil.evil() RETURNS integer LANGUAGE plpgsql AS $$ BEGIN RAISE 'a foreign function was called'; END $$;
		CREATE FUNCTION evil.lower(anyrange) RETURNS bigint LANGUAGE sql AS 'SELECT evil.evil()::bigint';
		CREATE FUNCTION evil.upper(anyrange) RETURNS bigint LANGUAGE sql AS 'SELECT evil.evil()::bigint';
		CREATE FUNCTION evil.format_type(oid, integer) RETURNS pg_catalog.text LANGUAGE sql AS 'SELECT evil.evil()::pg_catalog.text';
		CREATE FUNCTION evil.current_setting(pg_catalog.text) RETURNS pg_catalog.text LANGUAGE sql AS 'SELECT evil.evil()::pg_catalog.text';
		CREATE FUNCTION evil.equal(integer, integer) RETURNS boolean LANGUAGE sql AS 'SELECT evil.evil() IS NULL';
		CREATE FUNCTION evil.equal(pg_catalog.text, pg_catalog.text) RETURNS boolean LANGUAGE sql AS 'SELECT evil.evil() IS NULL';
		CREATE OPERATOR evil.= (LEFTARG = integer, RIGHTARG = integer, FUNCTION = evil.equal);
		CREATE OPERATOR evil.= (LEFTARG = pg_catalog.text, RIGHTARG = pg_catalog.text, FUNCTION = evil.equal);
		CREATE OPERATOR evil.<> (LEFTARG = pg_catalog.text, RIGHTARG = pg_catalog.text, FUNCTION = evil.equal);
		GRANT USAGE ON SCHEMA evil TO PUBLIC`)
}

// texts are what a wrong encoding, quoting or format would change.
var texts = []string{"é€", `\x41 back\slash '' "`, "NULL", "日本語", "\u0081", "{a,b}", ""}

// odd is a table whose column names and values are read wrongly in another session.
var odd = table(field("n", arrow.PrimitiveTypes.Int64), field(`naïve \ "col'`, textType), field("f", arrow.PrimitiveTypes.Float64),
	field("bin", arrow.BinaryTypes.Binary), field("at", &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}),
	field("day", arrow.FixedWidthTypes.Date32), field("took", arrow.FixedWidthTypes.Duration_us))

// oddRows is a row for each block of [from, to). Every second has a key that all
// of its like have.
func oddRows(from, to block.Number) sink.Change {
	b := array.NewRecordBuilder(memory.DefaultAllocator, odd.Schema)
	defer b.Release()
	for n := from; n < to; n++ {
		b.Field(0).(*array.Uint64Builder).Append(uint64(n))
		b.Field(1).(*array.Int64Builder).Append(int64(n) * int64(n%2))
		b.Field(2).(*array.StringBuilder).Append(texts[int(n)%len(texts)])
		b.Field(3).(*array.Float64Builder).Append(0.1 + float64(n)/3)
		b.Field(4).(*array.BinaryBuilder).Append([]byte{0, byte(n), '\\', 0xff})
		b.Field(5).(*array.TimestampBuilder).Append(arrow.Timestamp(int64(n) * 86_400_000_123))
		b.Field(6).(*array.Date32Builder).Append(arrow.Date32(n * 31))
		b.Field(7).(*array.DurationBuilder).Append(arrow.Duration(n) * -3_600_000_001)
	}
	return sinktest.ChangeOf(block.Range{Start: from, End: to}, b.NewRecordBatch())
}

// load writes every kind of change and returns a digest of what is in the table, made
// by the server in a session that nobody has touched.
func (d *database) load(t *testing.T, cfg config.Postgres) string {
	t.Helper()
	part := oddRows(7, 8)
	part.Parts, part.Batch = 2, `NULL`
	mark := sink.Change{Header: entry.Header{Kind: entry.Watermark, Network: "n", Range: block.Closed(39, 39), Hash: block.Hash{1}}}
	undo := live(sink.Change{Header: entry.Header{Kind: entry.Invalidate, Range: block.Range{Start: 30, End: block.Max + 1}}}, 8, 7)
	if err := postgres.New(cfg).Check(t.Context(), odd); err != nil {
		t.Fatalf("check: %v", err)
	}
	w := open(t, cfg, odd)
	for _, some := range [][]sink.Change{
		{oddRows(0, 5), part},
		{live(oddRows(20, 25), 5, 0)},
		{live(oddRows(25, 40), 6, 5), live(mark, 7, 6)},
		{undo},
		{live(oddRows(30, 35), 9, 8)},
		{oddRows(5, 7)},
	} {
		if err := insist(t.Context(), w, some...); err != nil {
			t.Fatalf("apply: %v", err)
		}
	}
	s, err := w.State(t.Context())
	if err != nil || s.Coverage.String() != "[0, 7) [20, 35)" {
		t.Fatalf("coverage is %v: %v", s.Coverage, err)
	}
	again := postgres.New(cfg)
	if err := again.OpenStored(t.Context(), odd); err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	into := make(sink.Digests)
	if err := again.DigestStored(t.Context(), block.Range{Start: 0, End: 40}, into); err != nil {
		t.Fatal(err)
	}
	if cfg.Mode == config.Append && len(into) != 23 {
		t.Errorf("the table is read with %d blocks, want 23", len(into))
	}
	return d.text("SELECT string_agg(t::text, E'\\n' ORDER BY block_num) FROM "+cfg.Schema+"."+cfg.Table+" t") + "\n" +
		d.text("SELECT string_agg(concat_ws(' ', blocks, parts, coalesce(batch, 'none'), parts_of), ', ' ORDER BY blocks) FROM ampipe.coverage") + "\n" +
		d.text("SELECT coalesce(string_agg(concat_ws(' ', block, replaced_by, content), E'\\n' ORDER BY block, replaced_by), '') FROM ampipe.replaced")
}

// What the defaults of a session are changes nothing, wherever they come from.
func TestHostileDefaults(t *testing.T) {
	t.Parallel()
	all := []string{"nowhere", "database", "role", "role in the database", "parameters of the dsn", "options of the dsn"}
	for mode, sources := range map[config.Mode][]string{config.Append: all[:2], config.Upsert: all} {
		want := ""
		for _, from := range sources {
			t.Run(string(mode)+" from "+from, func(t *testing.T) {
				db := newDatabase(t)
				db.arm()
				user, name := db.role("loader"), db.Config().Database
				db.run("ALTER ROLE " + user + " SUPERUSER")
				cfg := db.config()
				cfg.Mode, cfg.Key = mode, []string{"n"}
				dsn, err := url.Parse(db.as(user))
				if err != nil {
					t.Fatal(err)
				}
				query := dsn.Query()
				var options []string
				for _, s := range db.known() {
					value := s[1]
					if strings.Contains(from, "dsn") && strings.Contains(s[0], "tablespace") {
						continue // the server itself refuses the connection
					}
					switch from {
					case "database":
						db.run(fmt.Sprintf("ALTER DATABASE %s SET %s = %s", name, s[0], listed(s)))
					case "role":
						db.run(fmt.Sprintf("ALTER ROLE %s SET %s = %s", user, s[0], listed(s)))
					case "role in the database":
						db.run(fmt.Sprintf("ALTER ROLE %s IN DATABASE %s SET %s = %s", user, name, s[0], listed(s)))
					case "parameters of the dsn":
						query.Set(s[0], value)
					case "options of the dsn":
						options = append(options, "-c "+s[0]+"="+strings.ReplaceAll(value, " ", `\ `))
					}
				}
				if options != nil {
					query.Set("options", strings.Join(options, " "))
				}
				dsn.RawQuery = strings.ReplaceAll(query.Encode(), "+", "%20")
				cfg.DSN = config.Secret(dsn.String())
				got := db.load(t, cfg)
				if want == "" {
					want = got
				}
				if got != want {
					t.Errorf("the table holds\n%s\nwant\n%s", got, want)
				}
				if am := db.text("SELECT string_agg(DISTINCT amname, ' ') FROM pg_class c JOIN pg_am a ON a.oid = c.relam WHERE c.relkind = 'r' AND c.relnamespace IN ('public'::regnamespace, 'ampipe'::regnamespace)"); am != "heap" {
					t.Errorf("the tables were made with the access method %s", am)
				}
			})
		}
	}
}

// listed writes the value of a setting for SET: a list stays one.
func listed(s [2]string) string {
	if s[0] == "search_path" {
		return s[1]
	}
	return "'" + s[1] + "'"
}

// Everything that is on or off, or one of several words, is turned to something else.
// It shows that the settings which are left alone change nothing.
func TestEverySettingTurned(t *testing.T) {
	t.Parallel()
	load := func(turned bool) string {
		db := newDatabase(t)
		user := db.role("loader")
		db.run("ALTER ROLE " + user + " SUPERUSER")
		if turned {
			// What is left out is for debugging, makes every statement slow, or concerns
			// files and tables of the system.
			rows, err := db.Query(t.Context(), `SELECT format('ALTER ROLE `+user+` SET %I = %L', name, CASE vartype
					WHEN 'bool' THEN CASE setting WHEN 'on' THEN 'off' ELSE 'on' END
					ELSE (SELECT v FROM unnest(enumvals) AS v WHERE v <> setting ORDER BY v DESC LIMIT 1) END)
				FROM pg_settings WHERE context IN ('user', 'superuser') AND vartype IN ('bool', 'enum') AND name !~ '^(enable_|jit|debug_|log_|trace_|ssl_)'
					AND name NOT IN ('allow_system_table_mods', 'allow_in_place_tablespaces', 'ignore_checksum_failure', 'zero_damaged_pages', 'transaction_read_only',
						'transaction_isolation', 'transaction_deferrable', 'default_toast_compression', 'backtrace_functions', 'client_min_messages', 'is_superuser')`)
			if err != nil {
				t.Fatal(err)
			}
			statements, err := pgx.CollectRows(rows, pgx.RowTo[string])
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%d settings", len(statements))
			for _, sql := range statements {
				db.run(sql)
			}
		}
		cfg := db.config()
		cfg.DSN, cfg.Mode, cfg.Key = config.Secret(db.as(user)), config.Upsert, []string{"n"}
		return db.load(t, cfg)
	}
	if want, got := load(false), load(true); got != want {
		t.Errorf("the table holds\n%s\nwant\n%s", got, want)
	}
}

// Text in another encoding than UTF8 would be refused or cut row by row, and one that
// PostgreSQL does not know, SQL_ASCII, is not checked at all.
func TestOtherEncodingsAreRefused(t *testing.T) {
	t.Parallel()
	for _, encoding := range []string{"SQL_ASCII", "LATIN1", "EUC_JP"} {
		db := newDatabase(t)
		name := db.Config().Database + "_other"
		db.run("CREATE DATABASE " + name + " ENCODING '" + encoding + "' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
		db.Cleanup(func() { dropDatabase(db, db.Conn, name) })
		cfg := db.config()
		cfg.DSN = config.Secret(strings.Replace(db.url, db.Config().Database, name, 1))
		wantRefused(t, postgres.New(cfg).Check(t.Context(), small), encoding, "ENCODING 'UTF8'")
		wantRefused(t, postgres.New(cfg).Open(t.Context(), small), encoding, "ENCODING 'UTF8'")
	}
}
