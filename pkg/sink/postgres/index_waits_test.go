package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/postgres"
)

// othersInsert begins a transaction that writes to t, for which an index waits.
const othersInsert = "BEGIN; INSERT INTO t VALUES (60, 60, 'others')"

// othersInsertInto is the same of a table that is divided, of which it locks one partition only.
func othersInsertInto(blocks uint64) string {
	if blocks == 0 {
		return othersInsert
	}
	return strings.Replace(othersInsert, "INTO t", "INTO t_p50", 1)
}

// soon returns a context in which what waits in vain ends.
func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// session is another client of the server.
type session struct {
	*testing.T
	*pgx.Conn
}

func (d *database) session(t *testing.T) session { return session{t, connect(t, d.url)} }

func (s session) run(sql string) {
	s.Helper()
	if _, err := s.Exec(s.Context(), sql); err != nil {
		s.Errorf("%s: %v", sql, err)
	}
}

// buildUntil has a writer build its indexes, and calls act once when progress contains a text,
// and first with the first progress.
func buildUntil(t *testing.T, w *postgres.Writer, text string, act func(), first ...func()) {
	t.Helper()
	var told []string
	err := w.BuildIndexes(soon(t), func(_ int, progress string) {
		for _, f := range first {
			f()
		}
		first = nil
		if act != nil && strings.Contains(progress, text) {
			act()
			act = nil
		}
		told = append(told, progress)
	})
	if err != nil || act != nil {
		t.Fatalf("it ended with %v, and told %q, want %q", err, told, text)
	}
	wantUnbuilt(t, w, 0)
}

// loaded returns a writer of t whose blocks 0 to 119 are there, and whose index on n is not.
func loaded(t *testing.T, cfg *config.Postgres) *postgres.Writer {
	t.Helper()
	cfg.Indexes = [][]string{{"n"}}
	w := open(t, *cfg, small)
	if err := insist(soon(t), w, rows(0, 120)); err != nil {
		t.Fatal(err)
	}
	return w
}

// TestWhoIsWaitedForIsTold: while an index waits for others, also before it is begun, and while
// what is left of one is removed; by the process that builds and by another one.
func TestWhoIsWaitedForIsTold(t *testing.T) {
	t.Parallel()
	const leftOver = "CREATE INDEX t_n_idx ON t (n); UPDATE pg_index SET indisvalid = false WHERE indexrelid = 't_n_idx'::regclass"
	for name, c := range map[string]struct{ before, hold, says string }{
		"the table's lock": {"", "BEGIN; LOCK TABLE t IN SHARE UPDATE EXCLUSIVE MODE",
			"building indexes: table public.t: waits for a lock that is held by process %d of"},
		"a writer": {"", othersInsert, "building index t_n_idx (waiting for writers before build): waits for process %d of"},
		"a snapshot": {"", "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT FROM pg_class",
			"building index t_n_idx (waiting for old snapshots): waits for process %d of"},
		"a reader, to remove": {leftOver, "BEGIN; SELECT FROM t", "building indexes: waits for process %d of"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := newDatabase(t)
			cfg := db.config()
			w := loaded(t, &cfg)
			other := open(t, cfg, small)
			if c.before != "" {
				db.run(c.before)
			}
			holder := db.session(t)
			holder.run(c.hold)
			says := fmt.Sprintf(c.says, holder.PgConn().PID())
			buildUntil(t, w, says, func() {
				said := ""
				err := other.BuildIndexes(soon(t), func(_ int, progress string) { said = progress })
				if !errors.Is(err, sink.ErrBuiltElsewhere) {
					t.Errorf("the other process: %v", err)
				}
				if strings.Contains(says, "t_n_idx") && !strings.Contains(said, says) {
					t.Errorf("the other process says %q, want %q", said, says)
				}
				holder.run("ROLLBACK")
			})
			db.want("SELECT count(*) FROM pg_index WHERE NOT indisvalid", "0")
		})
	}
}

