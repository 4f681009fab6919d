package postgres_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/postgres"
)

// takeover is how long another process may need until it writes in place of one
// that has frozen: ten seconds are promised, and a busy test machine adds its own.
// PostgreSQL 12 and 13 do not report the progress of a COPY, so it is waited for longer there.
const (
	takeover        = 15 * time.Second
	takeoverOfACopy = 40 * time.Second
)

// childDSN makes the test binary a process of a sink, which applies blocks 0 to 9 to
// the table small.
const childDSN = "AMPIPE_TEST_CHILD_DSN"

func child(dsn string) int {
	cfg := config.Postgres{DSN: config.Secret(dsn), Schema: "public", Table: "t", Mode: config.Append, Writers: 1, Finality: 10_000}
	w := postgres.New(cfg)
	if err := w.Open(context.Background(), small); err != nil {
		fmt.Println("error:", err)
		return 1
	}
	fmt.Println("open")
	for {
		got, err := w.Apply(context.Background(), []sink.Change{rows(0, 10)})
		switch {
		case err == nil:
			fmt.Println("done:", got.Rows+got.Skipped)
			return 0
		case fault.Of(err) == fault.ClassPermanent:
			fmt.Println("error:", err)
			return 1
		default:
			fmt.Println("again:", err)
			time.Sleep(100 * time.Millisecond)
		}
	}
}

// holder is a proxy in front of the server that holds back what a client sends from
// a statement on.
type holder struct {
	url     string
	reached chan struct{} // closed when it holds something back
	release chan struct{} // closed by the test
}

// hold makes a holder. after: the statement itself, and a part of what follows it,
// goes through.
func hold(t *testing.T, dsn, statement string, after bool) *holder {
	t.Helper()
	h := &holder{reached: make(chan struct{}), release: make(chan struct{})}
	var once sync.Once
	h.url = relay(t, dsn, func(client, upstream net.Conn) (forth, back func()) {
		forth = func() {
			defer client.Close()
			defer upstream.Close()
			buf, follows := make([]byte, 64<<10), false
			for {
				n, err := client.Read(buf)
				if err != nil {
					return
				}
				piece, through := buf[:n], n
				switch at := bytes.Index(piece, []byte(statement)); {
				case statement != "" && at >= 0 && !after:
					through = 0
				case statement != "" && at >= 0:
					end := at + bytes.IndexByte(piece[at:], 0) + 1
					through = end + (n-end)/2
					follows = end == n
				case follows:
					through = n / 2
				}
				if _, err := upstream.Write(piece[:through]); err != nil {
					return
				}
				if through < n {
					once.Do(func() { close(h.reached) })
					<-h.release
					follows = false
					if _, err := upstream.Write(piece[through:]); err != nil {
						return
					}
				}
			}
		}
		return forth, func() {
			defer client.Close()
			defer upstream.Close()
			_, _ = io.Copy(client, upstream)
		}
	})
	return h
}

// A process that freezes inside a transaction is relieved of it by another one of
// the same sink, which says meanwhile whom it waits for. When it wakes it applies
// nothing twice.
func TestFrozenProcess(t *testing.T) {
	t.Parallel()
	alone := sink.Removal(block.Range{Start: 20, End: 25}) // beside others it could not be done
	for _, c := range []struct {
		name, statement string
		after           bool // it freezes after a part of what follows the statement
		change          sink.Change
		does            string
	}{
		{"between two statements", "FROM STDIN (FORMAT", false, alone, "idle in transaction since"},
		{"inside COPY", "FROM STDIN (FORMAT", true, alone, "COPY since"},
		{"before the commit", "INSERT INTO ampipe.coverage (", false, rows(0, 10), "idle in transaction since"},
		{"while it waits for a lock", "", false, alone, "idle in transaction since"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			db := newDatabase(t)
			h := hold(t, db.url, c.statement, c.after)
			w := open(t, db.config(), small)
			if c.statement == "" {
				db.run("BEGIN; SELECT pg_advisory_xact_lock(x'616d7069'::integer, id) FROM ampipe.tables") // opening does not take it
			}
			process, said := startChild(t, h.url)
			if c.statement == "" {
				eventually(t, connect(t, db.url), "SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")
			} else {
				<-h.reached
			}
			if err := process.Signal(syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
			if c.statement == "" {
				db.run("COMMIT")
				eventually(t, db.Conn, holdsTable) // the server does not know that nobody listens
			}
			reasons := ""
			began := time.Now()
			for {
				_, err := w.Apply(t.Context(), []sink.Change{c.change})
				if err == nil {
					break
				}
				if fault.Of(err) == fault.ClassPermanent || time.Since(began) > time.Minute {
					t.Fatal(err)
				}
				reasons += err.Error() + "\n"
				time.Sleep(fault.After(err))
			}
			took := time.Since(began)
			t.Logf("took over after %v; meanwhile it said\n%s", took, reasons)
			most := takeover
			if c.after && db.version() < 14 {
				most = takeoverOfACopy
			}
			if took > most {
				t.Errorf("took over only after %v", took)
			}
			for _, text := range []string{fmt.Sprintf(`"ampipe %d@`, process.Pid), "held by another transaction of ampipe, process ", c.does, "public.t"} {
				if !strings.Contains(reasons, text) {
					t.Errorf("it does not say %q", text)
				}
			}
			close(h.release)
			if err := process.Signal(syscall.SIGCONT); err != nil {
				t.Fatal(err)
			}
			if line := <-said; line != "done: 10" {
				t.Errorf("the process that was frozen ends with %q", line)
			}
			if err := insist(t.Context(), w, rows(0, 10)); err != nil {
				t.Error(err)
			}
			wantLoaded(t, db, 10)
		})
	}
}

// If nobody waits for a process that has frozen, the server ends its transaction.
func TestFrozenProcessIsEndedByTheServer(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	h := hold(t, db.url, "FROM STDIN (FORMAT", false)
	process, said := startChild(t, h.url)
	<-h.reached
	if err := process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if db.text(holdsTable) != "true" {
		t.Error("the process has frozen without a lock")
	}
	eventually(t, db.Conn, "SELECT NOT ("+holdsTable+")")
	close(h.release)
	if err := process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if line := <-said; line != "done: 10" {
		t.Errorf("the process that was frozen ends with %q", line)
	}
	wantLoaded(t, db, 10)
}

// startChild starts another process of the sink. The last line that it says comes
// through the channel when it has ended.
func startChild(t *testing.T, dsn string) (*os.Process, <-chan string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), childDSN+"="+dsn)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	last := make(chan string, 1)
	var group sync.WaitGroup
	group.Go(func() {
		line := ""
		for lines := bufio.NewScanner(out); lines.Scan(); {
			line = lines.Text()
		}
		_ = cmd.Wait() // it has said what there is to say
		last <- line
	})
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it has ended, unless the test failed
		group.Wait()
	})
	return cmd.Process, last
}

// holdsTable asks whether a transaction of ampipe has the lock of a table.
const holdsTable = "SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'advisory' AND classid = x'616d7069'::integer AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"

// eventually waits until a query answers with true.
func eventually(t *testing.T, conn *pgx.Conn, query string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		var holds bool
		if err := conn.QueryRow(context.Background(), query).Scan(&holds); err != nil {
			t.Fatal(err)
		}
		if holds {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("it does not come to that: %s", query)
		}
	}
}
