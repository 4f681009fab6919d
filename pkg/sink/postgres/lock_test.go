package postgres_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/postgres"
)

// wantWait fails unless an error says that a lock is waited for, and for whom.
func wantWait(t *testing.T, err error, texts ...string) {
	t.Helper()
	if err == nil || fault.Of(err) != fault.ClassLater {
		t.Fatalf("answered with %v (%v)", err, fault.Of(err))
	}
	for _, text := range append(texts, "waits for a lock", "process ") {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("%q does not say %q", err, text)
		}
	}
}

// A lock that somebody else has is waited for visibly. Meanwhile nothing is held
// that others need, and when it is free the sink resumes.
func TestLockOfOthersIsWaitedFor(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, lock, says string }{
		{"LOCK TABLE", "LOCK TABLE t IN ACCESS EXCLUSIVE MODE", "idle in transaction since"},
		{"CREATE INDEX", "CREATE INDEX ON t (n)", "idle in transaction since"},
		{"an ACCESS EXCLUSIVE lock of a partition", "LOCK TABLE t_1 IN ACCESS EXCLUSIVE MODE", "idle in transaction since"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			db := newDatabase(t)
			db.run(`CREATE TABLE t (block_num bigint, n bigint, "Name" text) PARTITION BY RANGE (block_num); CREATE TABLE t_1 PARTITION OF t DEFAULT`)
			if !strings.Contains(c.lock, "t_1") {
				db.run(`DROP TABLE t; CREATE TABLE t (block_num bigint, n bigint, "Name" text)`)
			}
			w := open(t, db.config(), small)
			analyst := connect(t, db.url)
			if _, err := analyst.Exec(t.Context(), "SET application_name = 'analyst'; BEGIN; "+c.lock); err != nil {
				t.Fatal(err)
			}
			told := make(chan error, 100)
			call, returned := sink.WithWaits(t.Context(), func(reason error) { told <- reason })
			_, err := w.Apply(call, []sink.Change{rows(0, 5)})
			returned()
			if len(told) == 0 {
				t.Error("nothing was said before the lock had been waited for in vain")
			} else if text := (<-told).Error(); !strings.Contains(text, "public.t") || !strings.Contains(text, `"analyst"`) {
				t.Errorf("told %q", text)
			}
			wantWait(t, err, "public.t", `"analyst"`, fmt.Sprint("process ", analyst.PgConn().PID()), c.says)
			if sink.IsInTurn(err) {
				t.Errorf("that others hold a lock is in order: %v", err)
			}

			var group sync.WaitGroup
			group.Go(func() {
				if err := insist(context.Background(), w, rows(0, 5)); err != nil {
					t.Error(err)
				}
			})
			if !strings.Contains(c.lock, "t_1") {
				// A new session's first look at the catalogue leaves a snapshot until the wait
				// ends; the next wait has none.
				eventually(t, db.Conn, `SELECT count(*) > 0 AND bool_and(backend_xmin IS NULL) FROM pg_stat_activity
					WHERE datname = current_database() AND wait_event_type = 'Lock'`)
				if db.text(holdsTable) == "true" {
					t.Error("who waits for the table holds the lock that others of the sink wait for")
				}
			}
			if _, err := analyst.Exec(t.Context(), "ROLLBACK"); err != nil {
				t.Error(err)
			}
			group.Wait()
			wantLoaded(t, db, 5)
		})
	}
}

// A transaction that waits for another one of ampipe, which works, takes its turn. If that
// one waits for somebody else itself, it is not in order.
func TestLockOfAmpipeIsWaitedForInTurn(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, slow string
		inTurn     bool
	}{
		{"which works", "PERFORM pg_sleep(1)", true},
		{"which waits for another session", "PERFORM pg_advisory_xact_lock_shared(1)", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			db := newDatabase(t)
			w := open(t, db.config(), small)
			db.run("CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN " + c.slow + `; RETURN NEW; END $$;
				CREATE TRIGGER slow BEFORE INSERT ON t FOR EACH ROW WHEN (NEW.block_num < 5) EXECUTE FUNCTION slow(); SELECT pg_advisory_lock(1)`)
			var group sync.WaitGroup
			group.Go(func() {
				if err := insist(context.Background(), w, rows(0, 5)); err != nil {
					t.Error(err)
				}
			})
			eventually(t, connect(t, db.url), holdsTable)
			told := make(chan error, 100)
			call, returned := sink.WithWaits(t.Context(), func(reason error) { told <- reason })
			_, err := open(t, db.config(), small).Apply(call, []sink.Change{sink.Removal(block.Range{Start: 20, End: 25})}) // it needs the table alone
			returned()
			if c.inTurn || err != nil { // the other one may have waited in vain first
				wantWait(t, err, "held by another transaction of ampipe, process ")
				told <- err
			}
			close(told)
			if len(told) == 0 {
				t.Error("nothing was told")
			}
			for reason := range told {
				if reason != nil && sink.IsInTurn(reason) != c.inTurn {
					t.Errorf("in turn: %v; it told %v", sink.IsInTurn(reason), reason)
				}
			}
			db.run("SELECT pg_advisory_unlock(1)")
			group.Wait()
		})
	}
}

