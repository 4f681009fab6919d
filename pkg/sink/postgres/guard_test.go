package postgres_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/postgres"
)

// trigger makes a trigger on a table, and returns its name. when is its timing and its
// event, body what its function does.
func (d *database) trigger(table, when, body string) string {
	d.Helper()
	name := fmt.Sprintf("odd_%d", databases.Add(1))
	d.run(fmt.Sprintf("CREATE FUNCTION %s() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN %s END $$", name, body))
	kind := "TRIGGER"
	if strings.Contains(when, "DEFERRABLE") {
		kind = "CONSTRAINT TRIGGER"
	}
	d.run(fmt.Sprintf("CREATE %s %s %s EXECUTE FUNCTION %[2]s()", kind, name, strings.ReplaceAll(when, "%s", table)))
	return name
}

// holds describes rows, coverage, what is kept and how far the live chain is.
func (d *database) holds() string {
	return d.text(`SELECT concat_ws(' | ', (SELECT string_agg(concat_ws(':', n, block_num, "Name"), ' ' ORDER BY n, block_num) FROM t),
		(SELECT string_agg(concat_ws(' ', blocks, parts, batch), ', ' ORDER BY blocks, parts) FROM ampipe.coverage),
		(SELECT string_agg(concat_ws(':', content, block, replaced_by), ' ' ORDER BY block, replaced_by, content::text) FROM ampipe.replaced),
		(SELECT concat_ws(' ', live_seq, live_start, cursor_block, unsaved) FROM ampipe.tables WHERE table_name = 't'))`)
}

// guarded is a table with history and live blocks, in which something is wrong.
type guarded struct {
	*database
	cfg config.Postgres
	l   *chain
}

// newGuarded loads blocks 0 to 9 as history and 20 to 29 live, up to a watermark. The
// table is by create, or as ampipe makes it.
func newGuarded(t *testing.T, create string, change func(*config.Postgres)) *guarded {
	db := newDatabase(t)
	if create != "" {
		db.run(create)
	}
	cfg := db.config()
	if change != nil {
		change(&cfg)
	}
	g := &guarded{db, cfg, &chain{TB: t, w: open(t, cfg, small)}}
	g.l.apply(keys(span(20, 25), 1, 2))
	g.l.history(keys(span(0, 10), 1, 2))
	g.l.apply(keys(span(25, 30), 2, 3), mark(29))
	return g
}

// refusesUntil fails unless a change is refused in these words, with everything as it
// was, and succeeds after a remedy.
func (g *guarded) refusesUntil(try func() error, remedy string, texts ...string) {
	g.Helper()
	before := g.holds()
	for range 2 { // once more: nothing may have been remembered of the first
		err := try()
		if err == nil || fault.Of(err) != fault.ClassPermanent {
			g.Fatalf("answered with %v (%v)", err, fault.Of(err))
		}
		for _, text := range texts {
			if !strings.Contains(err.Error(), text) {
				g.Errorf("%q does not say %q", err, text)
			}
		}
		if after := g.holds(); after != before {
			g.Fatalf("before:\n%s\nafter:\n%s", before, after)
		}
	}
	g.run(remedy)
	if err := try(); err != nil {
		g.Fatalf("after %s: %v", remedy, err)
	}
}

const parted = `CREATE TABLE t (block_num bigint, n bigint, "Name" text, PRIMARY KEY (n, block_num)) PARTITION BY RANGE (block_num);
	CREATE TABLE t_0 PARTITION OF t FOR VALUES FROM (0) TO (25); CREATE TABLE t_25 PARTITION OF t DEFAULT`

func upsertByBoth(c *config.Postgres) { c.Mode, c.Key = config.Upsert, []string{"n", "block_num"} }

