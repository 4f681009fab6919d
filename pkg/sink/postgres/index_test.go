package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/jackc/pgx/v5"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/postgres"
)

// indexesOf returns the indexes of a table that are B-trees, in the order of their names.
func (d *database) indexesOf(table string) string {
	return d.text(`SELECT string_agg(x.relname || CASE WHEN i.indisvalid THEN '' ELSE ' (invalid)' END, ', ' ORDER BY x.relname)
		FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_am m ON m.oid = x.relam WHERE i.indrelid = $1::regclass AND m.amname = 'btree'`, table)
}

func wantUnbuilt(t *testing.T, w *postgres.Writer, want int) {
	t.Helper()
	n, err := w.Unbuilt(t.Context())
	if err != nil || n != want {
		t.Fatalf("%d indexes are missing (%v), want %d", n, err, want)
	}
}

func build(t *testing.T, w *postgres.Writer) {
	t.Helper()
	if err := w.BuildIndexes(t.Context(), func(int, string) {}); err != nil {
		t.Fatal(err)
	}
}

// TestIndexesAreBuilt: of a plain table and of one with partitions, beside transactions that
// write; partitions that come later have them by themselves.
func TestIndexesAreBuilt(t *testing.T) {
	t.Parallel()
	for _, blocks := range []uint64{0, 50} {
		t.Run(fmt.Sprintf("partitions of %d blocks", blocks), func(t *testing.T) {
			t.Parallel()
			db := newDatabase(t)
			cfg := db.divided(blocks)
			cfg.Indexes = [][]string{{"n"}, {"Name", "block_num"}}
			w := open(t, cfg, small)
			wantUnbuilt(t, w, 2)
			if got := db.indexesOf("t"); got != "NULL" {
				t.Fatalf("the table was made with %s", got)
			}
			if err := insist(t.Context(), w, rows(0, 120)); err != nil {
				t.Fatal(err)
			}
			var writing sync.WaitGroup
			ctx, stop := context.WithCancel(t.Context())
			writing.Go(func() {
				for from := block.Number(120); ctx.Err() == nil && from < 4000; from += 10 {
					if err := insist(t.Context(), w, rows(from, from+10)); err != nil {
						t.Errorf("beside building: %v", err)
					}
				}
			})
			build(t, w)
			stop()
			writing.Wait()
			wantUnbuilt(t, w, 0)
			const want = "t_Name_block_num_idx, t_n_idx"
			if got := db.indexesOf("t"); got != want {
				t.Errorf("the table has %s, want %s", got, want)
			}
			if err := insist(t.Context(), w, rows(5000, 5010)); err != nil {
				t.Fatal(err)
			}
			bare := db.text(`SELECT count(*) FROM pg_inherits p WHERE inhparent = 't'::regclass
				AND 2 <> (SELECT count(*) FROM pg_index i JOIN pg_inherits x ON x.inhrelid = i.indexrelid JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am m ON m.oid = c.relam AND m.amname = 'btree'
					WHERE i.indrelid = p.inhrelid AND i.indisvalid)`)
			if bare != "0" {
				t.Errorf("%s partitions lack indexes", bare)
			}
			build(t, w) // nothing is left to do
			again := open(t, cfg, small)
			wantUnbuilt(t, again, 0)
		})
	}
}

// TestIndexesAtStart are made with the table, and of a table that is there like the others.
func TestIndexesAtStart(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	cfg := db.divided(50)
	cfg.Indexes, cfg.BuildIndexes = [][]string{{"n"}}, config.AtStart
	w := open(t, cfg, small)
	wantUnbuilt(t, w, 0)
	if err := insist(t.Context(), w, rows(0, 60)); err != nil {
		t.Fatal(err)
	}
	if got := db.indexesOf("t_p50"); got != "t_p50_n_idx" {
		t.Errorf("a partition has %s", got)
	}
	cfg.Indexes = append(cfg.Indexes, []string{"Name"})
	more := open(t, cfg, small)
	wantUnbuilt(t, more, 1)
	build(t, more)
	if got := db.indexesOf("t_p0"); got != "t_p0_Name_idx, t_p0_n_idx" {
		t.Errorf("a partition has %s", got)
	}
}

// TestIndexesOfOthersCount: under any name, also those of partitions; one that is not for all
// rows does not.
func TestIndexesOfOthersCount(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	cfg := db.divided(50)
	w := open(t, cfg, small)
	if err := insist(t.Context(), w, rows(0, 120)); err != nil {
		t.Fatal(err)
	}
	db.run(`CREATE INDEX mine ON t (n) INCLUDE (block_num); CREATE INDEX parts ON t_p50 ("Name"); CREATE INDEX few ON t_p0 ("Name") WHERE n > 3`)
	cfg.Indexes = [][]string{{"n"}, {"Name"}}
	w = open(t, cfg, small)
	wantUnbuilt(t, w, 1)
	build(t, w)
	if got := db.indexesOf("t"); got != "mine, t_Name_idx" {
		t.Errorf("the table has %s", got)
	}
	if got := db.indexesOf("t_p50"); got != "parts, t_p50_n_block_num_idx" {
		t.Errorf("a partition has %s", got)
	}
	if got := db.indexesOf("t_p0"); got != "few, t_p0_Name_idx, t_p0_n_block_num_idx" {
		t.Errorf("a partition has %s", got)
	}
}

