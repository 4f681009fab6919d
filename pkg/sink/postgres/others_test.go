package postgres_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink/postgres"
)

// stateOfStep2 is the schema ampipe as it was made before its tables had a replica
// identity.
const stateOfStep2 = `CREATE SCHEMA ampipe;
CREATE TABLE ampipe.migrations (step integer PRIMARY KEY, done_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE ampipe.tables (
    id             integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    schema_name    text NOT NULL,
    table_name     text NOT NULL,
    pipeline       text NOT NULL,
    sink           text NOT NULL,
    created_at     timestamptz NOT NULL DEFAULT now(),
    live_epoch     bigint,
    live_seq       bigint,
    live_start     bigint,
    cursor_network text,
    cursor_block   bigint,
    cursor_hash    bytea CHECK (octet_length(cursor_hash) = 32),
    UNIQUE (schema_name, table_name)
);
CREATE TABLE ampipe.coverage (
    table_id integer   NOT NULL REFERENCES ampipe.tables ON DELETE CASCADE,
    blocks   int8range NOT NULL CHECK (NOT isempty(blocks)),
    parts    int4range NOT NULL DEFAULT '[0,2147483647)' CHECK (NOT isempty(parts)),
    batch    text,
    parts_of integer,
    CONSTRAINT coverage_whole_or_part CHECK ((parts = '[0,2147483647)') = (batch IS NULL) AND (batch IS NULL) = (parts_of IS NULL)),
    CONSTRAINT coverage_once EXCLUDE USING gist (int4range(table_id, table_id, '[]') WITH &&, blocks WITH &&, parts WITH &&)
);
ALTER TABLE ampipe.tables ADD COLUMN unsaved bigint NOT NULL DEFAULT -1;
CREATE TABLE ampipe.replaced (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    table_id    integer NOT NULL REFERENCES ampipe.tables ON DELETE CASCADE,
    block       bigint  NOT NULL,
    replaced_by bigint  NOT NULL,
    content     jsonb   NOT NULL
);
CREATE INDEX replaced_by ON ampipe.replaced (table_id, replaced_by);
INSERT INTO ampipe.migrations (step) VALUES (1), (2)`

// TestPublicationOfAllTables: logical replication forbids deleting from tables that have
// nothing that names their rows. Tables that ampipe makes have it.
func TestPublicationOfAllTables(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*config.Postgres){"append": nil, "upsert": upsertByN, "upsert by block": upsertByBoth} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := newDatabase(t)
			db.run("CREATE PUBLICATION everything FOR ALL TABLES")
			cfg := db.config()
			if change != nil {
				change(&cfg)
			}
			if err := postgres.New(cfg).Check(t.Context(), small); err != nil {
				t.Fatal(err)
			}
			cfg.Finality = 100
			l := &chain{TB: t, w: open(t, cfg, small)}
			l.apply(keys(span(5000, 5010), 1, 2))
			l.history(keys(span(0, 10), 1, 2), keys(span(4995, 5000), 1), keys(span(10, 20), 3))
			l.apply(keys(span(5010, 5020), 2, 3), mark(5019), invalidate(5005, 5019), keys(span(5005, 6030), 1, 3), mark(6029))
			db.want("SELECT max(block_num) FROM t", "6029")
			if err := postgres.New(cfg).Check(t.Context(), small); err != nil {
				t.Error(err)
			}
			db.run("DELETE FROM ampipe.tables") // as the manual says
		})
	}
}