// TestRowsThatATriggerHoldsBack: a trigger that keeps rows out, or moves them to other
// blocks, ends in an error that names it, and in nothing else, in each way of writing.
func TestRowsThatATriggerHoldsBack(t *testing.T) {
	t.Parallel()
	const each = "BEFORE INSERT ON %s FOR EACH ROW"
	const both = "BEFORE INSERT OR UPDATE ON %s FOR EACH ROW"
	for _, c := range []struct {
		name, create, on, when, body string
		change                       func(*config.Postgres)
	}{
		{"append, some", "", "t", each, "IF NEW.block_num % 10 = 7 THEN RETURN NULL; END IF; RETURN NEW;", nil},
		{"append, all", "", "t", each, "RETURN NULL;", nil},
		{"append, always enabled", "", "t", each, "RETURN NULL; /* always */", nil},
		{"append, other block", "", "t", each, "NEW.block_num := 0; RETURN NEW;", nil},
		{"append, next block", "", "t", each, "NEW.block_num := NEW.block_num + 1; RETURN NEW;", nil},
		{"append, deleted after", "", "t", "AFTER INSERT ON %s FOR EACH ROW", "DELETE FROM t WHERE block_num = 36; RETURN NULL;", nil},
		{"append, deleted after the statement", "", "t", "AFTER INSERT ON %s FOR EACH STATEMENT", "DELETE FROM t WHERE block_num = 36; RETURN NULL;", nil},
		{"append, deleted at the end", "", "t", "AFTER INSERT ON %s DEFERRABLE INITIALLY DEFERRED FOR EACH ROW", "DELETE FROM t WHERE block_num = 36; RETURN NULL;", nil},
		{"append, one partition", parted, "t_25", each, "RETURN NULL;", nil},
		{"append, one partition, other block", parted, "t_25", each, "NEW.block_num := NEW.block_num + 1; RETURN NEW;", nil},
		{"upsert, fresh", "", "t", each, "IF NEW.block_num % 10 = 7 THEN RETURN NULL; END IF; RETURN NEW;", upsertByBoth},
		{"upsert, fresh, other block", "", "t", each, "NEW.block_num := NEW.block_num + 1000; RETURN NEW;", upsertByBoth},
		{"upsert, fresh, other key", "", "t", each, "NEW.n := -NEW.n; RETURN NEW;", upsertByBoth},
		{"upsert, fresh, one partition", parted, "t_25", each, "RETURN NULL;", upsertByBoth},
		{"upsert, replacing, insert", "", "t", each, "RETURN NULL;", upsertByN},
		{"upsert, replacing, update", "", "t", "BEFORE UPDATE ON %s FOR EACH ROW", "RETURN NULL;", upsertByN},
		{"upsert, replacing, some", "", "t", both, "IF NEW.n = 2 THEN RETURN NULL; END IF; RETURN NEW;", upsertByN},
		{"upsert, replacing, lower block", "", "t", both, "NEW.block_num := 0; RETURN NEW;", upsertByN},
		{"upsert, replacing, higher block", "", "t", both, "NEW.block_num := NEW.block_num + 1; RETURN NEW;", upsertByN},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			g := newGuarded(t, c.create, c.change)
			name := g.trigger(c.on, c.when, c.body)
			if strings.Contains(c.body, "always") {
				g.run("ALTER TABLE t ENABLE ALWAYS TRIGGER " + name)
			}
			g.refusesUntil(func() error { return g.l.try(keys(span(30, 40), 1, 2, 3)) }, "DROP TRIGGER "+name+" ON "+c.on,
				"table public.t", name, "DROP TRIGGER", "public."+c.on, "start this sink again")
		})
	}
}

