package postgres_test

import (
	"strings"
	"testing"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/postgres"
)

// A foreign key of another table that keeps a reorg from deleting is named by check,
// refuses the reorg, and lets it pass once the statement has run that both advise.
func TestForeignKeysThatRefuseAReorg(t *testing.T) {
	t.Parallel()
	for name, key := range map[string]string{
		"no action":              `block_num bigint, FOREIGN KEY (block_num) REFERENCES t (block_num)`,
		"restrict":               `block_num bigint, CONSTRAINT "Odd ""name" FOREIGN KEY (block_num) REFERENCES t (block_num) ON UPDATE CASCADE ON DELETE RESTRICT`,
		"at the end":             `block_num bigint, FOREIGN KEY (block_num) REFERENCES t (block_num) DEFERRABLE INITIALLY DEFERRED`,
		"set null, not null":     `block_num bigint NOT NULL, FOREIGN KEY (block_num) REFERENCES t (block_num) ON DELETE SET NULL`,
		"of a partitioned table": `block_num bigint, FOREIGN KEY (block_num) REFERENCES t (block_num)) PARTITION BY RANGE (block_num`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := newDatabase(t)
			cfg := db.config()
			w := open(t, cfg, small)
			if err := insist(t.Context(), w, live(rows(0, 20), 1, 0)); err != nil {
				t.Fatal(err)
			}
			db.run("ALTER TABLE t ADD UNIQUE (block_num); CREATE TABLE notes (" + key + ")")
			if strings.Contains(key, "PARTITION") {
				db.run("CREATE TABLE notes_1 PARTITION OF notes DEFAULT")
			}
			db.run("INSERT INTO notes VALUES (15)")
			undo := live(sink.Change{Header: entry.Header{Kind: entry.Invalidate, Range: block.Range{Start: 10, End: block.Max + 1}}}, 2, 1)
			_, err := w.Apply(t.Context(), []sink.Change{undo})
			wantRefused(t, err, "the foreign key", "refuses that rows are deleted")
			if got := db.text("SELECT count(*) FROM t"); got != "20" {
				t.Errorf("%s rows are left", got)
			}
			look := postgres.New(cfg)
			if err := look.Check(t.Context(), small); err != nil {
				t.Fatal(err)
			}
			statement := `ALTER TABLE public.notes DROP CONSTRAINT .* ON DELETE CASCADE[^;:]*`
			told := strings.Join(look.Warnings(small), "\n")
			if !strings.Contains(told, "would refuse that a reorg deletes a row") {
				t.Fatalf("check says %q", told)
			}
			if _, advice, _ := strings.Cut(err.Error(), "; run "); !strings.HasPrefix(advice, told[strings.Index(told, "ALTER TABLE public.notes"):]) {
				t.Errorf("check advises %q, and the sink %q", told, advice)
			}
			db.advised(told, statement)
			if err := insist(t.Context(), open(t, cfg, small), undo, live(rows(10, 20), 3, 2)); err != nil {
				t.Errorf("mended as advised: %v", err)
			}
			if got := db.text("SELECT count(*) FROM t"); got != "20" {
				t.Errorf("mended as advised there are %s rows", got)
			}
			if err := look.Check(t.Context(), small); err != nil || len(look.Warnings(small)) > 0 {
				t.Errorf("mended as advised, check says %v %q", err, look.Warnings(small))
			}
		})
	}
}

// What a trigger's own statement violates is not the table's constraint.
func TestConstraintsOfOtherTables(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	w := open(t, db.config(), small)
	db.run("CREATE TABLE audit (n bigint UNIQUE)")
	db.trigger("t", "BEFORE INSERT ON %s FOR EACH ROW", "INSERT INTO public.audit VALUES (1); RETURN NEW;")
	_, err := w.Apply(t.Context(), []sink.Change{rows(0, 5)})
	wantRefused(t, err, "23505", "a trigger, or a function that the table calls, raised an error")
	if strings.Contains(err.Error(), "mode: upsert") {
		t.Errorf("it advises what does not help: %v", err)
	}
	db.run("DROP TABLE audit; CREATE TABLE audit (n bigint)") // the trigger is mended
	if err := insist(t.Context(), w, rows(0, 5)); err != nil {
		t.Errorf("mended as advised: %v", err)
	}
}

// A publication refuses changes for more reasons than a missing replica identity; no
// catalog says all of them in one place, so it is tried.
func TestPublicationsWithAFilter(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	if db.version() < 15 {
		t.Skip("publications have no filters before PostgreSQL 15")
	}
	cfg := db.config()
	db.run(`CREATE TABLE t (block_num bigint PRIMARY KEY, n bigint, "Name" text); CREATE PUBLICATION part FOR TABLE t WHERE (n > 5)`)
	for _, of := range []func() error{
		func() error { return postgres.New(cfg).Check(t.Context(), small) },
		func() error { return postgres.New(cfg).Open(t.Context(), small) },
	} {
		wantRefused(t, of(), "42P10", "ALTER PUBLICATION … SET TABLE … without them")
	}
	db.run("ALTER PUBLICATION part SET TABLE t")
	if err := insist(t.Context(), open(t, cfg, small), rows(0, 5)); err != nil || fault.Of(err) == fault.ClassPermanent {
		t.Errorf("mended as advised: %v", err)
	}
}

// Trying leaves nothing behind, neither of a table that is there nor of what would be
// made.
func TestCheckLeavesNothing(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	cfg := db.config()
	snapshot := func() string {
		return db.text(`SELECT concat_ws(' ', (SELECT string_agg(nspname, ',' ORDER BY 1) FROM pg_namespace WHERE nspname !~ '^pg_'),
			(SELECT string_agg(relname || relfilenode, ',' ORDER BY 1) FROM pg_class WHERE relnamespace = 'public'::regnamespace),
			(SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'
				AND database = (SELECT oid FROM pg_database WHERE datname = current_database())))`)
	}
	before := snapshot()
	if err := postgres.New(cfg).Check(t.Context(), small); err != nil {
		t.Fatal(err)
	}
	if after := snapshot(); after != before {
		t.Errorf("before: %s\nafter: %s", before, after)
	}
	db.run(`CREATE TABLE t (block_num bigint, n bigint, "Name" text); CREATE TABLE fired (what text); INSERT INTO t VALUES (1, 1, 'x')`)
	db.trigger("t", "BEFORE INSERT OR DELETE OR TRUNCATE ON %s FOR EACH STATEMENT", "INSERT INTO public.fired VALUES (TG_OP); RETURN NULL;")
	cfg.Overwrite = true
	before = snapshot()
	if err := postgres.New(cfg).Check(t.Context(), small); err != nil {
		t.Fatal(err)
	}
	if after := snapshot(); after != before {
		t.Errorf("before: %s\nafter: %s", before, after)
	}
	if got := db.text("SELECT concat_ws(' ', (SELECT count(*) FROM t), (SELECT count(*) FROM fired))"); got != "1 0" {
		t.Errorf("rows, and rows of the trigger: %s", got)
	}
	cfg.Overwrite = false
	open(t, cfg, small)
	if got := db.text("SELECT count(*) FROM fired"); got != "0" {
		t.Errorf("opening has left %s rows of the trigger", got)
	}
}
