package postgres_test

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/postgres"
)

// pooler starts a PgBouncer that pools by transaction before the database and returns
// the URL that leads through it. settings are further lines of its configuration.
func (d *database) pooler(settings ...string) string {
	d.Helper()
	const script = "../../../scripts/pgbouncer"
	dir, err := os.MkdirTemp("", "ampipe-pgbouncer")
	if err != nil {
		d.Fatal(err)
	}
	d.Cleanup(func() { _ = os.RemoveAll(dir) })  // what is left is in the folder for such
	if err := os.Chmod(dir, 0o755); err != nil { // it may run as another user
		d.Fatal(err)
	}
	start := exec.Command(script, append([]string{"start", dir + "/pgbouncer", d.url}, settings...)...)
	start.Stderr = os.Stderr
	out, err := start.Output()
	if err != nil {
		d.Fatal(err)
	}
	d.Cleanup(func() {
		if err := exec.Command(script, "stop", dir+"/pgbouncer").Run(); err != nil {
			d.Error(err)
		}
	})
	return strings.TrimSpace(string(out))
}

// with returns a URL with another user, if it is not empty, and further parameters.
func with(t *testing.T, dsn, user string, parameters ...string) config.Secret {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	if user != "" {
		u.User = url.User(user)
	}
	query := u.Query()
	for i := 0; i < len(parameters); i += 2 {
		query.Set(parameters[i], parameters[i+1])
	}
	u.RawQuery = query.Encode()
	return config.Secret(u.String())
}

// Behind a pooler that hands each transaction to whichever session is free, a sink
// loads what it loads without one, and its neighbours find nothing of it.
func TestBehindAPooler(t *testing.T) {
	t.Parallel()
	for _, mode := range []config.Mode{config.Append, config.Upsert} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			load := func(pooled bool) string {
				db := newDatabase(t)
				cfg := db.config()
				cfg.Mode, cfg.Key = mode, []string{"n"}
				if pooled {
					user := db.role("loader")
					db.run("ALTER ROLE " + user + " SUPERUSER; ALTER ROLE " + user + " SET default_transaction_read_only = on; ALTER ROLE " + user + " SET statement_timeout = '300ms'")
					through := db.pooler("default_pool_size=3")
					cfg.DSN = with(t, through, user)
					// What neighbours leave in the sessions that they share with the sink.
					for range 3 {
						neighbour := connect(t, string(with(t, through, user, "default_query_exec_mode", "exec")))
						for _, sql := range []string{"SET DateStyle = 'SQL, DMY'", "SET search_path = nowhere", "SET IntervalStyle = sql_standard", "SET bytea_output = escape"} {
							if _, err := neighbour.Exec(t.Context(), sql); err != nil {
								t.Fatal(err)
							}
						}
					}
				}
				got := db.load(t, cfg)
				if pooled && db.text("SELECT count(*) FROM pg_class WHERE relname LIKE 'ampipe_staging%'") != "0" {
					t.Error("a temporary table is left in a session of the pooler")
				}
				return got
			}
			if want, got := load(false), load(true); got != want {
				t.Errorf("behind a pooler the table holds\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// What a pooler refuses is reported at once, with what mends it.
func TestWhatAPoolerRefuses(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	cfg := db.config()
	check := func(dsn config.Secret) error {
		cfg.DSN = dsn
		return postgres.New(cfg).Check(t.Context(), small)
	}
	through := db.pooler()
	wantRefused(t, check(with(t, through, "", "work_mem", "8MB")), "startup parameter: work_mem", "ignore_startup_parameters")
	wantRefused(t, check(with(t, through, "", "options", "-cwork_mem=8MB")), "startup parameter: options", "ignore_startup_parameters")
	wantRefused(t, check(with(t, through, "nobody")), "auth_file")
	for _, dsn := range []config.Secret{
		with(t, through, ""), // the setting was taken out
		with(t, db.pooler("ignore_startup_parameters=work_mem,options"), "", "work_mem", "8MB", "options", "-cwork_mem=8MB"),
	} {
		if err := check(dsn); err != nil {
			t.Errorf("mended as advised: %v", err)
		}
	}

	wantRefused(t, check(with(t, db.pooler("pool_mode=statement"), "")), "statement pooling mode", "pool_mode = transaction")

	one := db.pooler("max_client_conn=1")
	soon := fault.Backoff{GiveUp: time.Minute, Max: 100 * time.Millisecond}
	var neighbour *pgx.Conn
	err := fault.Retry(t.Context(), soon, func(ctx context.Context) (err error) { // the connection that looked whether it listens may still be there
		neighbour, err = pgx.Connect(ctx, string(with(t, one, "", "default_query_exec_mode", "exec")))
		return err
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = check(with(t, one, ""))
	if fault.Of(err) != fault.ClassLater || !strings.Contains(fmt.Sprint(err), "max_client_conn") {
		t.Errorf("a full pooler: %v (%v)", err, fault.Of(err))
	}
	if err := neighbour.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	// The pooler learns a moment later that there is room again.
	err = fault.Retry(t.Context(), soon, func(context.Context) error { return check(with(t, one, "")) }, nil)
	if err != nil {
		t.Errorf("when there is room again: %v", err)
	}
}

// Somebody who holds a lock is named, also when the server's process changes from one
// transaction to the next.
func TestALockBehindAPooler(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	cfg := db.config()
	cfg.DSN = with(t, db.pooler(), "")
	w := open(t, cfg, small)
	analyst := connect(t, db.url+"&application_name=analyst")
	if _, err := analyst.Exec(t.Context(), "BEGIN; LOCK TABLE t IN SHARE MODE"); err != nil {
		t.Fatal(err)
	}
	_, err := w.Apply(t.Context(), []sink.Change{rows(0, 5)})
	wantWait(t, err, "public.t", `"analyst"`, fmt.Sprint("process ", analyst.PgConn().PID()))
	if _, err := analyst.Exec(t.Context(), "COMMIT"); err != nil {
		t.Fatal(err)
	}
	for n := block.Number(0); n < 20; n += 5 {
		if err := insist(t.Context(), w, rows(n, n+5)); err != nil {
			t.Fatal(err)
		}
	}
	wantLoaded(t, db, 20)
}
