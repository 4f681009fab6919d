package postgres_test

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/postgres"
)

// loader makes a user that may make what it needs, and returns the configuration of a
// sink that loads as this user.
func (d *database) loader() (user string, cfg config.Postgres) {
	d.Helper()
	user, cfg = d.role("loader"), d.config()
	d.run("GRANT CREATE ON DATABASE " + d.Config().Database + " TO " + user + "; GRANT CREATE ON SCHEMA public TO " + user)
	cfg.DSN = config.Secret(d.as(user))
	return user, cfg
}

// advised runs the statement that a text advises.
func (d *database) advised(text string, statement string) {
	d.Helper()
	found := regexp.MustCompile("run (" + statement + ")").FindStringSubmatch(text)
	if found == nil {
		d.Fatalf("%q does not advise %q", text, statement)
	}
	d.run(found[1])
}

// The limits of a role that was made for the queries of analysts do not hold for what
// loads rows, and a lock is waited for longer than they allow.
func TestRoleForAnalysts(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	user, cfg := db.loader()
	for _, limit := range [][2]string{{"statement_timeout", "20ms"}, {"lock_timeout", "50ms"}, {"idle_in_transaction_session_timeout", "20ms"},
		{"transaction_timeout", "20ms"}, {"idle_session_timeout", "500ms"}} {
		if db.text("SELECT count(*) FROM pg_settings WHERE name = $1", limit[0]) == "1" {
			db.run("ALTER ROLE " + user + " SET " + limit[0] + " = '" + limit[1] + "'")
		}
	}
	if err := postgres.New(cfg).Check(t.Context(), small); err != nil {
		t.Fatal(err)
	}
	w := open(t, cfg, small)
	// Each statement takes longer than the role may take.
	db.trigger("t", "AFTER INSERT ON %s FOR EACH STATEMENT", "PERFORM pg_sleep(0.1); RETURN NULL;")
	db.run("BEGIN; LOCK TABLE t IN SHARE MODE") // as CREATE INDEX does
	var group sync.WaitGroup
	group.Go(func() {
		if err := insist(t.Context(), w, rows(0, 10)); err != nil {
			t.Error(err)
		}
	})
	eventually(t, connect(t, db.url), "SELECT count(*) = 1 FROM pg_locks WHERE NOT granted AND relation = 't'::regclass")
	db.run("COMMIT")
	group.Wait()
	wantLoaded(t, db, 10)
}

// Too few connections are reported before they are missed, with the statement that allows
// enough, and the limit of the role, the database and the server are all looked at.
func TestFewConnectionsAreTold(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	name := db.Config().Database
	user, cfg := db.loader() // with 4 writers, so up to 7 connections
	cfg.Beside = 5
	told := func() []string {
		w := postgres.New(cfg)
		if err := w.Check(t.Context(), small); err != nil {
			t.Fatal(err)
		}
		return w.Warnings(small)
	}
	if all := told(); len(all) > 0 {
		t.Fatalf("without a limit: %q", all)
	}
	for limit, statement := range map[string]string{
		"ALTER ROLE " + user + " CONNECTION LIMIT 11":     `ALTER ROLE \S+ CONNECTION LIMIT \d+`,
		"ALTER DATABASE " + name + " CONNECTION LIMIT 12": `ALTER DATABASE \S+ CONNECTION LIMIT \d+`,
	} {
		db.run(limit)
		all := told()
		if len(all) != 1 || !strings.Contains(all[0], "up to 12 connections") {
			t.Fatalf("%s: %q", limit, all)
		}
		db.advised(all[0], statement)
		if all := told(); len(all) > 0 {
			t.Errorf("mended as advised: %q", all)
		}
	}
	cfg.Beside = 10_000
	if all := told(); len(all) != 2+1 || !strings.Contains(all[2], "raise max_connections of the server by") {
		t.Errorf("more than the server has: %q", all)
	}
}

// A session that refuses for as long as it lives does so once.
func TestSessionsThatCarryTheRefusal(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, code string }{
		{"a plan that is of another table", "0A000"},
		{"a prepared statement that is gone", "26000"},
		{"a session that takes no writes", "25006"},
		{"a process that has lost its way", "XX000"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			db := newDatabase(t)
			w := open(t, db.config(), small)
			if err := insist(t.Context(), w, rows(0, 5)); err != nil {
				t.Fatal(err)
			}
			// Whoever has a session already is refused in it for ever.
			db.run("CREATE TABLE old AS SELECT pid FROM pg_stat_activity WHERE datname = current_database()")
			db.trigger("t", "BEFORE INSERT ON %s FOR EACH STATEMENT",
				"IF pg_backend_pid() IN (SELECT pid FROM public.old) THEN RAISE 'not in this session' USING ERRCODE = '"+c.code+"'; END IF; RETURN NULL;")
			_, err := w.Apply(t.Context(), []sink.Change{rows(5, 10)})
			if fault.Of(err) == fault.ClassPermanent {
				t.Errorf("%v (%v)", err, fault.Of(err))
			}
			if err := insist(t.Context(), w, rows(5, 10)); err != nil {
				t.Error(err)
			}
			wantLoaded(t, db, 10)
		})
	}
}