// TestStateWithoutReplicaIdentityIsMended: a pipeline that an older version has loaded
// continues, whether a publication has stopped it or will.
func TestStateWithoutReplicaIdentityIsMended(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	db.run(stateOfStep2)
	db.run(`CREATE TABLE t (block_num bigint, n bigint, "Name" text); CREATE INDEX ON t USING brin (block_num);
		INSERT INTO t SELECT b, 1, 'b' || b FROM generate_series(0, 19) AS b;
		INSERT INTO ampipe.tables (schema_name, table_name, pipeline, sink, live_epoch, live_seq, live_start) VALUES ('public', 't', 'p', 's', 1, 1, 10);
		INSERT INTO ampipe.coverage (table_id, blocks) VALUES (1, '[0,20)'); CREATE PUBLICATION everything FOR ALL TABLES`)
	if _, err := db.Exec(t.Context(), "DELETE FROM ampipe.coverage"); err == nil || !strings.Contains(err.Error(), "55000") {
		t.Fatalf("the server does not mind: %v", err)
	}
	cfg := db.config()
	wantRefused(t, postgres.New(cfg).Check(t.Context(), small), "ALTER TABLE public.t REPLICA IDENTITY FULL")
	db.run("ALTER TABLE t REPLICA IDENTITY FULL")
	if err := postgres.New(cfg).Check(t.Context(), small); err != nil {
		t.Fatal(err)
	}
	l := &chain{TB: t, w: open(t, cfg, small), seq: 1}
	l.apply(keys(span(20, 22), 1), mark(21), invalidate(15, 21))
	db.want("SELECT string_agg(blocks::text, ' ') FROM ampipe.coverage", "[0,15)")
	db.want("SELECT concat_ws(' ', count(*), max(block_num)) FROM t", "15 14")
	db.want("SELECT max(step) FROM ampipe.migrations", "5")
	db.run("ALTER TABLE ampipe.coverage REPLICA IDENTITY NOTHING")
	wantRefused(t, postgres.New(cfg).Check(t.Context(), small), "ALTER TABLE ampipe.coverage REPLICA IDENTITY FULL")
}

// TestMigrationBesideOlderVersions: the schema is brought up to date while processes of
// an older version write, whose transactions overlap and are longer than a portion.
func TestMigrationBesideOlderVersions(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	db.run(stateOfStep2)
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	defer group.Wait()
	defer cancel()
	for i := range 2 {
		old := connect(t, db.url)
		group.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				wait := 2.0
				if i == 1 && n == 0 {
					wait = 1 // from then on one is in the middle when the other ends
				}
				_, _ = old.Exec(ctx, fmt.Sprintf("BEGIN; SELECT FROM ampipe.coverage; SELECT pg_sleep(%f); COMMIT", wait))
			}
		})
	}
	eventually(t, db.Conn, "SELECT count(*) = 2 FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'")
	within, stop := context.WithTimeout(ctx, 20*time.Second)
	defer stop()
	w := postgres.New(db.config())
	defer w.Close()
	if err := fault.Retry(within, fault.Backoff{Attempts: 3}, func(ctx context.Context) error { return w.Open(ctx, small) }, nil); err != nil {
		t.Error(err)
	}
}

// TestPublicationThatComesMeanwhile is waited for with what to do, and nothing is lost.
func TestPublicationThatComesMeanwhile(t *testing.T) {
	t.Parallel()
	g := newGuarded(t, `CREATE TABLE t (block_num bigint, n bigint, "Name" text)`, nil)
	g.run("CREATE PUBLICATION mine FOR TABLE t")
	before := g.holds()
	err := g.l.try(invalidate(25, 29))
	if fault.Of(err) != fault.ClassLater || !strings.Contains(fmt.Sprint(err), "REPLICA IDENTITY FULL") {
		t.Fatalf("answered with %v (%v)", err, fault.Of(err))
	}
	if after := g.holds(); after != before {
		t.Fatalf("before:\n%s\nafter:\n%s", before, after)
	}
	g.l.history(keys(span(10, 12), 1)) // adding still works
	g.run("ALTER TABLE t REPLICA IDENTITY FULL")
	g.l.apply(invalidate(25, 29))
	g.want("SELECT max(block_num) FROM t", "24")
}

