package postgres

import (
	"context"
	_ "embed"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/ampipe/ampipe/pkg/fault"
)

// published are the SQLSTATEs of PostgreSQL's documentation, a code and its name a line.
//
//go:embed testdata/sqlstates.txt
var published string

// TestEverySQLSTATEIsDecided fails for a published code, and for a class, that nobody
// has decided about.
func TestEverySQLSTATEIsDecided(t *testing.T) {
	t.Parallel()
	used := make(map[string]bool)
	for line := range strings.Lines(published) {
		code, name, _ := strings.Cut(strings.TrimSpace(line), " ")
		a, known := adviceFor(code)
		if !known || a.text == "" {
			t.Errorf("nothing is decided for %s %s", code, name)
			continue
		}
		used[code], used[code[:2]] = true, true
		err := classify("write rows", fmt.Errorf("send: %w", &pgconn.PgError{Code: code, Message: name}))
		if fault.Of(err) != a.class || !strings.Contains(err.Error(), a.text) || !strings.Contains(err.Error(), code) {
			t.Errorf("%s is classed as %v: %v", code, fault.Of(err), err)
		}
	}
	if len(used) < 250 {
		t.Fatalf("only %d codes and classes were read", len(used))
	}
	for code := range advices {
		if !used[code] {
			t.Errorf("%s is decided, and PostgreSQL has no such code", code)
		}
	}
}

// TestWhatPassesIsWaitedFor names those that tests of the running server do not make.
func TestWhatPassesIsWaitedFor(t *testing.T) {
	t.Parallel()
	for _, code := range []string{"08006", "25006", "25P04", "40001", "53100", "53300", "55000", "55006", "55P03", "57014", "57P03", "58030", "72000"} {
		if a, _ := adviceFor(code); a.class != fault.ClassLater {
			t.Errorf("%s is %v", code, a.class)
		}
	}
	for _, code := range []string{"22003", "23505", "26000", "28P01", "42501", "42P05", "57P04", "P0001", "XX001"} {
		if a, _ := adviceFor(code); a.class != fault.ClassPermanent {
			t.Errorf("%s is %v", code, a.class)
		}
	}
	for code, want := range map[string]sessionAction{
		// A session that is read only, has lost its prepared statements or carries an old
		// plan refuses for as long as it lives.
		"25006": renew, "26000": renew, "42P05": renew, "0A000": renew, "XX000": renew, "57P01": renew, "57P02": renew, "53200": renew, "08006": renew, "25P02": renew,
		// Another session gets no lock earlier, and there may be no other connection.
		"55P03": keep, "53300": keep, "40001": keep, "40P01": keep, "23505": keep, "42501": keep, "P0001": keep,
	} {
		if a, _ := adviceFor(code); a.session != want {
			t.Errorf("after %s the connections are treated as %v", code, a.session)
		}
	}
	if _, known := adviceFor("9Z999"); known {
		t.Error("a class that does not exist is decided")
	}
}

// TestWhatARefusalMeansWhere: the same code means something else while a connection is
// made, from a pooler, and within a function.
func TestWhatARefusalMeansWhere(t *testing.T) {
	t.Parallel()
	connecting := func(pg *pgconn.PgError) error { return connectError(t, pg) }
	plain := func(pg *pgconn.PgError) error { return pg }
	for _, c := range []struct {
		name  string
		wrap  func(*pgconn.PgError) error
		pg    pgconn.PgError
		class fault.Class
		want  string
	}{
		{"a setting that is unknown", connecting, pgconn.PgError{Code: "42704"}, fault.ClassPermanent, "this server does not know"},
		{"a name that is unknown", plain, pgconn.PgError{Code: "42704"}, fault.ClassPermanent, "is not what it was"},
		{"a setting's value", connecting, pgconn.PgError{Code: "22023"}, fault.ClassPermanent, "a setting of the dsn has a value"},
		{"the right to connect", connecting, pgconn.PgError{Code: "42501"}, fault.ClassPermanent, "GRANT CONNECT"},
		{"a full server", connecting, pgconn.PgError{Code: "53300"}, fault.ClassLater, "no connection to spare"},
		{"a pooler that goes", plain, pgconn.PgError{Code: "08P01", Message: "server conn crashed?"}, fault.ClassLater, "its log says why"},
		{"a pooler without a session", plain, pgconn.PgError{Code: "08P01", Message: "query_wait_timeout"}, fault.ClassLater, "default_pool_size"},
		{"a function", plain, pgconn.PgError{Code: "42703", Where: "PL/pgSQL function f() line 1 at assignment\nCOPY t, line 1"}, fault.ClassPermanent, "a trigger, or a function"},
		{"a row", plain, pgconn.PgError{Code: "22003", Where: "COPY t, line 1, column n: \"SQL\""}, fault.ClassPermanent, "refuses a value"},
		{"a foreign key", plain, pgconn.PgError{Code: "23503", Where: "SQL statement \"DELETE FROM ONLY o\""}, fault.ClassPermanent, "ON DELETE CASCADE"},
	} {
		err := classify("do", c.wrap(&c.pg))
		if fault.Of(err) != c.class || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v (%v), want %q", c.name, err, fault.Of(err), c.want)
		}
	}
}

// connectError returns an error as of making a connection. Only the driver can make one.
func connectError(t *testing.T, of error) error {
	t.Helper()
	c, err := pgconn.ParseConfig("postgres://127.0.0.1:1/db?sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	c.DialFunc = func(context.Context, string, string) (net.Conn, error) { return nil, of }
	_, err = pgconn.ConnectConfig(t.Context(), c)
	if err == nil {
		t.Fatal("it connects")
	}
	return err
}

// An error of several hosts is one line that says each thing once.
func TestErrorsOfSeveralHosts(t *testing.T) {
	t.Parallel()
	c, err := pgconn.ParseConfig("postgres://u:hunter2@127.0.0.1:1,127.0.0.1:2/db")
	if err != nil {
		t.Fatal(err)
	}
	c.DialFunc = func(_ context.Context, _, address string) (net.Conn, error) {
		return nil, fmt.Errorf("nobody at %s", address)
	}
	_, err = pgconn.ConnectConfig(t.Context(), c)
	err = classify("connect", err)
	if text := err.Error(); fault.Of(err) != fault.ClassLater || strings.Contains(text, "\n") || strings.Count(text, "nobody at 127.0.0.1:1") != 1 || strings.Count(text, "nobody at 127.0.0.1:2") != 1 {
		t.Errorf("%q (%v)", text, fault.Of(err))
	}
}