// What is refused in every session stays refused for good.
func TestRefusalsThatNewSessionsRepeat(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	w := open(t, db.config(), small)
	db.trigger("t", "BEFORE INSERT ON %s FOR EACH STATEMENT", "RAISE 'never' USING ERRCODE = '0A000';")
	_, err := w.Apply(t.Context(), []sink.Change{rows(5, 10)})
	wantRefused(t, err, "0A000")
}

// A plan that the server does not keep when somebody changes the table is made anew.
func TestATableThatChangesMeanwhile(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	cfg := db.config()
	cfg.Mode, cfg.Key = config.Upsert, []string{"n"}
	w := open(t, cfg, odd)
	if err := insist(t.Context(), w, oddRows(0, 10), oddRows(10, 20)); err != nil {
		t.Fatal(err)
	}
	for i, sql := range []string{"ALTER TABLE ampipe.tables ADD COLUMN note text", "ALTER TABLE ampipe.coverage ALTER COLUMN batch TYPE varchar", "ALTER TABLE t ADD COLUMN note text"} {
		db.run(sql)
		change := oddRows(20+10*block.Number(i), 30+10*block.Number(i))
		if _, err := w.Apply(t.Context(), []sink.Change{change}); err != nil && fault.Of(err) == fault.ClassPermanent {
			t.Errorf("after %s: %v", sql, err)
		}
		if err := insist(t.Context(), w, change); err != nil {
			t.Errorf("after %s: %v", sql, err)
		}
	}
}

// Every form in which libpq takes where a server is leads to it.
func TestFormsOfConnectionStrings(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	socket := os.Getenv("AMPIPE_TEST_POSTGRES_DIR")
	if socket == "" {
		t.Skip("needs a server of its own; run scripts/postgres run go test ./pkg/sink/postgres/")
	}
	c := db.Config()
	user, name, port := c.User, c.Database, fmt.Sprint(c.Port)
	dir := t.TempDir()
	write := func(file, text string) string {
		path := dir + "/" + file
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	service := write("service.conf", "[mine]\nhost="+c.Host+"\nport="+port+"\nuser="+user+"\ndbname="+name+"\nsslmode=disable\ngssencmode=disable\nkeepalives_idle=9\nfallback_application_name=me\n")
	weird := write("weird.conf", "[mine]\nhost="+c.Host+"\nport="+port+"\nuser="+user+"\ndbname="+name+"\nschema=x\n")
	encrypt := write("encrypt.conf", "[mine]\nhost="+c.Host+"\nport="+port+"\nuser="+user+"\ndbname="+name+"\nrequiressl=1\n")
	pass := write("pass", c.Host+":"+port+":*:"+user+":secret\n")
	for dsn, want := range map[string]string{
		"host=" + c.Host + " port=" + port + " user=" + user + " dbname=" + name + " sslmode=disable gssencmode=disable":     "",
		"postgres://" + user + "@127.0.0.1:1," + c.Host + ":" + port + "/" + name + "?sslmode=disable":                       "",
		"postgres://" + user + "@" + c.Host + ":" + port + "/" + name + "?target_session_attrs=read-write&sslmode=disable\n": "",
		"postgres:///" + name + "?host=" + socket + "&port=" + port + "&user=" + user:                                        "",
		"postgres://" + user + "@" + strings.ReplaceAll(socket, "/", "%2F") + ":" + port + "/" + name:                        "",
		"host=" + socket + " port=" + port + " user=" + user + " dbname=" + name:                                             "",
		"hostaddr=" + c.Host + " port=" + port + " user=" + user + " dbname=" + name + " sslmode=disable":                    "",
		"service=mine servicefile=" + service: "",
		"postgres://" + user + "@" + c.Host + ":" + port + "/" + name + "?sslmode=disable&passfile=" + pass: "",
		"service=other servicefile=" + service: "the service is not in the service file",
		"service=mine servicefile=" + weird:    "schema: write schema: beside table",
		"service=mine servicefile=" + encrypt:  "has to be written as sslmode=require",
		"postgres://" + user + "@" + c.Host + ":" + port + "/" + name + "?sslmode=verify-full&sslrootcert=" + dir + "/no-such":  "no-such: no such file",
		"postgres://" + user + "@" + c.Host + ":" + port + "/" + name + "?sslmode=require":                                      "the server has no TLS",
		"postgres://" + user + "@" + c.Host + ":" + port + "/" + name + "?sslmode=disable&work_mem=much":                        "a setting of the dsn has a value that the server refuses",
		"postgres://" + user + "@" + c.Host + ":" + port + "/" + name + "?sslmode=disable&transaction_timeout=none&role=nobody": "setting", // either may be refused first
		"postgres://" + user + "@" + c.Host + ":" + port + "/no_such_database?sslmode=disable":                                  "the database of the dsn does not exist",
	} {
		pipelines, err := config.Parse("f.yaml", []byte("pipeline: p\nsource: { amp: \"grpc://h:1\", query: SELECT 1 }\nsinks: [ { name: s, postgres: { dsn: \"${DSN}\", table: t } } ]\n"),
			func(string) string { return dsn })
		if err == nil {
			err = postgres.New(*pipelines[0].Sinks[0].Postgres).Check(t.Context(), small)
		}
		switch {
		case want == "" && err != nil:
			t.Errorf("%q: %v", dsn, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%q: %v, want %q", dsn, err, want)
		}
	}
}
