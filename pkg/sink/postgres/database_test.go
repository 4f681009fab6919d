package postgres_test

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/postgres"
)

func TestMain(m *testing.M) {
	if dsn := os.Getenv(childDSN); dsn != "" {
		os.Exit(child(dsn))
	}
	goleak.VerifyTestMain(m)
}

// database is a fresh database and an administrator's connection to it.
type database struct {
	*pgx.Conn
	testing.TB
	url string
}

var databases atomic.Int64

// newDatabase makes a database that is dropped at the end of the test.
func newDatabase(t testing.TB) *database {
	t.Helper()
	admin := os.Getenv("AMPIPE_TEST_POSTGRES")
	if admin == "" {
		t.Skip("AMPIPE_TEST_POSTGRES is not set; run scripts/postgres run go test ./pkg/sink/postgres/")
	}
	root := connect(t, admin)
	name := fmt.Sprintf("ampipe_test_%d_%d", os.Getpid(), databases.Add(1))
	if _, err := root.Exec(t.Context(), "CREATE DATABASE "+name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		dropDatabase(t, root, name)
	})
	u, err := url.Parse(admin)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + name
	d := &database{connect(t, u.String()), t, u.String()}
	// The administrator may be called ampipe, as our schema is.
	d.run("SET search_path = public")
	return d
}

// version returns the major version of the server.
func (d *database) version() int {
	d.Helper()
	n, err := strconv.Atoi(d.text("SELECT current_setting('server_version_num')::integer / 10000"))
	if err != nil {
		d.Fatal(err)
	}
	return n
}

// dropDatabase ends the sessions of a database and drops it. PostgreSQL 12 has no DROP
// DATABASE … WITH (FORCE).
func dropDatabase(t testing.TB, root *pgx.Conn, name string) {
	t.Helper()
	for _, sql := range []string{
		"ALTER DATABASE " + name + " ALLOW_CONNECTIONS false",
		"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '" + name + "'",
		"DROP DATABASE " + name,
	} {
		if _, err := root.Exec(context.Background(), sql); err != nil {
			t.Error(err)
		}
	}
}

// connect returns a connection that is closed at the end of the test.
func connect(t testing.TB, dsn string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// config is a sink that appends to public.t.
func (d *database) config() config.Postgres {
	return config.Postgres{DSN: config.Secret(d.url), Schema: "public", Table: "t", Mode: config.Append, Writers: 4, Finality: 10_000}
}

// run runs statements.
func (d *database) run(sql string, args ...any) {
	d.Helper()
	if _, err := d.Exec(context.Background(), sql, args...); err != nil {
		d.Fatalf("%s: %v", sql, err)
	}
}

// text returns the one value that a query answers, as text.
func (d *database) text(sql string, args ...any) string {
	d.Helper()
	var v *string
	if err := d.QueryRow(context.Background(), "SELECT ("+sql+")::text", args...).Scan(&v); err != nil {
		d.Fatalf("%s: %v", sql, err)
	}
	if v == nil {
		return "NULL"
	}
	return *v
}

// open returns a Writer that is closed at the end of the test.
func open(t testing.TB, cfg config.Postgres, table sink.Table) *postgres.Writer {
	t.Helper()
	w := postgres.New(cfg)
	if err := w.Open(context.Background(), table); err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return w
}

// role makes a user of the server who may log in, and drops it at the end of
// the test.
func (d *database) role(name string) string {
	d.Helper()
	full := d.Config().Database + "_" + name
	d.run("CREATE ROLE " + full + " LOGIN")
	d.Cleanup(func() { d.run("DROP OWNED BY " + full + " CASCADE; DROP ROLE " + full) })
	return full
}

// as returns the connection string of another user.
func (d *database) as(user string) string {
	u, err := url.Parse(d.url)
	if err != nil {
		d.Fatal(err)
	}
	u.User = url.User(user)
	return u.String()
}