// Opening a table waits its turn, too.
func TestOpeningIsWaitedForInTurn(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	db.run("BEGIN; SELECT pg_advisory_xact_lock(x'616d7069706530'::bigint)") // as a migration does
	call, end := context.WithCancel(t.Context())
	var first error
	call, returned := sink.WithWaits(call, func(reason error) {
		if first == nil {
			first = reason
			end()
		}
	})
	w := postgres.New(db.config())
	defer w.Close()
	err := w.Open(call, small)
	returned()
	if first == nil || !sink.IsInTurn(first) || !strings.Contains(first.Error(), "held by another transaction of ampipe, process ") {
		t.Errorf("it told %v, and ended with %v", first, err)
	}
}

// Opening a table that has to be emptied waits for those who read it, and nobody
// waits for that who opens another one.
func TestOpeningHoldsUpNoOtherTable(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	db.run(`CREATE TABLE t (block_num bigint, n bigint, "Name" text)`)
	reader := connect(t, db.url)
	if _, err := reader.Exec(t.Context(), "SET application_name = 'reader'; BEGIN; SELECT FROM t"); err != nil {
		t.Fatal(err)
	}
	cfg := db.config()
	cfg.Overwrite = true
	stop, cancel := context.WithCancel(t.Context())
	reasons := make(chan error, 100)
	var group sync.WaitGroup
	group.Go(func() {
		w := postgres.New(cfg)
		defer w.Close()
		err := fault.Retry(stop, fault.Backoff{Attempts: 3}, func(ctx context.Context) error { return w.Open(ctx, small) },
			func(err error, _ time.Duration) { reasons <- err })
		if err != nil {
			t.Error(err)
		}
	})
	defer group.Wait()
	defer cancel()
	wantWait(t, <-reasons, "public.t", `"reader"`, fmt.Sprint("process ", reader.PgConn().PID()))
	for i := range 5 {
		other := db.config()
		other.Table, other.Schema = fmt.Sprintf("other%d", i), "fresh"
		began := time.Now()
		w := open(t, other, small)
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("opening another table took %v", took)
		}
		if _, err := w.Apply(t.Context(), []sink.Change{rows(0, 5)}); err != nil {
			t.Error(err)
		}
	}
	if _, err := reader.Exec(t.Context(), "COMMIT"); err != nil {
		t.Fatal(err)
	}
	group.Wait()
}

// The state can be read however long the transactions of the writers take.
func TestStateIsReadBesideLongTransactions(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	cfg := db.config()
	cfg.Writers = 2
	w := open(t, cfg, small)
	if _, err := w.Apply(t.Context(), []sink.Change{rows(0, 5)}); err != nil {
		t.Fatal(err)
	}
	// Each row of a transaction waits until the test is over.
	db.run(`CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN NEW; END $$;
		CREATE TRIGGER wait BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION wait(); SELECT pg_advisory_lock(1)`)
	var group sync.WaitGroup
	changes := []sink.Change{rows(5, 10), rows(10, 15), live(rows(20, 25), 5, 0)} // two writers and the live lane
	for _, c := range changes {
		group.Go(func() {
			if err := insist(context.Background(), w, c); err != nil {
				t.Error(err)
			}
		})
	}
	other := connect(t, db.url)
	eventually(t, other, "SELECT count(*) = 3 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")
	for range 20 {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second) // as the reports allow
		if _, err := w.State(ctx); err != nil {
			t.Errorf("while all writers are busy: %v", err)
			cancel()
			break
		}
		cancel()
	}
	db.run("SELECT pg_advisory_unlock(1)")
	group.Wait()
	if got := db.text("SELECT count(*) FROM t"); got != "20" {
		t.Errorf("%s rows, want 20", got)
	}
}

// What others do to a partition holds up nobody who writes to another one, nor a check.
func TestLockOfAnotherPartition(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	db.run(`CREATE TABLE t (block_num bigint, n bigint, "Name" text) PARTITION BY RANGE (block_num);
		CREATE TABLE t_new PARTITION OF t DEFAULT; CREATE TABLE t_old PARTITION OF t FOR VALUES FROM (0) TO (100);
		CREATE TABLE audited (n bigint); CREATE TRIGGER audit BEFORE UPDATE ON audited FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()`)
	w := open(t, db.config(), small)
	other := connect(t, db.url)
	if _, err := other.Exec(t.Context(), "BEGIN; LOCK TABLE t_old IN ACCESS EXCLUSIVE MODE"); err != nil { // as VACUUM FULL does
		t.Fatal(err)
	}
	if err := postgres.New(db.config()).Check(t.Context(), small); err != nil {
		t.Error(err)
	}
	if _, err := w.Apply(t.Context(), []sink.Change{rows(100, 105)}); err != nil {
		t.Error(err)
	}
	if got := db.text("SELECT count(*) FROM t_new"); got != "5" {
		t.Errorf("%s rows, want 5", got)
	}
}

