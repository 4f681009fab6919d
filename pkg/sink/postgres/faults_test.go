package postgres_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/postgres"
)

const password = "s3cr3t/with@signs"

// porter is a server without TLS that asks for the password and then refuses
// everybody in the same way. It returns the connection string that leads to it.
func porter(t *testing.T, code, message string) config.Secret {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	group.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			group.Go(func() {
				defer conn.Close()
				backend := pgproto3.NewBackend(conn, conn)
				first, err := backend.ReceiveStartupMessage()
				if err != nil {
					return
				}
				if _, ok := first.(*pgproto3.SSLRequest); ok {
					_, _ = conn.Write([]byte("N"))
					return
				}
				backend.Send(&pgproto3.AuthenticationCleartextPassword{})
				_ = backend.SetAuthType(pgproto3.AuthTypeCleartextPassword)
				if backend.Flush() != nil {
					return
				}
				if _, err := backend.Receive(); err != nil {
					return
				}
				backend.Send(&pgproto3.ErrorResponse{Severity: "FATAL", Code: code, Message: message})
				_ = backend.Flush()
			})
		}
	})
	t.Cleanup(func() {
		listener.Close()
		group.Wait()
	})
	return config.Secret(fmt.Sprintf("postgres://scott:%s@%s/db?connect_timeout=20", url.QueryEscape(password), listener.Addr()))
}

func TestConnectionsThatFail(t *testing.T) {
	t.Parallel()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	secret := url.QueryEscape(password)
	const plain = "&sslmode=disable"
	for _, c := range []struct {
		name  string
		dsn   config.Secret
		class fault.Class
		want  string
	}{
		{"wrong password", porter(t, "28P01", "password authentication failed") + plain, fault.ClassPermanent, "password"},
		{"no such database", porter(t, "3D000", "no such database") + plain, fault.ClassPermanent, "CREATE DATABASE"},
		{"starting up", porter(t, "57P03", "the database system is starting up") + plain, fault.ClassLater, "starting"},
		{"full", porter(t, "53300", "too many clients") + plain, fault.ClassLater, "max_connections"},
		{"no TLS", porter(t, "", "") + "&sslmode=require", fault.ClassPermanent, "sslmode"},
		{"nobody there", config.Secret("postgres://scott:" + secret + "@" + closed.Addr().String() + "/db"), fault.ClassLater, "refused"},
		{"no URL", config.Secret("postgres://scott:" + password + "@host:port/db"), fault.ClassPermanent, "%XX"},
		{"no pairs", config.Secret("host=h password='" + password), fault.ClassPermanent, "%XX"},
		{"unknown mode", config.Secret("postgres://scott:" + secret + "@host/db?sslmode=sometimes"), fault.ClassPermanent, "%XX"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cfg := config.Postgres{DSN: c.dsn, Schema: "public", Table: "t"}
			for name, err := range map[string]error{
				"open":  postgres.New(cfg).Open(t.Context(), small),
				"check": postgres.New(cfg).Check(t.Context(), small),
			} {
				if err == nil || fault.Of(err) != c.class || !strings.Contains(err.Error(), c.want) {
					t.Errorf("%s: answered with %v (%v), want %v and %q", name, err, fault.Of(err), c.class, c.want)
				}
				for e := err; e != nil; e = errors.Unwrap(e) {
					for _, shown := range []string{fmt.Sprint(e), fmt.Sprintf("%+v", e)} {
						if strings.Contains(shown, password) || strings.Contains(shown, secret) || strings.Contains(shown, "s3cr3t") {
							t.Fatalf("%s: the password is shown: %s", name, shown)
						}
					}
				}
			}
		})
	}
}

// cutter is a proxy in front of the server that cuts the connection when so many
// pieces have gone through it, in both directions together, or instead of the
// answer to a commit.
type cutter struct {
	url      string
	left     atomic.Int64 // pieces before the cut
	seen     atomic.Int64
	deafen   atomic.Bool // cut at the next commit
	deafened atomic.Int64
}