// TestIndexIsBuiltAgainAfterAKill: the process is cut off while an index of a partition waits
// for a transaction, which leaves it invalid; the next one builds it.
func TestIndexIsBuiltAgainAfterAKill(t *testing.T) {
	t.Parallel()
	for _, blocks := range []uint64{0, 50} {
		t.Run(fmt.Sprintf("partitions of %d blocks", blocks), func(t *testing.T) {
			t.Parallel()
			db := newDatabase(t)
			cfg := db.divided(blocks)
			cfg.Indexes = [][]string{{"n"}}
			w := open(t, cfg, small)
			if err := insist(t.Context(), w, rows(0, 120)); err != nil {
				t.Fatal(err)
			}
			reader := connect(t, db.url)
			part := "t"
			if blocks > 0 {
				part = "t_p50"
			}
			if _, err := reader.Exec(t.Context(), "BEGIN; INSERT INTO "+part+" VALUES (60, 60, 'others')"); err != nil {
				t.Fatal(err)
			}
			ctx, kill := context.WithCancel(t.Context())
			defer kill()
			err := w.BuildIndexes(ctx, func(_ int, progress string) {
				if strings.HasPrefix(progress, "building index t_") {
					kill()
				}
			})
			if !errors.Is(err, context.Canceled) {
				t.Fatalf("it ended with %v", err)
			}
			for db.text("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'CREATE INDEX CONCURRENTLY%'") != "0" {
				// It goes as soon as the server notices.
			}
			if n := db.text("SELECT count(*) FROM pg_index WHERE NOT indisvalid"); n == "0" {
				t.Error("no index is invalid")
			}
			if _, err := reader.Exec(t.Context(), "ROLLBACK"); err != nil {
				t.Fatal(err)
			}
			next := open(t, cfg, small)
			wantUnbuilt(t, next, 1)
			build(t, next)
			wantUnbuilt(t, next, 0)
			if n := db.text("SELECT count(*) FROM pg_index WHERE NOT indisvalid"); n != "0" {
				t.Errorf("%s indexes are invalid", n)
			}
		})
	}
}

// TestOneProcessBuildsIndexes: another one says how far it is.
func TestOneProcessBuildsIndexes(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	cfg := db.config()
	cfg.Indexes = [][]string{{"n"}}
	w, other := open(t, cfg, small), open(t, cfg, small)
	if err := insist(t.Context(), w, rows(0, 120)); err != nil {
		t.Fatal(err)
	}
	db.run("BEGIN; INSERT INTO t VALUES (60, 60, 'others')")
	seen := false
	err := w.BuildIndexes(t.Context(), func(_ int, progress string) {
		if seen {
			return
		}
		said := ""
		if err := other.BuildIndexes(t.Context(), func(_ int, progress string) { said = progress }); !errors.Is(err, sink.ErrBuiltElsewhere) {
			t.Errorf("the other process: %v", err)
		}
		want := fmt.Sprintf("building index t_n_idx (waiting for writers before build): waits for process %d of the server", db.PgConn().PID())
		if !strings.HasPrefix(said, want) || progress != said {
			t.Errorf("it is told that it is %q and %q", progress, said)
		}
		seen = true
		db.run("ROLLBACK")
	})
	if err != nil || !seen {
		t.Fatalf("it ended with %v; progress was told: %v", err, seen)
	}
}

// TestBuildingDoesNotWaitForItself: the server has CREATE INDEX CONCURRENTLY wait for the end of
// every transaction of the database that had a snapshot at the wrong moment, also of one that
// has the lock of who builds indexes of another table, and for as long as that takes. So there is
// none: the session that builds has the lock. Behind a pooler it is a transaction that never runs
// a command meanwhile.
func TestBuildingDoesNotWaitForItself(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		pooled bool
		ran    string
	}{
		"directly":        {false, "CREATE INDEX CONCURRENTLY, active"},
		"behind a pooler": {true, "-- indexes are being built, idle in transaction"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := newDatabase(t)
			cfg := db.config()
			if c.pooled {
				cfg.DSN = config.Secret(db.pooler())
			}
			w := loaded(t, &cfg)
			db.run(othersInsert)
			looks := 0
			err := w.BuildIndexes(soon(t), func(int, string) {
				if looks == 2 {
					return
				}
				const query = `SELECT string_agg(substring(a.query FROM '^[-A-Za-z ]+[a-zA-Z]') || ', ' || a.state, '; ') FROM pg_locks l JOIN pg_stat_activity a USING (pid)
					WHERE l.locktype = 'advisory' AND l.classid = x'616d7078'::integer AND a.datname = current_database()`
				if got := db.text(query); got != c.ran {
					t.Errorf("the session with the lock has run last: %s, want %s", got, c.ran)
				}
				looks++
				if looks == 2 {
					db.run("ROLLBACK")
				}
			})
			if err != nil || looks < 2 {
				t.Fatalf("it ended with %v; progress was told %d times", err, looks)
			}
			wantUnbuilt(t, w, 0)
		})
	}
}