// Rows of the live lane are added beside transactions of history, which may take long. What
// both of them have, the live lane keeps.
func TestLiveRowsAreAddedBesideHistory(t *testing.T) {
	t.Parallel()
	for _, cfg := range []config.Postgres{{Mode: config.Append}, {Mode: config.Upsert, Key: []string{"block_num", "n"}}} {
		t.Run(string(cfg.Mode), func(t *testing.T) {
			t.Parallel()
			db := newDatabase(t)
			c := db.config()
			c.Mode, c.Key = cfg.Mode, cfg.Key
			w, other := open(t, c, small), open(t, c, small)
			// Rows of blocks below 10 keep their transaction open while lock 1 is held, those of
			// the live lane while lock 2 is.
			db.trigger("t", "AFTER INSERT ON %s FOR EACH ROW WHEN (NEW.block_num < 10)", "PERFORM pg_advisory_xact_lock_shared(1); RETURN NULL;")
			db.trigger("t", "AFTER INSERT ON %s FOR EACH ROW WHEN (NEW.block_num >= 30 AND NEW.n < 5)",
				"PERFORM pg_advisory_xact_lock_shared(2); RETURN NULL;")
			db.run("SELECT pg_advisory_lock(1)")
			waiting := func(n int) {
				eventually(t, connect(t, db.url), fmt.Sprintf("SELECT count(*) = %d FROM pg_locks WHERE locktype = 'advisory' AND NOT granted", n))
			}
			apply := func(w sink.Writer, c sink.Change) {
				if err := insist(context.Background(), w, c); err != nil {
					t.Error(err)
				}
			}
			var group sync.WaitGroup
			group.Go(func() { apply(w, rows(0, 5)) })
			waiting(1)
			apply(other, live(rows(20, 25), 1, 0)) // does not wait for them
			if got := db.text("SELECT count(*) FROM t"); got != "5" {
				t.Errorf("%s rows are committed, want those of the live lane", got)
			}

			// History commits blocks that a live transaction has written and not committed.
			db.run("SELECT pg_advisory_lock(2)")
			group.Go(func() { apply(other, live(rows(30, 35), 2, 1)) })
			waiting(2)
			apply(w, rows(10, 20))
			db.run("SELECT pg_advisory_unlock(2)")
			db.run("SELECT pg_advisory_unlock(1)")
			group.Wait()
			if got := db.text("SELECT string_agg(block_num::text, ' ' ORDER BY block_num) FROM t WHERE block_num > 5"); got !=
				"10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 30 31 32 33 34" {
				t.Errorf("the table has blocks %s", got)
			}
			wantCoverage(t, db, "[0,5) [10,25) [30,35)")
		})
	}
}

func wantCoverage(t *testing.T, db *database, want string) {
	t.Helper()
	if got := db.text("SELECT string_agg(blocks::text, ' ' ORDER BY blocks) FROM ampipe.coverage"); got != want {
		t.Errorf("coverage is %s, want %s", got, want)
	}
}

// The live lane begins at a block that a transaction of history has written, and the one
// that is committed first decides what the other writes.
func TestTheLiveLaneBeginsBesideHistory(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, held string
		first      bool // the live lane is committed first
	}{
		{"history first", "NEW.n < 5 AND NEW.block_num >= 20 OR NEW.block_num < 5", false},
		{"the live lane first", "NEW.n >= 5 OR NEW.block_num < 5", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			db := newDatabase(t)
			w, other := open(t, db.config(), small), open(t, db.config(), small)
			db.trigger("t", "AFTER INSERT ON %s FOR EACH ROW WHEN ("+c.held+")", "PERFORM pg_advisory_xact_lock_shared(1); RETURN NULL;")
			db.run("SELECT pg_advisory_lock(1)")
			watcher := connect(t, db.url)
			var group sync.WaitGroup
			begin := func(w sink.Writer, c sink.Change, waiting int) {
				group.Go(func() {
					if err := insist(context.Background(), w, c); err != nil {
						t.Error(err)
					}
				})
				eventually(t, watcher, fmt.Sprintf("SELECT count(*) = %d FROM pg_locks WHERE locktype = 'advisory' AND NOT granted", waiting))
			}
			begin(w, rows(0, 5), 1) // so that nobody has the table alone
			history, lane := rows(15, 25), live(rows(20, 25), 1, 0)
			slow, fast := lane, history
			if c.first {
				slow, fast = history, lane
			}
			begin(w, slow, 2)
			if err := insist(t.Context(), other, fast); err != nil {
				t.Error(err)
			}
			db.run("SELECT pg_advisory_unlock(1)")
			group.Wait()
			if got := db.text(`SELECT string_agg(concat_ws(':', block_num, n), ' ' ORDER BY block_num, n) FROM t WHERE block_num > 5`); got !=
				"15:0 16:1 17:2 18:3 19:4 20:0 21:1 22:2 23:3 24:4" {
				t.Errorf("the table has %s", got)
			}
			wantCoverage(t, db, "[0,5) [15,25)")
		})
	}
}
