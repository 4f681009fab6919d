package postgres_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/postgres"
)

// TestExamine looks at a table of which much is to be said, as a user without rights of an
// administrator, and again when it was mended as advised.
func TestExamine(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	cfg := d.config()
	loader := d.role("loader")
	cfg.DSN = config.Secret(d.as(loader))
	examine := func(table sink.Table) []sink.Finding {
		t.Helper()
		found, err := postgres.New(cfg).Examine(t.Context(), table)
		if err != nil {
			t.Fatal(err)
		}
		// The server of all tests may do without: nothing is lost on it. The other is the default
		// until PostgreSQL 13.
		return slices.DeleteFunc(found, func(f sink.Finding) bool {
			return strings.HasPrefix(f.Text, "fsync is off") || strings.HasPrefix(f.Text, "checkpoint_completion_target is 0.5") && d.version() < 14
		})
	}
	if found := examine(small); len(found) > 0 {
		t.Errorf("before there is a table: %+v", found)
	}
	d.run(`CREATE TABLE public.t (n bigint, block_num bigint, "Name" text) WITH (autovacuum_enabled = off)`)
	d.run(`CREATE FUNCTION public.f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
		CREATE TRIGGER "after" AFTER INSERT ON public.t FOR EACH STATEMENT EXECUTE FUNCTION public.f();
		CREATE PUBLICATION feed FOR TABLE public.t WITH (publish = 'insert, truncate')`)
	d.run(`INSERT INTO public.t VALUES (1, 1), (1, 1)`)
	if _, err := d.Exec(t.Context(), "CREATE UNIQUE INDEX CONCURRENTLY broken ON public.t (block_num)"); err == nil {
		t.Fatal("two rows are equal")
	}
	wanted := []string{
		"autovacuum is off for the table public.t", `the trigger after on public.t (CREATE TRIGGER after AFTER INSERT ON public.t`,
		`the publication "feed" brings new rows of public.t`, "the index public.broken is invalid",
	}
	if d.version() >= 14 { // there is no such setting before
		d.run("ALTER ROLE " + loader + " SET idle_session_timeout = '5s'")
		wanted = append(wanted, "idle_session_timeout is 5000 ms")
	}
	for _, table := range []sink.Table{{Pipeline: "p", Sink: "s"}, small} { // the columns are not known, or are
		found := examine(table)
		for _, want := range wanted {
			n := 0
			for _, f := range found {
				if strings.HasPrefix(f.Text, want) {
					n++
				}
			}
			if n != 1 {
				t.Errorf("%d findings begin with %q in %+v", n, want, found)
			}
		}
		if len(found) != len(wanted) {
			t.Errorf("%d findings: %+v", len(found), found)
		}
	}
	for _, f := range examine(small) {
		_, fix, _ := strings.Cut(f.Fix, "run ")
		fix, _, _ = strings.Cut(fix, " or ")
		d.run(fix)
	}
	if found := examine(small); len(found) > 0 {
		t.Errorf("when it was mended as advised: %+v", found)
	}
}