// TestHowManyIndexesAreLeft is told while they are built, by the process that builds and by
// one that does not. An index waits for every transaction that has written to the table when
// it begins, and again when it is to be validated.
func TestHowManyIndexesAreLeft(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	cfg := db.config()
	cfg.Indexes = [][]string{{"n"}, {"Name"}}
	w, other := open(t, cfg, small), open(t, cfg, small)
	if err := insist(t.Context(), w, rows(0, 120)); err != nil {
		t.Fatal(err)
	}
	holds, next := connect(t, db.url), connect(t, db.url)
	run := func(c *pgx.Conn, sql string) {
		if _, err := c.Exec(t.Context(), sql); err != nil {
			t.Error(err)
		}
	}
	const hold = "BEGIN; INSERT INTO t VALUES (60, 60, 'others')"
	run(holds, hold)
	left, elsewhere := map[string]int{}, 0
	err := w.BuildIndexes(t.Context(), func(n int, progress string) {
		name, _, _ := strings.Cut(strings.TrimPrefix(progress, "building index "), " ")
		if _, known := left[name]; !known { // of each index while it waits; later its end may come between two questions
			left[name] = n
			err := other.BuildIndexes(t.Context(), func(n int, _ string) { elsewhere = n })
			if !errors.Is(err, sink.ErrBuiltElsewhere) || elsewhere != n {
				t.Errorf("%d are left, and the other process says %d and %v", n, elsewhere, err)
			}
		}
		if name == "t_n_idx" {
			run(next, hold)
			holds, next = next, holds
			run(next, "ROLLBACK")
			return
		}
		run(holds, "ROLLBACK")
	})
	if want := map[string]int{"t_n_idx": 2, "t_Name_idx": 1}; err != nil || !maps.Equal(left, want) {
		t.Errorf("of each index it was told that so many are left: %v, want %v; %v", left, want, err)
	}
}

func TestWhatCannotBeIndexed(t *testing.T) {
	t.Parallel()
	cfg := config.Postgres{Schema: "public", Table: "t", Indexes: [][]string{{"n", "m"}, {"n"}, {"n"}}}
	_, err := postgres.New(cfg).Describe(small)
	wantRefused(t, err, `names column "m"`, `"Name"`, `index on ["n"] twice`)

	db := newDatabase(t)
	user := db.role("loader")
	db.run(`CREATE TABLE t (block_num bigint, n bigint, "Name" json); GRANT ALL ON t TO ` + user + `; GRANT CREATE ON DATABASE ` + db.Config().Database + ` TO ` + user)
	cfg = db.config()
	cfg.DSN, cfg.Indexes = config.Secret(db.as(user)), [][]string{{"n"}, {"Name"}}
	of := table(field("n", arrow.PrimitiveTypes.Int64), field("Name", textType))
	wantRefused(t, postgres.New(cfg).Check(t.Context(), of), "does not own", `CREATE INDEX ON "public"."t" ("n")`, `"Name", which is of the type json`)
	db.run(`ALTER TABLE t ALTER "Name" TYPE text; CREATE INDEX ON t (n); CREATE INDEX ON t ("Name")`)
	if err := postgres.New(cfg).Check(t.Context(), of); fault.Of(err) == fault.ClassPermanent && err != nil {
		t.Errorf("with the indexes: %v", err)
	}

	db = newDatabase(t)
	cfg = db.config()
	cfg.Indexes = [][]string{{"n"}}
	w := open(t, cfg, small)
	db.run("CREATE TABLE t_n_idx (x int)")
	wantRefused(t, w.BuildIndexes(t.Context(), func(int, string) {}), "t_n_idx", "rename")
}

// TestLongIndexNames are cut, and differ.
func TestLongIndexNames(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	cfg := db.config()
	long := strings.Repeat("ä", 30)
	cfg.Table, cfg.Indexes = long, [][]string{{"n"}, {"Name"}, {"n", "Name"}}
	w := open(t, cfg, small)
	build(t, w)
	wantUnbuilt(t, w, 0)
	if got := db.indexesOf(`"` + long + `"`); strings.Count(got, ",") != 2 || strings.Contains(got, "invalid") {
		t.Errorf("there are %s", got)
	}
}
