package main

import (
	"context"
	"fmt"
	"hash/fnv"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ampipe/ampipe/pkg/ops"
)

// warehouse is a configuration that loads all blocks into a table of PostgreSQL. $URL is
// the connection string of the user loader and $MORE what else the sink is given.
const warehouse = `
pipeline: logs
source: { amp: $AMP, query: "SELECT block_num, log_index, address FROM eth.logs" }
range: { max_block: 40 }
nats: { embedded: ./nats }
sinks: [ { name: pg, postgres: { dsn: "$URL", table: logs $MORE } } ]
`

// warehouseSite is a database of its own, with a user who loads it.
type warehouseSite struct {
	*site
	admin  *pgx.Conn
	loader string
}

// newWarehouse makes the database and the user and sets $URL and $MORE.
func newWarehouse(s *site) *warehouseSite {
	s.Helper()
	server := os.Getenv("AMPIPE_TEST_POSTGRES")
	if server == "" {
		s.Skip("AMPIPE_TEST_POSTGRES is not set; see scripts/test")
	}
	return newWarehouseAt(s, server)
}

// newWarehouseAt makes them at a server.
func newWarehouseAt(s *site, server string) *warehouseSite {
	s.Helper()
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(s.dir)) // it never fails
	name := fmt.Sprintf("warehouse_%x", hash.Sum64())
	s.sqlAt(server, "CREATE DATABASE "+name)
	s.Cleanup(func() { s.sqlAt(server, "DROP DATABASE "+name+" WITH (FORCE)") })
	at := replaced(s, server, func(u *url.URL) { u.Path = "/" + name })
	admin, err := pgx.Connect(s.Context(), at)
	if err != nil {
		s.Fatal(err)
	}
	p := &warehouseSite{site: s, admin: admin, loader: name + "_loader"}
	p.run("CREATE ROLE " + p.loader + " LOGIN; GRANT CREATE ON DATABASE " + name + " TO " + p.loader + "; GRANT USAGE, CREATE ON SCHEMA public TO " + p.loader)
	s.Cleanup(func() { p.run("DROP OWNED BY " + p.loader + " CASCADE; DROP ROLE " + p.loader) })
	s.vars["URL"] = replaced(s, at, func(u *url.URL) { u.User = url.User(p.loader) })
	s.vars["MORE"] = ""
	return p
}

func replaced(s *site, dsn string, change func(*url.URL)) string {
	s.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		s.Fatal(err)
	}
	change(u)
	return u.String()
}

// run runs statements as an administrator of the database.
func (p *warehouseSite) run(statements string) {
	p.Helper()
	if _, err := p.admin.Exec(context.Background(), statements, pgx.QueryExecModeSimpleProtocol); err != nil {
		p.Fatalf("%s: %v", statements, err)
	}
}

// runAdvised runs the statement that check advises, with names in place of "…".
func (p *warehouseSite) runAdvised(statement string, names ...string) {
	p.Helper()
	found := regexp.MustCompile(`run (` + statement + `)`).FindStringSubmatch(p.say)
	if found == nil {
		p.Fatalf("no %q in: %s", statement, p.say)
	}
	sql := found[1]
	for _, name := range names {
		sql = strings.Replace(sql, "…", name, 1)
	}
	p.run(sql)
}

// script runs a script of the project and returns what it prints.
func (s *site) script(name string, args ...string) string {
	s.Helper()
	return script(s.T, nil, name, args...)
}

// script runs a script of the project with further variables of the environment.
func script(t *testing.T, env []string, name string, args ...string) string {
	t.Helper()
	c := exec.Command("../../scripts/"+name, args...)
	c.Env = append(os.Environ(), env...)
	c.Stderr = os.Stderr
	out, err := c.Output()
	if err != nil {
		t.Fatalf("scripts/%s %q: %v", name, args, err)
	}
	return strings.TrimSpace(string(out))
}

// folder returns one that other users may enter, as servers need.
func (s *site) folder() string {
	s.Helper()
	return openFolder(s.T)
}