// TestDefaultPrivileges take nothing from the owner of our tables; what they withhold from
// a second user of the same sink is named.
func TestDefaultPrivileges(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	loader, second := db.role("loader"), db.role("second")
	db.run("GRANT CREATE ON DATABASE " + db.Config().Database + " TO " + loader + "; GRANT ALL ON SCHEMA public TO " + loader + ", " + second)
	conn := connect(t, db.as(loader))
	for _, sql := range []string{
		"ALTER DEFAULT PRIVILEGES REVOKE ALL ON TABLES FROM PUBLIC, " + loader, "ALTER DEFAULT PRIVILEGES REVOKE ALL ON SCHEMAS FROM PUBLIC, " + loader,
		"ALTER DEFAULT PRIVILEGES REVOKE ALL ON FUNCTIONS FROM PUBLIC, " + loader, "ALTER DEFAULT PRIVILEGES REVOKE ALL ON SEQUENCES FROM PUBLIC, " + loader,
	} {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	cfg := db.config()
	upsertByN(&cfg)
	cfg.DSN = config.Secret(db.as(loader))
	l := &chain{TB: t, w: open(t, cfg, small)}
	l.apply(keys(span(0, 10), 1, 2), keys(span(10, 12), 2), mark(11), invalidate(11, 11))
	db.want(blocksOf, "1:9 2:10")

	cfg.DSN = config.Secret(db.as(second))
	wantRefused(t, postgres.New(cfg).Check(t.Context(), small), "GRANT USAGE ON SCHEMA ampipe TO", "GRANT SELECT, INSERT, DELETE, UPDATE ON")
	db.run("GRANT USAGE ON SCHEMA ampipe TO " + second + "; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA ampipe TO " + second)
	db.run("GRANT SELECT, INSERT, DELETE, UPDATE ON t TO " + second)
	l.w = open(t, cfg, small)
	l.apply(keys(span(11, 13), 1), mark(12), invalidate(12, 12))
	db.want(blocksOf, "1:11 2:10")
}

// TestEventTriggerThatRefuses is named, and nothing is half made.
func TestEventTriggerThatRefuses(t *testing.T) {
	t.Parallel()
	for name, event := range map[string]string{"before": "ddl_command_start", "after": "ddl_command_end"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := newDatabase(t)
			db.run("CREATE FUNCTION no() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no tables here'; END $$")
			refuse := "CREATE EVENT TRIGGER no ON " + event + " EXECUTE FUNCTION no()"
			db.run(refuse)
			cfg := db.config()
			upsertByN(&cfg)
			wantRefused(t, postgres.New(cfg).Open(t.Context(), small), "no tables here", "event trigger", "pg_event_trigger")
			db.want("SELECT count(*) FROM pg_namespace WHERE nspname = 'ampipe'", "0")
			db.run("DROP EVENT TRIGGER no")
			l := &chain{TB: t, w: open(t, cfg, small)}
			l.apply(keys(span(0, 10), 1, 2))
			db.run(refuse) // upserts make temporary tables
			before := db.holds()
			wantRefused(t, l.try(keys(span(10, 12), 1)), "no tables here", "event trigger")
			if after := db.holds(); after != before {
				t.Errorf("before: %s, after: %s", before, after)
			}
			db.run("DROP EVENT TRIGGER no")
			l.apply(keys(span(10, 12), 1))
			db.want(blocksOf, "1:11 2:9")
		})
	}
}

// TestLimitsOfTheServerAreWaitedFor: the sink resumes by itself when they are mended,
// also where only new sessions see that.
func TestLimitsOfTheServerAreWaitedFor(t *testing.T) {
	t.Parallel()
	many := make([]int64, 20_000)
	for i := range many {
		many[i] = int64(i)
	}
	for _, c := range []struct{ name, set, reset, says string }{
		{"files for sorting", "ALTER DATABASE %s SET temp_file_limit = 0; ALTER DATABASE %[1]s SET work_mem = '256kB'", "ALTER DATABASE %s RESET temp_file_limit", "temp_file_limit"},
		{"a full disk", "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'could not extend file' USING ERRCODE = '53100'; END $$; " +
			"CREATE TRIGGER full_disk BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION full_disk()", "DROP TRIGGER full_disk ON t", "disk of the server is full"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			db := newDatabase(t)
			cfg := db.config()
			upsertByN(&cfg)
			l := &chain{TB: t, w: open(t, cfg, small)}
			l.apply(keys(span(0, 1), many...))
			db.run(strings.ReplaceAll(strings.ReplaceAll(c.set, "%[1]s", "%s"), "%s", db.Config().Database))
			if err := l.w.Close(); err != nil {
				t.Fatal(err)
			}
			l.w = open(t, cfg, small)
			before := db.holds()
			for range 2 {
				err := l.try(keys(span(1, 2), many...))
				if fault.Of(err) != fault.ClassLater || !strings.Contains(fmt.Sprint(err), c.says) {
					t.Fatalf("answered with %v (%v)", err, fault.Of(err))
				}
			}
			if db.holds() != before {
				t.Error("something was written")
			}
			db.run(strings.ReplaceAll(c.reset, "%s", db.Config().Database))
			l.apply(keys(span(1, 2), many...))
			db.want("SELECT concat_ws(' ', count(*), min(block_num)) FROM t", "20000 1")
		})
	}
}