// TestTriggerOfTheTableAbove: a partition that is loaded by itself has copies of the
// triggers of the whole table, which cannot be dropped there.
func TestTriggerOfTheTableAbove(t *testing.T) {
	t.Parallel()
	const (
		whole    = `CREATE TABLE whole (block_num bigint, n bigint, "Name" text) PARTITION BY LIST (n); `
		plain    = whole + "CREATE TABLE t PARTITION OF whole DEFAULT"
		lower    = whole + "CREATE TABLE half PARTITION OF whole DEFAULT PARTITION BY LIST (n); CREATE TABLE t PARTITION OF half DEFAULT"
		divided  = whole + "CREATE TABLE t PARTITION OF whole DEFAULT PARTITION BY LIST (n); CREATE TABLE u PARTITION OF t DEFAULT"
		deletes  = "DELETE FROM public.t WHERE n = NEW.n AND block_num = NEW.block_num; RETURN NULL;"
		deferred = "AFTER INSERT ON %s DEFERRABLE INITIALLY DEFERRED FOR EACH ROW"
	)
	for _, c := range []struct {
		name, tables, when, body string
		from                     int // the version of PostgreSQL that knows it
		warned                   bool
		undeleted                bool // rows that a reorg deletes
	}{
		{"held back", plain, "BEFORE INSERT OR DELETE ON %s FOR EACH ROW", "RETURN NULL;", 13, true, true},
		{"other block", plain, "BEFORE INSERT ON %s FOR EACH ROW", "NEW.block_num := NEW.block_num + 1; RETURN NEW;", 13, true, false},
		{"deleted after", plain, "AFTER INSERT ON %s FOR EACH ROW", deletes, 12, false, false},
		{"deleted at the end", plain, deferred, deletes, 12, false, false},
		{"held back two levels below", lower, "BEFORE INSERT OR DELETE ON %s FOR EACH ROW", "RETURN NULL;", 13, true, true},
		{"deleted two levels below", lower, "AFTER INSERT ON %s FOR EACH ROW", deletes, 12, false, false},
		{"held back in between", divided, "BEFORE INSERT OR DELETE ON %s FOR EACH ROW", "RETURN NULL;", 13, true, true},
		{"deleted in between", divided, "AFTER INSERT ON %s FOR EACH ROW", deletes, 12, false, false},
		{"deleted at the end in between", divided, deferred, deletes, 12, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			g := newGuarded(t, c.tables, nil)
			version := g.version()
			if version < c.from {
				return
			}
			name := g.trigger("whole", c.when, c.body)
			w := postgres.New(g.cfg)
			if err := w.Check(t.Context(), small); err != nil || strings.Contains(fmt.Sprint(w.Warnings(small)), name) != c.warned {
				t.Errorf("checked: %v; warned: %q", err, w.Warnings(small))
			}
			remedy := "ALTER TABLE public.t DISABLE TRIGGER " + name
			if version < 15 {
				remedy += " /* as a superuser */"
			}
			g.refusesUntil(func() error { return g.l.try(keys(span(30, 32), 1)) }, remedy, name, remedy)
			if c.undeleted {
				g.run("ALTER TABLE t ENABLE TRIGGER " + name)
				g.refusesUntil(func() error { return g.l.try(invalidate(25, 31)) }, remedy, name, remedy)
			}
		})
	}
}

// History goes the same ways, beside others.
func TestHistoryThatATriggerHoldsBack(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*config.Postgres){"append": nil, "upsert": upsertByN} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGuarded(t, "", change)
			name := g.trigger("t", "BEFORE INSERT ON %s FOR EACH ROW", "IF NEW.block_num IN (11, 19) THEN RETURN NULL; END IF; RETURN NEW;")
			g.refusesUntil(func() error {
				_, err := g.l.w.Apply(t.Context(), []sink.Change{keys(span(10, 14), 8, 9), keys(span(14, 20), 4, 5, 6, int64(17))})
				return err
			}, "DROP TRIGGER "+name+" ON t", name)
		})
	}
}

// An upsert may leave out rows that are older than what is there, and those only.
func TestOlderRowsAreNoDiscrepancy(t *testing.T) {
	t.Parallel()
	g := newGuarded(t, "", upsertByN)
	g.l.history(keys(span(12, 14), 1, 2, 3, 4))
	g.want(blocksOf, "1:24 2:29 3:29 4:13")
	name := g.trigger("t", "BEFORE INSERT ON %s FOR EACH ROW", "IF NEW.n = 5 THEN RETURN NULL; END IF; RETURN NEW;")
	g.refusesUntil(func() error {
		_, err := g.l.w.Apply(t.Context(), []sink.Change{keys(span(14, 16), 1, 2, 3, 5)})
		return err
	}, "DROP TRIGGER "+name+" ON t", "1 of 4 rows", name)
	g.want(blocksOf, "1:24 2:29 3:29 4:13 5:15")
}

// A row that is there already, of the same block and with other values, is replaced or
// not, and not says so.
func TestRowsOfTheSameBlockAreReplaced(t *testing.T) {
	t.Parallel()
	g := newGuarded(t, "", upsertByBoth)
	again := func() error {
		_, err := g.l.w.Apply(t.Context(), []sink.Change{keys(span(0, 10), 1, 2)})
		return err
	}
	g.run(`DELETE FROM ampipe.coverage WHERE blocks = '[0,10)'; UPDATE t SET "Name" = 'wrong' WHERE block_num = 5`)
	name := g.trigger("t", "BEFORE UPDATE ON %s FOR EACH ROW", "RETURN NULL;")
	g.refusesUntil(again, "DROP TRIGGER "+name+" ON t", name, "older rows")
	if got := g.text(`SELECT count(*) FROM t WHERE "Name" = 'wrong'`); got != "0" {
		t.Errorf("%s rows are still wrong", got)
	}
	// Leaving out updates that change nothing is what PostgreSQL's own function is for.
	g.run("DELETE FROM ampipe.coverage WHERE blocks = '[0,10)'; CREATE TRIGGER lazy BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()")
	if err := again(); err != nil {
		t.Error(err)
	}
}

