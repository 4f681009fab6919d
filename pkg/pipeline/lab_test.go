package pipeline_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// lab is what an end-to-end test works with: the real commands, started as
// processes, and a schema of its own in a real PostgreSQL.
type lab struct {
	t      testing.TB
	dir    string
	bin    string
	dsn    string
	schema string

	env []string // of every command, beside the test's own

	postgresDir string // of a server that only this lab uses; empty: there is none
}

// newLab skips the test, aloud, when there is no PostgreSQL.
func newLab(t testing.TB) *lab {
	t.Helper()
	dsn := os.Getenv("AMPIPE_TEST_POSTGRES")
	if dsn == "" {
		t.Skip("AMPIPE_TEST_POSTGRES is not set: no PostgreSQL for end-to-end tests (scripts/test starts one)")
	}
	l := &lab{t: t, dir: t.TempDir(), bin: commands(t), dsn: dsn}
	l.schema = "e2e_" + strings.ToLower(rand.Text())
	l.exec("CREATE SCHEMA " + l.schema)
	t.Cleanup(func() {
		if l.postgresDir == "" {
			l.exec("DROP SCHEMA IF EXISTS " + l.schema + " CASCADE")
		}
	})
	return l
}

var build = sync.OnceValues(func() (string, error) {
	dir := os.Getenv("AMPIPE_BIN")
	if dir == "" {
		var err error
		if dir, err = os.MkdirTemp("", "ampipe-bin-"); err != nil {
			return "", err
		}
		for _, args := range [][]string{{"./cmd/..."}, {"./devserver"}} {
			build := exec.Command("go", append([]string{"build", "-o", dir + "/"}, args...)...)
			build.Dir = "../.."
			if out, err := build.CombinedOutput(); err != nil {
				return "", fmt.Errorf("build %v: %w\n%s", args, err, out)
			}
		}
	}
	nats := exec.Command("go", "build", "-o", filepath.Join(dir, "nats-server"), "github.com/nats-io/nats-server/v2")
	nats.Dir = "../.."
	if out, err := nats.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build nats-server: %w\n%s", err, out)
	}
	return dir, nil
})

// commands returns the folder of the built commands: AMPIPE_BIN, or a build of
// this run.
func commands(t testing.TB) string {
	t.Helper()
	dir, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// exec runs a statement in the database.
func (l *lab) exec(statement string) {
	l.t.Helper()
	l.withDB(func(ctx context.Context, c *pgx.Conn) error {
		_, err := c.Exec(ctx, statement)
		return err
	})
}

// number asks the database for one number.
func (l *lab) number(query string) (n int64) {
	l.t.Helper()
	l.withDB(func(ctx context.Context, c *pgx.Conn) error { return c.QueryRow(ctx, query).Scan(&n) })
	return n
}

func (l *lab) withDB(do func(context.Context, *pgx.Conn) error) {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c, err := pgx.Connect(ctx, l.dsn)
	if err != nil {
		l.t.Fatal(err)
	}
	defer func() { _ = c.Close(ctx) }() // its work is done
	if err := do(ctx, c); err != nil {
		l.t.Fatal(err)
	}
}

// file writes a file into the lab's folder.
func (l *lab) file(name, text string) string {
	l.t.Helper()
	path := filepath.Join(l.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		l.t.Fatal(err)
	}
	return path
}

// process is a running command.
type process struct {
	cmd    *exec.Cmd
	out    *output
	exited chan struct{}
	err    error // valid after exited
}

// start starts one of the commands; it is killed when the test ends.
func (l *lab) start(name string, args ...string) *process {
	l.t.Helper()
	p := &process{cmd: exec.Command(filepath.Join(l.bin, name), args...), out: &output{}, exited: make(chan struct{})}
	p.cmd.Dir = l.dir
	p.cmd.Env = append(os.Environ(), append(l.env, "DATABASE_URL="+l.dsn)...)
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	if err := p.cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	go func() {
		defer close(p.exited)
		p.err = p.cmd.Wait()
	}()
	l.t.Cleanup(p.kill)
	return p
}

// kill ends the process as a crash does.
func (p *process) kill() {
	_ = p.cmd.Process.Signal(syscall.SIGKILL) // it may have ended by itself
	<-p.exited
}

// wait waits for the end and returns the exit code.
func (p *process) wait(t testing.TB, limit time.Duration) int {
	t.Helper()
	select {
	case <-p.exited:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(limit):
		p.kill()
		t.Fatalf("%s did not end within %v\n%s", filepath.Base(p.cmd.Path), limit, p.out)
		return 0
	}
}

// run runs a command to its end and returns its exit code and output.
func (l *lab) run(name string, args ...string) (int, string) {
	l.t.Helper()
	p := l.start(name, args...)
	code := p.wait(l.t, 5*time.Minute)
	return code, p.out.String()
}

// must runs a command that has to succeed.
func (l *lab) must(name string, args ...string) string {
	l.t.Helper()
	code, out := l.run(name, args...)
	if code != 0 {
		l.t.Fatalf("%s %v: exit code %d\n%s", name, args, code, out)
	}
	return out
}

// devserver starts a development Amp server and returns its address.
func (l *lab) devserver(args ...string) (string, *process) {
	l.t.Helper()
	p := l.start("devserver", append([]string{"--listen", "127.0.0.1:0"}, args...)...)
	address := p.out.waitFor(l.t, p, regexp.MustCompile(`(?m)^listening (\S+)$`))
	return address, p
}

// startNATS starts a NATS server on a port that stays the same over restarts. It may
// keep more than the default of log.max_bytes, however little the disk has to spare.
func (l *lab) startNATS(port int) *process {
	l.t.Helper()
	conf := l.file("nats.conf", fmt.Sprintf("jetstream { store_dir: %q, max_file_store: 64GB }\n", filepath.Join(l.dir, "nats")))
	p := l.start("nats-server", "-c", conf, "-a", "127.0.0.1", "-p", fmt.Sprint(port))
	p.out.waitFor(l.t, p, regexp.MustCompile(`Server is (ready)`))
	return p
}

// freePort returns a port on which nothing listens, below those that the system hands out
// to outgoing connections: one of these would take it before it is listened on.
func freePort(t testing.TB) int {
	t.Helper()
	for range 100 {
		port := 10_000 + mathrand.IntN(10_000)
		listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		if err := listener.Close(); err != nil {
			t.Fatal(err)
		}
		return port
	}
	t.Fatal("no free port found")
	return 0
}

// output collects what a process prints.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// waitFor waits until the output matches and returns the first group.
func (o *output) waitFor(t testing.TB, p *process, want *regexp.Regexp) string {
	t.Helper()
	limit := time.After(time.Minute)
	for {
		if m := want.FindStringSubmatch(o.String()); m != nil {
			return m[1]
		}
		select {
		case <-p.exited:
			t.Fatalf("%s ended (%v) before it printed %v\n%s", p.cmd.Path, p.err, want, o)
		case <-limit:
			t.Fatalf("%s did not print %v\n%s", p.cmd.Path, want, o)
		case <-time.After(10 * time.Millisecond):
		}
	}
}