func openFolder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "ampipe-environment")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) }) // what is left is in the folder for such
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// logs is the table as an administrator makes it.
const logs = "CREATE TABLE logs (block_num bigint, log_index bigint, address bytea); CREATE INDEX ON logs (block_num); "

// withDatabase makes an environment of which such a database is a part.
func withDatabase(e environment, breaks, mends func(*warehouseSite)) environment {
	var p *warehouseSite
	e.breaks = func(s *site) { p = newWarehouse(s); breaks(p) }
	e.mends = func(*site) { mends(p) }
	if e.config == "" {
		e.config = warehouse
	}
	return e
}

func TestEnvironmentsOfPostgreSQL(t *testing.T) {
	t.Parallel()
	var holder, reader *pgx.Conn
	try(t, []environment{
		withDatabase(environment{
			name: "a user who may have no connection",
			says: "the server has no connection to spare; if the message names a role or a database, run ALTER ROLE",
			exit: ops.ExitFailed, waits: true,
		}, func(p *warehouseSite) {
			p.run("ALTER ROLE " + p.loader + " CONNECTION LIMIT 0")
		}, func(p *warehouseSite) {
			p.runAdvised("ALTER ROLE … CONNECTION LIMIT -1", p.loader)
		}),
		withDatabase(environment{
			name:  "a user who may have fewer connections than the sinks use",
			says:  "the sinks of this configuration use up to 5 connections, and the user",
			warns: true,
		}, func(p *warehouseSite) {
			p.run("ALTER ROLE " + p.loader + " CONNECTION LIMIT 3")
		}, func(p *warehouseSite) {
			p.runAdvised(`ALTER ROLE \S+ CONNECTION LIMIT \d+`)
		}),
		{
			name:   "a server that is read only",
			config: warehouse,
			says:   "the server takes no writes: its configuration has default_transaction_read_only = on",
			exit:   ops.ExitFailed, waits: true,
			breaks: func(s *site) {
				dir := s.folder()
				s.vars["URL"], s.vars["MORE"] = s.script("postgres", "start", dir+"/pg"), ""
				s.Cleanup(func() { s.script("postgres", "stop", dir+"/pg", "immediate") })
				s.readOnly(s.vars["URL"], "on")
			},
			mends: func(s *site) { s.readOnly(s.vars["URL"], "off") },
		},
		withDatabase(environment{
			name: "a table of another user, and a right that is missing",
			says: "lacks rights; run GRANT DELETE ON",
		}, func(p *warehouseSite) {
			p.run(logs + "GRANT SELECT, INSERT ON logs TO " + p.loader)
		}, func(p *warehouseSite) {
			p.runAdvised(`GRANT DELETE ON .*`)
		}),
		withDatabase(environment{
			name: "a publication, and a table without a replica identity",
			says: "because a publication publishes that and the table has no replica identity",
		}, func(p *warehouseSite) {
			p.run(logs + "GRANT SELECT, INSERT, DELETE ON logs TO " + p.loader + "; CREATE PUBLICATION everything FOR ALL TABLES")
		}, func(p *warehouseSite) {
			p.runAdvised(`ALTER TABLE \S+ REPLICA IDENTITY FULL`)
		}),
		withDatabase(environment{
			name: "a table to empty, to which a foreign key refers",
			says: "PostgreSQL does not truncate a table to which a foreign key refers",
		}, func(p *warehouseSite) {
			p.vars["MORE"] = ", overwrite: true"
			p.run(logs + "ALTER TABLE logs ADD UNIQUE (block_num, log_index); GRANT SELECT, INSERT, DELETE, TRUNCATE ON logs TO " + p.loader +
				"; CREATE TABLE notes (block_num bigint, log_index bigint, FOREIGN KEY (block_num, log_index) REFERENCES logs (block_num, log_index))")
		}, func(p *warehouseSite) {
			p.runAdvised(`ALTER TABLE \S+ DROP CONSTRAINT "[^"]+"`)
		}),
		withDatabase(environment{
			name: "an event trigger that forbids to make tables",
			says: "a trigger, or an event trigger, of the database raised an error; mend or drop it",
		}, func(p *warehouseSite) {
			p.run(`CREATE FUNCTION no_tables() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'ask the administrators'; END $$;
				CREATE EVENT TRIGGER no_tables ON ddl_command_start WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION no_tables()`)
		}, func(p *warehouseSite) {
			p.run("DROP EVENT TRIGGER no_tables")
		}),
		withDatabase(environment{
			name: "a lock that somebody holds",
			says: "waits for a lock that is held by process",
			exit: ops.ExitFailed, waits: true,
		}, func(p *warehouseSite) {
			p.run(logs + "GRANT SELECT, INSERT, DELETE ON logs TO " + p.loader)
			holder = dial(p.site, replaced(p.site, p.vars["URL"], func(u *url.URL) { u.User = url.User(p.admin.Config().User) }))
			if _, err := holder.Exec(p.Context(), "BEGIN; LOCK TABLE logs IN SHARE MODE"); err != nil {
				p.Fatal(err)
			}
		}, func(p *warehouseSite) {
			if _, err := holder.Exec(p.Context(), "COMMIT"); err != nil {
				p.Fatal(err)
			}
		}),
		withDatabase(environment{
			name:  "a column to add, and somebody who reads",
			says:  "waits for a lock that is held by process",
			warns: true, waits: true,
		}, func(p *warehouseSite) {
			p.vars["MORE"] = ", schema_evolution: true"
			p.run(logs + "ALTER TABLE logs DROP COLUMN address; ALTER TABLE logs OWNER TO " + p.loader)
			reader = dial(p.site, replaced(p.site, p.vars["URL"], func(u *url.URL) { u.User = url.User(p.admin.Config().User) }))
			if _, err := reader.Exec(p.Context(), "BEGIN; SELECT count(*) FROM logs"); err != nil {
				p.Fatal(err)
			}
		}, func(p *warehouseSite) {
			if _, err := reader.Exec(p.Context(), "COMMIT"); err != nil {
				p.Fatal(err)
			}
		}),
		withDatabase(environment{
			name:   "a setting that a pooler does not pass on",
			says:   "the pooler does not pass this setting on; take it out of the dsn",
			config: strings.Replace(warehouse, "$URL", "$URL&work_mem=8MB", 1),
			mended: warehouse,
		}, func(p *warehouseSite) {
			dir := p.folder()
			p.vars["URL"] = p.script("pgbouncer", "start", dir+"/pgbouncer", p.vars["URL"])
			p.Cleanup(func() { p.script("pgbouncer", "stop", dir+"/pgbouncer") })
		}, func(*warehouseSite) {}),
		withDatabase(environment{
			name:   "keys of other programs in the connection string",
			says:   "schema: write schema: beside table: instead; connection_limit: is a key of another client's pool",
			config: strings.Replace(warehouse, "$URL", "$URL&schema=public&connection_limit=3&gssencmode=disable", 1),
			mended: strings.Replace(warehouse, "$URL", "$URL&gssencmode=disable", 1),
		}, func(*warehouseSite) {}, func(*warehouseSite) {}),
	})
}

func dial(s *site, dsn string) *pgx.Conn {
	s.Helper()
	conn, err := pgx.Connect(s.Context(), dsn)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { _ = conn.Close(context.Background()) }) // its work is done
	return conn
}

// readOnly makes a server read only, or not, and waits until new sessions see it.
func (s *site) readOnly(dsn, value string) {
	s.Helper()
	admin := dial(s, dsn)
	for _, sql := range []string{"SET default_transaction_read_only = off", "ALTER SYSTEM SET default_transaction_read_only = " + value, "SELECT pg_reload_conf()"} {
		if _, err := admin.Exec(s.Context(), sql); err != nil {
			s.Fatal(err)
		}
	}
	for deadline := time.Now().Add(firstMinute); ; {
		var now string
		if err := dial(s, dsn).QueryRow(s.Context(), "SHOW default_transaction_read_only").Scan(&now); err != nil {
			s.Fatal(err)
		}
		if now == value {
			return
		}
		if time.Now().After(deadline) {
			s.Fatalf("the server has default_transaction_read_only = %s", now)
		}
	}
}