// TestReorgThatIsHeldBack: a reorg after which orphaned rows are still there has not
// happened.
func TestReorgThatIsHeldBack(t *testing.T) {
	t.Parallel()
	const each = "BEFORE DELETE ON %s FOR EACH ROW"
	for _, c := range []struct {
		name, create, make, remedy string
		change                     func(*config.Postgres)
	}{
		{"trigger", "", each, "", nil},
		{"trigger, upsert", "", each, "", upsertByN},
		{"trigger on a partition", parted, each, "", nil},
		{"trigger on a child", `CREATE TABLE t (block_num bigint, n bigint, "Name" text); CREATE TABLE t_25 () INHERITS (t)`, each, "", nil},
		{"rule", "", "CREATE RULE odd AS ON DELETE TO t DO INSTEAD NOTHING", "DROP RULE odd ON t", nil},
		{"rule for some", "", "CREATE RULE odd AS ON DELETE TO t WHERE old.block_num = 27 DO INSTEAD NOTHING", "DROP RULE odd ON t", nil},
		{"rule that marks", `CREATE TABLE t (block_num bigint, n bigint, "Name" text, gone boolean)`,
			"CREATE RULE odd AS ON DELETE TO t DO INSTEAD UPDATE t SET gone = true WHERE block_num = old.block_num", "DROP RULE odd ON t", nil},
		{"rule, upsert", "", "CREATE RULE odd AS ON DELETE TO t DO INSTEAD NOTHING", "DROP RULE odd ON t", upsertByBoth},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			g := newGuarded(t, c.create, c.change)
			name := "odd"
			if c.make == each {
				on := "t"
				if c.create != "" {
					on = "t_25"
				}
				if strings.Contains(c.name, "child") {
					g.run("WITH moved AS (DELETE FROM ONLY t WHERE block_num >= 25 RETURNING *) INSERT INTO t_25 SELECT * FROM moved")
				}
				name = g.trigger(on, each, "IF OLD.block_num = 27 OR OLD.n = 2 THEN RETURN NULL; END IF; RETURN OLD;")
				c.remedy = "DROP TRIGGER " + name + " ON " + on
			} else {
				g.run(c.make)
			}
			g.refusesUntil(func() error { return g.l.try(invalidate(25, 29)) }, c.remedy, "table public.t", "DELETE", name, c.remedy[:9])
			if left := g.text("SELECT count(*) FROM t WHERE block_num >= 25"); left != "0" {
				t.Errorf("%s rows above the fork are left", left)
			}
		})
	}
}

// Rows that come back are rows that are written.
func TestRowsThatComeBackAreHeldBack(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, on, when, body, says string }{
		{"insert", "t", "BEFORE INSERT ON %s FOR EACH ROW", "RETURN NULL;", "table public.t"},
		{"what is kept stays", "ampipe.replaced", "BEFORE DELETE ON %s FOR EACH ROW", "RETURN NULL;", "table ampipe.replaced"},
		{"what is kept is not changed", "ampipe.replaced", "BEFORE UPDATE ON %s FOR EACH ROW", "RETURN NULL;", "table ampipe.replaced"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			g := newGuarded(t, "", upsertByN)
			g.l.apply(keys(span(30, 31), 1), mark(30))
			name := g.trigger(c.on, c.when, c.body)
			g.refusesUntil(func() error { return g.l.try(invalidate(28, 30)) }, "DROP TRIGGER "+name+" ON "+c.on, c.says, name)
			g.want(blocksOf, "1:24 2:27 3:27")
		})
	}
}

