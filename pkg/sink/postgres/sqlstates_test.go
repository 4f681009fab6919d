package postgres

import (
	_ "embed"
	"fmt"
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
	if _, known := adviceFor("9Z999"); known {
		t.Error("a class that does not exist is decided")
	}
}