// TestOthersBuildAnIndexOfTheTable before: neither is ended because each waits for the other.
func TestOthersBuildAnIndexOfTheTable(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ theirs, has string }{
		"another one": {"theirs ON t (block_num)", "t_n_idx, theirs"},
		// As a session does whose process was killed.
		"the same": {"t_n_idx ON t (n)", "t_n_idx"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := newDatabase(t)
			cfg := db.config()
			w := loaded(t, &cfg)
			writer, builder := db.session(t), db.session(t)
			writer.run(othersInsert)
			var building sync.WaitGroup
			building.Go(func() { builder.run("CREATE INDEX CONCURRENTLY " + c.theirs) })
			eventually(t, db.Conn, "SELECT count(*) = 1 FROM pg_stat_progress_create_index "+
				"WHERE phase = 'waiting for writers before build' AND datname = current_database()")
			var waits sync.WaitGroup
			waits.Go(func() {
				eventually(t, connect(t, db.url), "SELECT count(*) = 1 FROM pg_locks "+
					"WHERE relation = 't'::regclass AND mode = 'ShareUpdateExclusiveLock' AND NOT granted "+
					"AND database = (SELECT oid FROM pg_database WHERE datname = current_database())")
				writer.run("ROLLBACK")
			})
			if err := w.BuildIndexes(soon(t), func(int, string) {}); err != nil {
				t.Error(err)
			}
			waits.Wait()
			building.Wait()
			if got := db.indexesOf("t"); got != c.has {
				t.Errorf("the table has %s, want %s", got, c.has)
			}
		})
	}
}

// TestTablesAreIndexedAtTheSameTime: of one database, and in one process. One that waits for a
// writer to its own table does not hold up the other.
func TestTablesAreIndexedAtTheSameTime(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	cfg := db.config()
	w := loaded(t, &cfg)
	others := db.divided(50)
	others.Table = "u"
	other := loaded(t, &others)
	writer := db.session(t)
	writer.run(othersInsert)
	buildUntil(t, w, "waiting for writers", func() {
		buildUntil(t, other, "", nil)
		writer.run("ROLLBACK")
	})

	cfg.Indexes = [][]string{{"Name"}, {"Name", "n"}, {"n", "Name"}}
	others.Indexes = cfg.Indexes
	var building sync.WaitGroup
	defer building.Wait()
	for _, c := range []config.Postgres{cfg, others} {
		w := open(t, c, small)
		building.Go(func() {
			if err := w.BuildIndexes(soon(t), func(int, string) {}); err != nil {
				t.Errorf("table %s: %v", c.Table, err)
			}
			if n, err := w.Unbuilt(soon(t)); n != 0 || err != nil {
				t.Errorf("table %s: %d indexes are missing: %v", c.Table, n, err)
			}
		})
	}
}

// TestTheOtherProcessBuildsAfterAKill of the sessions of the one that builds.
func TestTheOtherProcessBuildsAfterAKill(t *testing.T) {
	t.Parallel()
	for _, blocks := range []uint64{0, 50} {
		t.Run(fmt.Sprintf("partitions of %d blocks", blocks), func(t *testing.T) {
			t.Parallel()
			db := newDatabase(t)
			cfg := db.divided(blocks)
			first := cfg
			first.DSN = with(t, db.url, "", "application_name", "first")
			w := loaded(t, &first)
			cfg.Indexes = first.Indexes
			other := open(t, cfg, small)
			writer := db.session(t)
			writer.run(othersInsertInto(blocks))
			killed := false
			err := w.BuildIndexes(soon(t), func(int, string) {
				if killed {
					return
				}
				killed = true
				if err := other.BuildIndexes(soon(t), func(int, string) {}); !errors.Is(err, sink.ErrBuiltElsewhere) {
					t.Errorf("the other process: %v", err)
				}
				db.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'first%'")
			})
			if err == nil || !killed {
				t.Fatalf("it ended with %v", err)
			}
			eventually(t, db.Conn, "SELECT count(*) > 0 FROM pg_index WHERE NOT indisvalid")
			eventually(t, db.Conn, "SELECT count(*) = 0 FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'first%'")
			buildUntil(t, other, "waits for process", func() { writer.run("ROLLBACK") })
			db.want("SELECT count(*) FROM pg_index WHERE NOT indisvalid", "0")
		})
	}
}

// TestTheSinkGoesOnWhileAnIndexWaits: live blocks, a reorg, a replay, verify, and a partition
// that is made, which has the index too.
func TestTheSinkGoesOnWhileAnIndexWaits(t *testing.T) {
	t.Parallel()
	for _, blocks := range []uint64{0, 50} {
		t.Run(fmt.Sprintf("partitions of %d blocks", blocks), func(t *testing.T) {
			t.Parallel()
			db := newDatabase(t)
			cfg := db.divided(blocks)
			w := loaded(t, &cfg)
			writer := db.session(t)
			writer.run(othersInsertInto(blocks))
			buildUntil(t, w, "waiting for writers", func() {
				ctx := soon(t)
				for _, c := range []sink.Change{
					rows(120, 130), rows(300, 310), sink.Removal(span(20, 30)), rows(20, 30),
				} {
					if err := insist(ctx, w, c); err != nil {
						t.Errorf("%s of %v: %v", c.Kind, c.Range, err)
					}
				}
				l := &chain{TB: t, w: w}
				l.apply(keys(span(5000, 5010), 1), mark(5009), invalidate(5005, 5009), keys(span(5005, 5020), 2), mark(5019))
				held, err := w.State(ctx)
				if want := (block.Cursor{Network: "n", Number: 5019, Hash: block.Hash{byte(5019 % 256)}}); err != nil || held.Live.Cursor != want {
					t.Errorf("the live lane is at %v, want %v: %v", held.Live.Cursor, want, err)
				}
				writer.run("ROLLBACK")
			})
			db.want("SELECT count(*) FROM t WHERE block_num >= 5000", "20")
			db.want("SELECT count(*) FROM pg_index WHERE NOT indisvalid", "0")
			if blocks > 0 {
				db.want("SELECT count(*) FROM pg_inherits WHERE inhparent = 't_n_idx'::regclass", "5") // 0, 50, 100, 300 and 5000
			}
		})
	}
}