// TestStateThatIsHeldBack: what is kept in the schema ampipe is written, or nothing is.
func TestStateThatIsHeldBack(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, make, remedy, says string }{
		{"coverage is not added", "INSERT ON ampipe.coverage", "", "ampipe.coverage: INSERT"},
		{"coverage is not taken", "DELETE ON ampipe.coverage", "", "ampipe.coverage: DELETE"},
		{"the live chain stays", "UPDATE ON ampipe.tables", "", "ampipe.tables: UPDATE"},
		{"rows are not kept", "INSERT ON ampipe.replaced", "", "ampipe.replaced: INSERT"},
		{"a rule", "CREATE RULE odd AS ON INSERT TO ampipe.coverage DO INSTEAD NOTHING", "DROP RULE odd ON ampipe.coverage", "ampipe.coverage: INSERT"},
		{"a rule for the live chain", "CREATE RULE odd AS ON UPDATE TO ampipe.tables DO INSTEAD NOTHING", "DROP RULE odd ON ampipe.tables", "ampipe.tables: UPDATE"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			g := newGuarded(t, "", upsertByN)
			name := "odd"
			if strings.HasPrefix(c.make, "CREATE") {
				g.run(c.make)
			} else {
				_, on, _ := strings.Cut(c.make, " ON ")
				name = g.trigger(on, "BEFORE "+c.make+" FOR EACH ROW", "RETURN NULL;")
				c.remedy = "DROP TRIGGER " + name + " ON " + on
			}
			// It is said before, too.
			wantRefused(t, postgres.New(g.cfg).Check(t.Context(), small), "progress", name, c.remedy)
			wantRefused(t, postgres.New(g.cfg).Open(t.Context(), small), "progress", name, c.remedy)
			g.refusesUntil(func() error { return g.l.try(keys(span(30, 32), 1, 2)) }, c.remedy, c.says, name)
			if err := postgres.New(g.cfg).Check(t.Context(), small); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestTriggersThatChangeNothingOfOurs: auditing, and filling columns that the query
// does not have, works as before, without a word about the former.
func TestTriggersThatChangeNothingOfOurs(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*config.Postgres){"append": nil, "upsert": upsertByN, "upsert by block": upsertByBoth} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := newDatabase(t)
			cfg := db.config()
			if change != nil {
				change(&cfg)
			}
			l := &chain{TB: t, w: open(t, cfg, small)}
			db.run("CREATE TABLE audit (what text); ALTER TABLE t ADD COLUMN seen integer; CREATE TABLE statements (what text)")
			db.trigger("t", "AFTER INSERT OR UPDATE OR DELETE ON %s FOR EACH ROW", "INSERT INTO audit VALUES (TG_OP); RETURN NULL;")
			db.trigger("t", "AFTER INSERT OR UPDATE OR DELETE ON %s FOR EACH STATEMENT", "INSERT INTO statements VALUES (TG_OP); RETURN NULL;")
			db.trigger("t", "BEFORE INSERT OR UPDATE OR DELETE ON %s FOR EACH STATEMENT", "INSERT INTO statements VALUES (TG_OP); RETURN NULL;")
			db.run("CREATE RULE noted AS ON DELETE TO t DO ALSO INSERT INTO statements VALUES ('rule')")
			for _, state := range []string{"DISABLE TRIGGER ", "ENABLE REPLICA TRIGGER "} {
				db.run("ALTER TABLE t " + state + db.trigger("t", "BEFORE INSERT OR UPDATE OR DELETE ON %s FOR EACH ROW", "RETURN NULL;"))
			}
			w := postgres.New(cfg)
			if err := w.Check(t.Context(), small); err != nil || len(w.Warnings(small)) > 0 {
				t.Errorf("checked: %v; warned: %q", err, w.Warnings(small))
			}
			l.apply(keys(span(20, 25), 1, 2))
			l.history(keys(span(0, 10), 1, 2))
			filler := db.trigger("t", "BEFORE INSERT OR UPDATE ON %s FOR EACH ROW", "NEW.seen := 1; RETURN NEW;")
			if err := w.Check(t.Context(), small); err != nil || len(w.Warnings(small)) != 1 || !strings.Contains(w.Warnings(small)[0], filler) {
				t.Errorf("checked: %v; warned: %q", err, w.Warnings(small))
			}
			l.w = open(t, cfg, small)
			l.apply(keys(span(25, 30), 2, 3), mark(29))
			l.history(keys(span(10, 15), 1, 2), keys(span(15, 20), 4))
			l.apply(invalidate(27, 29), keys(span(27, 40), 1, 3), mark(39))
			if got := db.text("SELECT count(*) FROM audit"); got == "0" {
				t.Error("nothing was audited")
			}
			if got := db.text("SELECT count(*) FROM t WHERE seen IS NULL AND block_num >= 27"); got != "0" {
				t.Errorf("%s rows were not filled", got)
			}
			db.want("SELECT count(*) FROM t WHERE n = 3 AND block_num = 39", "1")
		})
	}
}