func newCutter(t *testing.T, dsn string) *cutter {
	t.Helper()
	c := new(cutter)
	c.url = relay(t, dsn, func(client, upstream net.Conn) (forth, back func()) {
		return func() { c.pass(client, upstream, true) }, func() { c.pass(upstream, client, false) }
	})
	return c
}

// relay listens in front of the server of a dsn, and returns the dsn of the listener.
// through returns what passes the data of a connection on, in both directions.
func relay(t *testing.T, dsn string, through func(client, upstream net.Conn) (forth, back func())) string {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	server := u.Host
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	u.Host = listener.Addr().String()
	var group sync.WaitGroup
	group.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			upstream, err := net.Dial("tcp", server)
			if err != nil {
				client.Close()
				continue
			}
			forth, back := through(client, upstream)
			group.Go(forth)
			group.Go(back)
		}
	})
	t.Cleanup(func() {
		listener.Close()
		group.Wait()
	})
	return u.String()
}

func (c *cutter) pass(from, to net.Conn, fromClient bool) {
	defer from.Close()
	defer to.Close()
	buf, wrote := make([]byte, 64<<10), false
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		c.seen.Add(1)
		if c.left.Add(-1) < 0 {
			return
		}
		// Also the driver's first look at a session ends with a commit, and writes nothing.
		wrote = wrote || (!fromClient && bytes.Contains(buf[:n], []byte("INSERT 0 1\x00")))
		if wrote && bytes.Contains(buf[:n], []byte("COMMIT\x00")) {
			wrote = false
			if c.deafen.CompareAndSwap(true, false) {
				c.deafened.Add(1)
				return
			}
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

// TestCutAtEveryStep cuts the connection after the first, the second, … piece of
// a call, and calls again.
func TestCutAtEveryStep(t *testing.T) {
	t.Parallel()
	for _, mode := range []config.Mode{config.Append, config.Upsert} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			db := newDatabase(t)
			proxy := newCutter(t, db.url)
			proxy.left.Store(1 << 40)
			cfg := db.config()
			cfg.DSN, cfg.Mode, cfg.Key = config.Secret(proxy.url), mode, []string{"block_num", "n"}
			w := open(t, cfg, small)
			from := block.Number(0)
			before := proxy.seen.Load()
			if err := insist(t.Context(), w, rows(0, 40)); err != nil {
				t.Fatal(err)
			}
			steps := proxy.seen.Load() - before + 4
			lost := 0
			for step := range steps {
				from += 40
				changes := []sink.Change{rows(from, from+20), rows(from+20, from+40)}
				proxy.left.Store(step)
				_, err := w.Apply(t.Context(), changes)
				if err != nil && fault.Of(err) == fault.ClassPermanent {
					t.Fatalf("cut after %d pieces: %v", step, err)
				}
				if err != nil && proxy.left.Load() < 0 {
					lost++
				}
				proxy.left.Store(1 << 40)
				if err := insist(t.Context(), w, changes...); err != nil {
					t.Fatal(err)
				}
				wantLoaded(t, db, from+40)
			}
			if lost < 5 {
				t.Errorf("of %d calls only %d were cut: the test is not what it says", steps, lost)
			}
		})
	}
}

// wantLoaded fails unless the table has one row for each block below end, and
// the coverage says just that.
func wantLoaded(t *testing.T, db *database, end block.Number) {
	t.Helper()
	if got, want := db.text("SELECT concat_ws(' ', count(*), count(DISTINCT block_num), max(block_num)) FROM t"), fmt.Sprintf("%d %[1]d %d", end, end-1); got != want {
		t.Fatalf("rows, blocks and last block are %s, want %s", got, want)
	}
	if got, want := db.text("SELECT string_agg(blocks::text, ' ') FROM ampipe.coverage"), fmt.Sprintf("[0,%d)", end); got != want {
		t.Fatalf("coverage is %s, want %s", got, want)
	}
}