// TestAReplayAndAnIndexThatWaitForOthers end when those do: the index waits for the transaction
// of the replay, which waits for another one of the table, for a few seconds at a time.
func TestAReplayAndAnIndexThatWaitForOthers(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	cfg := db.config()
	w := loaded(t, &cfg)
	holder := db.session(t)
	const tableLock = 0x616d7069
	holder.run(fmt.Sprintf("BEGIN; SELECT pg_advisory_xact_lock_shared(%d, id) FROM ampipe.tables; SELECT FROM t", tableLock))
	var replaying sync.WaitGroup
	replaying.Go(func() {
		err := fault.Retry(soon(t), fault.Backoff{GiveUp: fault.Forever}, func(ctx context.Context) error {
			_, err := w.Apply(ctx, []sink.Change{sink.Removal(span(20, 30))})
			return err
		}, nil)
		if err != nil {
			t.Errorf("the replay: %v", err)
		}
	})
	eventually(t, db.Conn, "SELECT count(*) = 1 FROM pg_locks l JOIN pg_database d ON d.oid = l.database "+
		"WHERE datname = current_database() AND locktype = 'advisory' AND NOT granted")
	release := sync.OnceFunc(func() { holder.run("ROLLBACK") })
	err := w.BuildIndexes(soon(t), func(int, string) { release() })
	if err != nil {
		t.Error(err)
	}
	release() // the index may have come between two tries of the replay
	replaying.Wait()
	wantUnbuilt(t, w, 0)
	db.want("SELECT count(*) FROM t", "110")
}

// TestAPartitionWithoutItsIndexIsDropped, after all others had theirs: the server leaves the
// index of the table invalid, although nothing is missing.
func TestAPartitionWithoutItsIndexIsDropped(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	cfg := db.divided(50)
	w := loaded(t, &cfg)
	db.run("CREATE INDEX t_n_idx ON ONLY t (n); CREATE INDEX part ON t_p0 (n); ALTER INDEX t_n_idx ATTACH PARTITION part; DROP TABLE t_p50")
	wantUnbuilt(t, w, 1) // of t_p100
	db.run("DROP TABLE t_p100")
	if err := w.BuildIndexes(soon(t), func(int, string) {}); err != nil {
		t.Error(err)
	}
	wantUnbuilt(t, w, 0)
	if err := insist(soon(t), w, rows(200, 210)); err != nil {
		t.Fatal(err)
	}
	if got := db.indexesOf("t_p200"); got != "t_p200_n_idx" {
		t.Errorf("a partition that comes later has %s", got)
	}
	wantUnbuilt(t, w, 0)
	found, err := postgres.New(cfg).Examine(soon(t), small)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		if strings.Contains(f.Text, "invalid") {
			t.Errorf("it is found that %s", f.Text)
		}
	}
}

// TestBuildingDoesNotEndWithAQuestion that the server does not answer, since it takes no more
// connections.
func TestBuildingDoesNotEndWithAQuestion(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	user := db.role("loader")
	db.run("GRANT CREATE ON DATABASE " + db.Config().Database + " TO " + user + "; GRANT ALL ON SCHEMA public TO " + user)
	cfg := db.config()
	cfg.DSN = config.Secret(db.as(user))
	w := loaded(t, &cfg)
	writer := db.session(t)
	writer.run(othersInsert)
	refuse := func() {
		db.run("ALTER ROLE " + user + " CONNECTION LIMIT 0")
		db.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1 AND state = 'idle'", user)
	}
	allow := func() {
		db.run("ALTER ROLE " + user + " CONNECTION LIMIT -1")
		writer.run("ROLLBACK")
	}
	buildUntil(t, w, "too many connections", allow, refuse)
}
