package postgres_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/postgres"
)

// A server that as a whole is read only is waited for; it may protect a disk that
// is full.
func TestServerThatIsReadOnlyIsWaitedFor(t *testing.T) {
	t.Parallel()
	if os.Getenv("AMPIPE_TEST_POSTGRES_DIR") == "" {
		t.Skip("needs a server of its own; run scripts/postgres run go test ./pkg/sink/postgres/")
	}
	dir := t.TempDir()
	for up := dir; up != os.TempDir() && up != "/"; up = filepath.Dir(up) {
		if err := os.Chmod(up, 0o755); err != nil { // the server may run as another user
			t.Fatal(err)
		}
	}
	script := func(args ...string) string {
		out, err := exec.Command("../../../scripts/postgres", args...).Output()
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(out))
	}
	url := script("start", dir+"/pg")
	defer script("stop", dir+"/pg", "immediate")
	db := &database{connect(t, url), t, url}
	w := open(t, db.config(), small)
	if _, err := w.Apply(t.Context(), []sink.Change{rows(0, 5)}); err != nil {
		t.Fatal(err)
	}
	db.run("SET default_transaction_read_only = off")
	turn := func(name, value string) {
		db.run("ALTER SYSTEM SET " + name + " = " + value)
		db.run("SELECT pg_reload_conf()")
		eventually(t, connect(t, url), "SELECT setting = '"+strings.Trim(value, "'")+"' FROM pg_settings WHERE name = '"+name+"'")
	}
	wantCheck := func(want string) {
		t.Helper()
		err := postgres.New(db.config()).Check(t.Context(), small)
		if (want == "" && err != nil) || (want != "" && (fault.Of(err) != fault.ClassLater || !strings.Contains(fmt.Sprint(err), want))) {
			t.Errorf("check: %v (%v), want %q", err, fault.Of(err), want)
		}
	}
	turn("default_transaction_read_only", "on")
	wantCheck("default_transaction_read_only = on")
	var err error
	for n := block.Number(5); err == nil && n < 1000; n++ { // a session notices it between two statements
		_, err = w.Apply(t.Context(), []sink.Change{rows(n, n+1)})
	}
	if fault.Of(err) != fault.ClassLater || !strings.Contains(fmt.Sprint(err), "25006") {
		t.Errorf("a server that is read only: %v (%v)", err, fault.Of(err))
	}
	turn("default_transaction_read_only", "off")
	if err := insist(t.Context(), w, rows(5, 1010)); err != nil {
		t.Error(err)
	}
	turn("synchronous_standby_names", "'nobody'")
	wantCheck("synchronous_standby_names asks for a standby")
	turn("synchronous_standby_names", "''")
	wantCheck("")

	script("stop", dir+"/pg")
	if err := os.WriteFile(dir+"/pg/data/standby.signal", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	script("start", dir+"/pg")
	wantCheck("it is a standby, until it is promoted")
	_, err = w.Apply(t.Context(), []sink.Change{rows(1010, 1020)})
	for n := 0; n < 10 && err != nil && !strings.Contains(err.Error(), "25006"); n++ { // the old sessions are gone first
		_, err = w.Apply(t.Context(), []sink.Change{rows(1010, 1020)})
	}
	if fault.Of(err) != fault.ClassLater {
		t.Errorf("a standby: %v (%v)", err, fault.Of(err))
	}
	db = &database{connect(t, url), t, url}
	db.run("SELECT pg_promote()")
	wantCheck("")
	if err := insist(t.Context(), w, rows(1010, 1020)); err != nil {
		t.Error(err)
	}
}

// A setting that only administrators may change, and that this user may not change
// back, is named.
func TestReplicationRoleThatMayNotBeSet(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	user := db.role("loader")
	db.run("ALTER ROLE " + user + " SET session_replication_role = replica")
	cfg := db.config()
	cfg.DSN = config.Secret(db.as(user))
	wantRefused(t, postgres.New(cfg).Check(t.Context(), small), "session_replication_role")
}

// TestSettingsTurnedMeanwhile: what turns a setting while a session lives, such as
// ALTER SYSTEM, another client of a pooler or the function of a trigger, does not change
// what its next transactions store, nor whether they outlive a crash.
func TestSettingsTurnedMeanwhile(t *testing.T) {
	t.Parallel()
	load := func(turned bool) string {
		db := newDatabase(t)
		cfg := db.config()
		cfg.Mode, cfg.Key = config.Upsert, []string{"n"}
		w := open(t, cfg, odd)
		db.run("CREATE TABLE seen (commits text)")
		db.trigger("t", "AFTER INSERT ON %s FOR EACH STATEMENT", "INSERT INTO public.seen VALUES (current_setting('synchronous_commit')); RETURN NULL;")
		if turned {
			body := "" // of what happens when a transaction ends
			for _, s := range [][2]string{{"client_encoding", "WIN1252"}, {"standard_conforming_strings", "off"}, {"DateStyle", "SQL, DMY"},
				{"IntervalStyle", "sql_standard"}, {"extra_float_digits", "-15"}, {"synchronous_commit", "off"}} {
				body += fmt.Sprintf("PERFORM set_config('%s', '%s', false); ", s[0], s[1])
			}
			db.trigger("t", "AFTER INSERT ON %s DEFERRABLE INITIALLY DEFERRED FOR EACH ROW", body+"RETURN NULL;")
		}
		for n := block.Number(0); n < 30; n += 5 {
			if err := insist(t.Context(), w, live(oddRows(n, n+5), uint64(n)+1, uint64(max(n, 4)-4))); err != nil {
				t.Fatal(err)
			}
		}
		return db.text("SELECT string_agg(t::text, E'\\n' ORDER BY block_num) FROM t") + "\n" +
			db.text("SELECT string_agg(concat_ws(' ', block, replaced_by, content), E'\\n' ORDER BY block, replaced_by) FROM ampipe.replaced") + "\n" +
			db.text("SELECT string_agg(DISTINCT commits, ' ') FROM seen")
	}
	if want, got := load(false), load(true); got != want {
		t.Errorf("the database holds\n%s\nwant\n%s", got, want)
	}
}