// A commit whose answer is lost was a commit, whether it has a round trip of its own, as
// where triggers have to be looked at, or not.
func TestCommitWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	for _, trigger := range []bool{false, true} {
		db := newDatabase(t)
		proxy := newCutter(t, db.url)
		proxy.left.Store(1 << 40)
		cfg := db.config()
		cfg.DSN = config.Secret(proxy.url)
		w := open(t, cfg, small)
		if trigger {
			db.trigger("t", "AFTER INSERT ON %s FOR EACH STATEMENT", "RETURN NULL;")
		}
		commitWithoutAnAnswer(t, db, w, proxy)
	}
}

func commitWithoutAnAnswer(t *testing.T, db *database, w sink.Writer, proxy *cutter) {
	t.Helper()
	for i := range block.Number(5) {
		proxy.deafen.Store(true)
		changes := []sink.Change{rows(10*i, 10*i+10)}
		_, err := w.Apply(t.Context(), changes)
		if fault.Of(err) != fault.ClassLater {
			t.Fatalf("a lost answer gives %v (%v)", err, fault.Of(err))
		}
		if proxy.deafened.Load() != int64(i)+1 {
			t.Fatalf("the connection was lost otherwise: %v", err)
		}
		wantLoaded(t, db, 10*i+10)
		var got sink.Applied
		err = fault.Retry(t.Context(), fault.Backoff{Min: time.Millisecond}, func(ctx context.Context) (err error) {
			got, err = w.Apply(ctx, changes)
			return err
		}, nil)
		if err != nil || got != (sink.Applied{Skipped: 10}) {
			t.Errorf("the repetition gives %+v: %v", got, err)
		}
		wantLoaded(t, db, 10*i+10)
	}
}

// TestIdleConnectionsThatAreCut: a connection that the server has closed meanwhile is
// replaced, also if it was used a moment ago, and nobody hears of it.
func TestIdleConnectionsThatAreCut(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	w := open(t, db.config(), small)
	const sessions = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'ampipe%'"
	for n := range block.Number(4) {
		if _, err := w.Apply(t.Context(), []sink.Change{rows(n, n+1)}); err != nil {
			t.Fatal(err)
		}
		db.run("SELECT pg_terminate_backend(pid) FROM (" + sessions + ") AS own")
		eventually(t, db.Conn, "SELECT NOT EXISTS ("+sessions+")")
	}
	if _, err := w.State(t.Context()); err != nil {
		t.Error(err)
	}
	wantLoaded(t, db, 4)
}

// TestConnectionsAreKeptWhenThereAreNoMore: a sink that gets no further connection does
// not give up those that it has, for which others wait.
func TestConnectionsAreKeptWhenThereAreNoMore(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	user := db.role("loader")
	db.run("GRANT CREATE ON DATABASE " + db.Config().Database + " TO " + user + "; GRANT CREATE ON SCHEMA public TO " + user + "; ALTER ROLE " + user + " CONNECTION LIMIT 1")
	cfg := db.config()
	cfg.DSN = config.Secret(db.as(user))
	w := open(t, cfg, small)
	pid := "SELECT pid FROM pg_stat_activity WHERE usename = '" + user + "'"
	before := db.text(pid)
	db.run("BEGIN; LOCK TABLE t")
	var group sync.WaitGroup
	group.Go(func() {
		if err := insist(context.Background(), w, rows(0, 5)); err != nil {
			t.Error(err)
		}
	})
	eventually(t, db.Conn, "SELECT count(*) = 1 FROM pg_locks WHERE NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())")
	if _, err := w.Apply(t.Context(), []sink.Change{rows(5, 10)}); fault.Of(err) != fault.ClassLater || !strings.Contains(fmt.Sprint(err), "53300") {
		t.Errorf("answered with %v (%v)", err, fault.Of(err))
	}
	db.run("COMMIT")
	group.Wait()
	if err := insist(t.Context(), w, rows(5, 10)); err != nil {
		t.Error(err)
	}
	if after := db.text(pid); after != before {
		t.Errorf("the session was %s and is %s", before, after)
	}
}