// TestRulesAndRowSecurityOfPartitions do not apply to what is done through the table.
func TestRulesAndRowSecurityOfPartitions(t *testing.T) {
	t.Parallel()
	g := newGuarded(t, parted, nil)
	loader := g.role("loader")
	g.run("GRANT ALL ON t, t_0, t_25 TO " + loader + "; GRANT ALL ON SCHEMA ampipe TO " + loader + "; GRANT ALL ON ALL TABLES IN SCHEMA ampipe TO " + loader)
	g.run("CREATE RULE odd AS ON DELETE TO t_25 DO INSTEAD NOTHING; ALTER TABLE t_25 ENABLE ROW LEVEL SECURITY; ALTER TABLE t_25 FORCE ROW LEVEL SECURITY")
	g.cfg.DSN = config.Secret(g.as(loader))
	g.l.w = open(t, g.cfg, small)
	g.l.apply(keys(span(30, 35), 1), mark(34), invalidate(25, 34))
	g.want(blocksOf, g.text("SELECT string_agg(concat_ws(':', n, block_num), ' ' ORDER BY n, block_num) FROM (SELECT n, block_num FROM t WHERE block_num < 25) AS kept"))
	g.want("SELECT max(block_num) FROM t", "24")
}

// TestTablesThatDoNotStoreAreRefused: what certainly is in the way is said before.
func TestTablesThatDoNotStoreAreRefused(t *testing.T) {
	t.Parallel()
	const plain = `CREATE TABLE t (block_num bigint, n bigint, "Name" text, PRIMARY KEY (n, block_num)); `
	for _, c := range []struct {
		name, create string
		change       func(*config.Postgres)
		want         []string // nil: it will do
		remedy       string
	}{
		{"rule on delete", plain + "CREATE RULE odd AS ON DELETE TO t DO INSTEAD NOTHING", nil, []string{"odd", "reorg", "DROP RULE odd ON public.t"}, "DROP RULE odd ON t"},
		{"rule on delete for some", plain + "CREATE RULE odd AS ON DELETE TO t WHERE old.n = 1 DO INSTEAD NOTHING", nil, []string{"odd"}, "DROP RULE odd ON t"},
		{"disabled rule", plain + "CREATE RULE odd AS ON DELETE TO t DO INSTEAD NOTHING; ALTER TABLE t DISABLE RULE odd", nil, nil, ""},
		{"rule on insert, which COPY does not know", plain + "CREATE RULE odd AS ON INSERT TO t DO INSTEAD NOTHING", nil, nil, ""},
		{"rule on insert, upsert", plain + "CREATE RULE odd AS ON INSERT TO t DO ALSO NOTHING", upsertByBoth, []string{"odd", "ON CONFLICT"}, "DROP RULE odd ON t"},
		{"rule on update, upsert", plain + "CREATE RULE odd AS ON UPDATE TO t DO INSTEAD NOTHING", upsertByBoth, []string{"odd", "ON CONFLICT"}, "DROP RULE odd ON t"},
		{"unlogged partition", `CREATE TABLE t (block_num bigint, n bigint, "Name" text) PARTITION BY LIST (n); CREATE UNLOGGED TABLE t_1 PARTITION OF t DEFAULT`, nil,
			[]string{"public.t_1", "ALTER TABLE public.t_1 SET LOGGED"}, "ALTER TABLE t_1 SET LOGGED"},
		{"published", `CREATE TABLE t (block_num bigint, n bigint, "Name" text); CREATE PUBLICATION p FOR TABLE t`, nil,
			[]string{"ALTER TABLE public.t REPLICA IDENTITY FULL"}, "ALTER TABLE t REPLICA IDENTITY FULL"},
		{"published with all others", `CREATE TABLE t (block_num bigint, n bigint, "Name" text); CREATE PUBLICATION p FOR ALL TABLES`, nil,
			[]string{"ALTER TABLE public.t REPLICA IDENTITY FULL"}, "ALTER TABLE t REPLICA IDENTITY FULL"},
		{"published partition", `CREATE TABLE t (block_num bigint, n bigint, "Name" text) PARTITION BY LIST (n); CREATE TABLE t_1 PARTITION OF t DEFAULT; CREATE PUBLICATION p FOR TABLE t WITH (publish_via_partition_root)`, nil,
			[]string{"ALTER TABLE public.t_1 REPLICA IDENTITY FULL"}, "ALTER TABLE t_1 REPLICA IDENTITY FULL"},
		{"published, identity lost", plain + "ALTER TABLE t REPLICA IDENTITY NOTHING; CREATE PUBLICATION p FOR TABLE t", upsertByBoth,
			[]string{"ALTER TABLE public.t REPLICA IDENTITY FULL"}, "ALTER TABLE t REPLICA IDENTITY DEFAULT"},
		{"published, updates only, append", `CREATE TABLE t (block_num bigint, n bigint, "Name" text); CREATE PUBLICATION p FOR TABLE t WITH (publish = 'insert, update')`, nil, nil, ""},
		{"published, with a key", plain + "CREATE PUBLICATION p FOR ALL TABLES", nil, nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			db := newDatabase(t)
			if strings.Contains(c.create, "publish_via_partition_root") && db.version() < 13 {
				return // there is none
			}
			db.run(c.create)
			cfg := db.config()
			if c.change != nil {
				c.change(&cfg)
			}
			if c.want != nil {
				wantRefused(t, postgres.New(cfg).Check(t.Context(), small), c.want...)
				wantRefused(t, postgres.New(cfg).Open(t.Context(), small), c.want...)
				db.run(c.remedy)
			}
			if err := postgres.New(cfg).Check(t.Context(), small); err != nil {
				t.Fatal(err)
			}
			l := &chain{TB: t, w: open(t, cfg, small)}
			l.apply(keys(span(5, 7), 1, 2), mark(6), invalidate(6, 6))
			db.want("SELECT count(*) FROM t", "2")
		})
	}
}

