package postgres_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/postgres"
)

// foreign makes the table of small with a row for each block of [0, 20), as keys has
// them, and a column of the loader that filled it.
func foreign(t *testing.T) (*database, config.Postgres) {
	t.Helper()
	db := newDatabase(t)
	db.run(`CREATE TABLE t (block_num bigint, n bigint, "Name" text, _amp_batch_id text DEFAULT 'theirs');
		CREATE INDEX ON t (block_num);
		INSERT INTO t (block_num, n, "Name") SELECT b, 1, 'b' || b FROM generate_series(0, 19) AS b`)
	return db, db.config()
}

// adopting opens a Writer to adopt the table of small.
func adopting(t *testing.T, cfg config.Postgres, dry bool) *postgres.Writer {
	t.Helper()
	w := postgres.New(cfg)
	if err := w.OpenAdoption(t.Context(), small, dry); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// wanted digests what the source has of blocks.
func wanted(t *testing.T, w *postgres.Writer, r block.Range) sink.Digests {
	t.Helper()
	source := w.DigestSource()
	for _, rec := range keys(r, 1).Records {
		if err := source.Add(rec); err != nil {
			t.Fatal(err)
		}
	}
	return source.Digests()
}

func adopt(t *testing.T, w *postgres.Writer, r block.Range, replace bool) sink.Adopted {
	t.Helper()
	done, err := w.Adopt(t.Context(), r, wanted(t, w, r), replace)
	if err != nil {
		t.Fatal(err)
	}
	return done
}

func finish(t *testing.T, w *postgres.Writer) sink.Remainder {
	t.Helper()
	rest, err := w.FinishAdoption(t.Context(), span(0, block.Max+1), block.Set{})
	if err != nil {
		t.Fatal(err)
	}
	return rest
}

const coveredBlocks = "SELECT coalesce(string_agg(blocks::text, ' ' ORDER BY blocks), 'none') FROM ampipe.coverage"

func TestAdoptCoversWhatIsEqual(t *testing.T) {
	t.Parallel()
	db, cfg := foreign(t)
	db.run(`DELETE FROM t WHERE block_num = 3;
		INSERT INTO t (block_num, n, "Name") VALUES (5, 1, 'b5'), (7, 2, 'b7');
		UPDATE t SET "Name" = 'other fork' WHERE block_num = 9`)
	before := db.text("SELECT string_agg(t::text, '' ORDER BY ctid) FROM t")
	w := adopting(t, cfg, false)
	done := adopt(t, w, span(0, 15), false)
	if len(done.Stored) != 14 || done.Compared.Len() != 15 || done.Deleted != 0 {
		t.Errorf("compared %v, %d blocks with rows, %d rows deleted", done.Compared, len(done.Stored), done.Deleted)
	}
	if got := db.text(coveredBlocks); got != "[0,3) [4,5) [6,7) [8,9) [10,15)" {
		t.Errorf("covered are %s", got)
	}
	if after := db.text("SELECT string_agg(t::text, '' ORDER BY ctid) FROM t"); after != before {
		t.Error("rows were changed")
	}
	rest := finish(t, w)
	if want := block.NewSet(span(5, 6), span(7, 8), span(9, 10), span(15, 20)); rest.Rows != 10 || rest.Disturbed || !rest.Blocks.Equal(want) {
		t.Errorf("what remains is %+v", rest)
	}
	wantRefused(t, postgres.New(cfg).Open(t.Context(), small), "is being adopted", "ampipe adopt p --sink s", "DELETE FROM ampipe.tables WHERE id = 1")
	wantRefused(t, postgres.New(cfg).Check(t.Context(), small), "is being adopted")

	// It is begun again, as after a crash, and only the rest is compared.
	again := adopting(t, cfg, false)
	if have, err := again.Adopted(t.Context()); err != nil || have.Len() != 11 {
		t.Errorf("adopted before: %v: %v", have, err)
	}
	done = adopt(t, again, span(0, 20), true)
	if want := block.NewSet(span(3, 4), span(5, 6), span(7, 8), span(9, 10), span(15, 20)); !done.Compared.Equal(want) || done.Deleted != 5 {
		t.Errorf("compared %v, %d rows deleted", done.Compared, done.Deleted)
	}
	if rest := finish(t, again); !rest.None() {
		t.Errorf("what remains is %+v", rest)
	}
	if got := db.text(coveredBlocks); got != "[0,3) [4,5) [6,7) [8,9) [10,20)" {
		t.Errorf("covered are %s", got)
	}
	// A process that was slower is told.
	_, err := w.Adopt(t.Context(), span(0, 20), nil, true)
	wantRefused(t, err, "not being adopted any more")

	// What is missing is loaded, and nothing else.
	s := open(t, cfg, small)
	if _, err := s.Apply(t.Context(), []sink.Change{keys(span(0, 20), 1)}); err != nil {
		t.Fatal(err)
	}
	if got := db.text(`SELECT concat_ws(' ', count(*), count(DISTINCT block_num), bool_and("Name" = 'b' || block_num), min(block_num), max(block_num)) FROM t`); got != "20 20 t 0 19" {
		t.Errorf("the table holds %s", got)
	}
	wantRefused(t, postgres.New(cfg).OpenAdoption(t.Context(), small, false), "loads it already", "DELETE FROM ampipe.tables WHERE id = 1")
}

func TestADryAdoptionChangesNothing(t *testing.T) {
	t.Parallel()
	db, cfg := foreign(t)
	w := adopting(t, cfg, true)
	if done := adopt(t, w, span(0, 20), true); len(done.Stored) != 20 || done.Deleted != 0 {
		t.Errorf("%d blocks, %d rows deleted", len(done.Stored), done.Deleted)
	}
	rest, err := w.FinishAdoption(t.Context(), span(0, 100), block.NewSet(span(0, 18)))
	if want := block.NewSet(span(18, 20)); err != nil || rest.Rows != 2 || !rest.Blocks.Equal(want) {
		t.Errorf("what remains is %+v: %v", rest, err)
	}
	if n := db.text("SELECT count(*) FROM pg_namespace WHERE nspname = 'ampipe'"); n != "0" {
		t.Error("the schema ampipe was made")
	}
	if n := db.text("SELECT count(*) FROM t"); n != "20" {
		t.Errorf("%s rows are left", n)
	}
}

// TestOthersWriteDuringAnAdoption: a loader that still writes is waited for, and what it
// writes to blocks that were adopted is found.
func TestOthersWriteDuringAnAdoption(t *testing.T) {
	t.Parallel()
	db, cfg := foreign(t)
	w := adopting(t, cfg, false)
	other := connect(t, db.url)
	tx, err := other.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `INSERT INTO t (block_num, n, "Name") VALUES (4, 1, 'b4')`); err != nil {
		t.Fatal(err)
	}
	want := wanted(t, w, span(0, 20))
	if _, err := w.Adopt(t.Context(), span(0, 20), want, false); err == nil || !strings.Contains(err.Error(), "waits for a lock that is held by process") {
		t.Fatalf("beside a transaction that writes: %v", err)
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	adopt(t, w, span(0, 20), false)
	if got := db.text(coveredBlocks); got != "[0,4) [5,20)" {
		t.Errorf("covered are %s", got)
	}
	db.run(`INSERT INTO t (block_num, n, "Name") VALUES (12, 1, 'b12')`)
	if rest := finish(t, w); !rest.Disturbed {
		t.Errorf("a row that was added is not noticed: %+v", rest)
	}
	if got := db.text(coveredBlocks); got != "none" {
		t.Errorf("covered are %s after others have written", got)
	}
	if done := adopt(t, w, span(0, 20), true); done.Deleted != 4 {
		t.Errorf("%d rows deleted", done.Deleted)
	}
	if rest := finish(t, w); !rest.None() {
		t.Errorf("what remains is %+v", rest)
	}
}

func TestRowsOutsideAreFoundAndDiscarded(t *testing.T) {
	t.Parallel()
	db, cfg := foreign(t)
	db.run(`INSERT INTO t (n, "Name") VALUES (1, 'no block')`)
	w := adopting(t, cfg, false)
	adopt(t, w, span(0, 15), false)
	if n, err := w.Discard(t.Context(), span(10, block.Max+1)); err != nil || n != 5 {
		t.Errorf("discarded %d rows: %v", n, err)
	}
	if n := db.text("SELECT count(*) FROM t WHERE block_num < 15"); n != "15" {
		t.Errorf("%s rows of adopted blocks are left", n)
	}
	if rest := finish(t, w); rest.Unnumbered != 1 || rest.Rows != 0 || rest.None() {
		t.Errorf("what remains is %+v", rest)
	}
	db.run("DELETE FROM t WHERE block_num IS NULL")
	if rest := finish(t, w); !rest.None() {
		t.Errorf("what remains is %+v", rest)
	}
}

func TestWhatCannotBeAdopted(t *testing.T) {
	t.Parallel()
	db, cfg := foreign(t)
	refused := func(cfg config.Postgres, texts ...string) {
		t.Helper()
		for _, dry := range []bool{true, false} {
			wantRefused(t, postgres.New(cfg).OpenAdoption(t.Context(), small, dry), texts...)
		}
	}
	none := cfg
	none.Table = "none"
	refused(none, "does not exist", "nothing to adopt")
	empty := cfg
	empty.Overwrite = true
	refused(empty, "overwrite: true would empty it")
	keyed := cfg
	keyed.Mode, keyed.Key = config.Upsert, []string{"n"}
	refused(keyed, "lacks the block column", `"block_num"`)

	user := db.role("reader")
	db.run("GRANT CREATE ON DATABASE " + db.Config().Database + " TO " + user + "; GRANT SELECT, INSERT ON t TO " + user)
	few := cfg
	few.DSN = config.Secret(db.as(user))
	refused(few, "lacks rights", `GRANT DELETE ON "public"."t"`)

	if n := db.text("SELECT count(*) FROM t"); n != "20" {
		t.Errorf("%s rows are left", n)
	}
	if n := db.text("SELECT count(*) FROM pg_namespace WHERE nspname = 'ampipe'"); n != "0" {
		t.Error("something was made")
	}
	// The sink says so when it meets the table.
	w := postgres.New(cfg)
	if err := w.Check(t.Context(), small); err != nil || !strings.Contains(strings.Join(w.Warnings(small), "\n"), "ampipe adopt p --sink s --dry-run") {
		t.Errorf("check: %v, %q", err, w.Warnings(small))
	}
}

// statementIn is the statement that an error advises to run.
var statementIn = regexp.MustCompile(`run (ALTER TABLE .*?)(, or |, if |$|\n)`)

// TestStatementsOfOtherLayouts: what is refused of a table that another program has made
// becomes usable by the statement that the error shows.
func TestStatementsOfOtherLayouts(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	value := func(dt arrow.DataType) sink.Table { return table(field("v", dt)) }
	for i, c := range []struct {
		made  string // the columns beside block_num
		table sink.Table
		rows  string
		want  string // of v afterwards
	}{
		{"v text, _tx_id bigint NOT NULL, _row_index int NOT NULL, PRIMARY KEY (_tx_id, _row_index)", value(textType), "'x', 1, 2", "x"},
		{"v text, number bigint NOT NULL", value(textType), "'x', 1", "x"},
		{"v bigint", value(textType), "17", "17"},
		{"v real", value(arrow.PrimitiveTypes.Float64), "1.5", "1.5"},
		{"v uuid", value(arrow.BinaryTypes.Binary), "'00112233-4455-6677-8899-aabbccddeeff'", `\x00112233445566778899aabbccddeeff`},
		{"v bigint[]", value(arrow.ListOf(textType)), `'{1,2}'`, `[1, 2]`},
		{"v text", value(arrow.BinaryTypes.Binary), "'0x0aff'", `\x0aff`},
		{"v varchar(66)", value(arrow.BinaryTypes.Binary), "'0aff'", `\x0aff`},
		{"v text", value(arrow.ListOf(textType)), `'["a"]'`, `["a"]`},
		{"v text", value(arrow.StructOf(field("a", textType))), `'{"a": "b"}'`, `{"a": "b"}`},
		{"v interval day to second", value(arrow.FixedWidthTypes.Duration_s), "'1 day'", "1 day"},
		{"v timetz", value(arrow.FixedWidthTypes.Time64us), "'03:04:05+00'", "03:04:05"},
	} {
		cfg := db.config()
		cfg.Table = fmt.Sprintf("t%d", i)
		db.run(fmt.Sprintf("CREATE TABLE %s (block_num bigint, %s); CREATE INDEX ON %[1]s (block_num); SET TimeZone = 'UTC'; INSERT INTO %[1]s VALUES (1, %[3]s)", cfg.Table, c.made, c.rows))
		err := postgres.New(cfg).Check(t.Context(), c.table)
		wantRefused(t, err, "ALTER TABLE")
		found := statementIn.FindStringSubmatch(err.Error())
		if found == nil {
			t.Errorf("%s: no statement in %v", c.made, err)
			continue
		}
		db.run(found[1])
		if err := postgres.New(cfg).Check(t.Context(), c.table); err != nil {
			t.Errorf("%s: after %s: %v", c.made, found[1], err)
		}
		if got := db.text("SELECT v FROM " + cfg.Table); got != c.want {
			t.Errorf("%s: after %s: %s, want %s", c.made, found[1], got, c.want)
		}
	}
}

// TestColumnsTakenAsTheyAre: no statement is needed for these.
func TestColumnsTakenAsTheyAre(t *testing.T) {
	t.Parallel()
	db, cfg := foreign(t)
	db.run(`ALTER TABLE t ALTER COLUMN "Name" TYPE varchar, ALTER COLUMN block_num TYPE numeric(20,0)`)
	cfg.Types = map[string]string{"block_num": "numeric"}
	w := adopting(t, cfg, false)
	adopt(t, w, span(0, 20), false)
	if rest := finish(t, w); !rest.None() {
		t.Errorf("what remains is %+v", rest)
	}
	l := &chain{TB: t, w: open(t, cfg, small)}
	l.history(keys(span(20, 25), 1))
	l.apply(invalidate(15, 25), keys(span(15, 16), 1), mark(15))
	if got := db.text(`SELECT concat_ws(' ', count(*), min(block_num), max(block_num), count(DISTINCT "Name")) FROM t`); got != "16 0 15 16" {
		t.Errorf("the table holds %s", got)
	}
}