// TestForeignPartitionIsRefused: another server commits by itself.
func TestForeignPartitionIsRefused(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	if _, err := db.Exec(t.Context(), "CREATE EXTENSION postgres_fdw"); err != nil {
		t.Skipf("no postgres_fdw here: %v", err)
	}
	db.run(`CREATE SERVER other FOREIGN DATA WRAPPER postgres_fdw; CREATE TABLE t (block_num bigint, n bigint, "Name" text) PARTITION BY LIST (n);
		CREATE FOREIGN TABLE t_far PARTITION OF t FOR VALUES IN (1) SERVER other; CREATE TABLE t_near PARTITION OF t DEFAULT`)
	wantRefused(t, postgres.New(db.config()).Check(t.Context(), small), "public.t_far", "foreign")
}

// TestRowSecurityIsRefused, whether it hides rows or not: there is no COPY under it.
func TestRowSecurityIsRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, on, make, says, remedy string }{
		{"of the table", "t", "ENABLE ROW LEVEL SECURITY", "BYPASSRLS", "ALTER ROLE %s BYPASSRLS"},
		{"of the table, for its owner", "t", "OWNER TO %s; ALTER TABLE t ENABLE ROW LEVEL SECURITY; ALTER TABLE t FORCE ROW LEVEL SECURITY", "NO FORCE", "ALTER TABLE t NO FORCE ROW LEVEL SECURITY"},
		{"of our own", "ampipe.coverage", "ENABLE ROW LEVEL SECURITY", "BYPASSRLS", "ALTER TABLE ampipe.coverage DISABLE ROW LEVEL SECURITY"},
		{"of our tables", "ampipe.tables", "ENABLE ROW LEVEL SECURITY", "BYPASSRLS", "ALTER TABLE ampipe.tables DISABLE ROW LEVEL SECURITY"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			g := newGuarded(t, "", nil)
			loader := g.role("loader")
			named := func(sql string) string { return strings.ReplaceAll(sql, "%s", loader) }
			g.run("GRANT ALL ON t TO " + loader + "; GRANT ALL ON SCHEMA ampipe TO " + loader + "; GRANT ALL ON ALL TABLES IN SCHEMA ampipe TO " + loader)
			g.cfg.DSN = config.Secret(g.as(loader) + "&row_security=off")
			g.l.w = open(t, g.cfg, small)
			g.run("CREATE POLICY open ON " + c.on + " USING (true)")
			g.run("ALTER TABLE " + c.on + " " + named(c.make))
			wantRefused(t, postgres.New(g.cfg).Check(t.Context(), small), c.says, "row security")
			wantRefused(t, postgres.New(g.cfg).Open(t.Context(), small), c.says, "row security")
			change := keys(span(30, 32), 1)
			wantRefused(t, g.l.try(change), "row-level security")
			wantRefused(t, g.l.try(invalidate(25, 29)), "row-level security")
			if c.on == "t" {
				g.want("SELECT count(*) FROM t WHERE block_num >= 25", "10")
			}
			g.run(named(c.remedy))
			if err := g.l.try(change); err != nil {
				t.Error(err)
			}
			open(t, g.cfg, small)
		})
	}
}

// TestTableThatBecomesUnlogged is refused, its own and ours: a crash empties it, and not
// the others.
func TestTableThatBecomesUnlogged(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, create, on string }{
		{"the table", "", "public.t"},
		{"a partition", parted, "public.t_0"},
		{"the coverage", "", "ampipe.coverage"},
		{"what was replaced", "", "ampipe.replaced"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			g := newGuarded(t, c.create, nil)
			g.run("ALTER TABLE " + c.on + " SET UNLOGGED")
			wantRefused(t, postgres.New(g.cfg).Check(t.Context(), small), "ALTER TABLE "+c.on+" SET LOGGED", "overwrite")
			wantRefused(t, postgres.New(g.cfg).Open(t.Context(), small), "ALTER TABLE "+c.on+" SET LOGGED", "overwrite")
			g.refusesUntil(func() error { return g.l.try(keys(span(30, 40), 1)) }, "ALTER TABLE "+c.on+" SET LOGGED", "unlogged", "crash")
		})
	}
}

// TestMissingBlockIndexIsTold where the table is not ampipe's own.
func TestMissingBlockIndexIsTold(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		create string
		warned bool
	}{
		{"", false},
		{`CREATE TABLE t (block_num bigint, n bigint, "Name" text)`, true},
		{`CREATE TABLE t (block_num bigint, n bigint, "Name" text, PRIMARY KEY (n, block_num))`, true},
		{`CREATE TABLE t (block_num bigint, n bigint, "Name" text, PRIMARY KEY (block_num, n))`, false},
		{`CREATE TABLE t (block_num bigint, n bigint, "Name" text); CREATE INDEX ON t USING hash (block_num)`, true},
		{`CREATE TABLE t (block_num bigint, n bigint, "Name" text); CREATE INDEX ON t (block_num) WHERE n > 3`, true},
		{`CREATE TABLE t (block_num bigint, n bigint, "Name" text); CREATE INDEX ON t USING brin (block_num, n)`, false},
	} {
		db := newDatabase(t)
		if c.create != "" {
			db.run(c.create)
		}
		w := open(t, db.config(), small)
		if got := strings.Join(w.Warnings(small), "\n"); strings.Contains(got, `CREATE INDEX ON "public"."t" USING brin ("block_num"`) != c.warned {
			t.Errorf("%s: warned %q", c.create, got)
		}
	}
}

// TestProofOfAReorgUsesTheIndex: counting what is left reads as little as deleting does.
func TestProofOfAReorgUsesTheIndex(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	w := open(t, db.config(), small)
	const blocks = 200_000
	db.run(fmt.Sprintf(`INSERT INTO t SELECT b, b, repeat('x', 100) FROM generate_series(0, %d) AS b; ANALYZE t`, blocks-1))
	db.run("SELECT brin_summarize_new_values('t_block_num_idx')")
	db.run(fmt.Sprintf("INSERT INTO ampipe.coverage (table_id, blocks) VALUES (1, '[0,%d)')", blocks))
	got, err := w.Apply(t.Context(), []sink.Change{live(invalidate(blocks-5, blocks-1), 1, 0)})
	if err != nil || got.Deleted != 5 {
		t.Fatalf("deleted %d rows: %v", got.Deleted, err)
	}
	if err := w.Close(); err != nil { // the server counts what a connection did when it ends
		t.Fatal(err)
	}
	for until := time.Now().Add(time.Minute); db.text("SELECT n_tup_del FROM pg_stat_user_tables WHERE relname = 't'") != "5"; {
		if time.Now().After(until) {
			t.Fatal("the server has not counted what was deleted")
		}
	}
	db.want("SELECT idx_scan FROM pg_stat_user_indexes WHERE relname = 't'", "2") // DELETE, and the proof
}
