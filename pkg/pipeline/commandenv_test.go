package pipeline_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// commandEnv is what an end-to-end test works with: the real commands, started as
// processes, and a schema of its own in a real PostgreSQL.
type commandEnv struct {
	t      testing.TB
	dir    string
	bin    string
	dsn    string
	schema string

	env []string // of every command, beside the test's own

	postgresDir string // of a server that only this commandEnv uses; empty: there is none
}

// newCommandEnv skips the test, aloud, when there is no PostgreSQL.
func newCommandEnv(t testing.TB) *commandEnv {
	t.Helper()
	dsn := os.Getenv("AMPIPE_TEST_POSTGRES")
	if dsn == "" {
		t.Skip("AMPIPE_TEST_POSTGRES is not set: no PostgreSQL for end-to-end tests (scripts/test starts one)")
	}
	e := &commandEnv{t: t, dir: t.TempDir(), bin: commands(t), dsn: dsn}
	e.schema = "e2e_" + strings.ToLower(rand.Text())
	e.exec("CREATE SCHEMA " + e.schema)
	t.Cleanup(func() {
		if e.postgresDir == "" {
			e.exec("DROP SCHEMA IF EXISTS " + e.schema + " CASCADE")
		}
	})
	return e
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
	server := filepath.Join(dir, "nats-server")
	_, err := os.Stat(server)
	if err == nil {
		return dir, nil
	}
	nats := exec.Command("go", "build", "-o", server, "github.com/nats-io/nats-server/v2")
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
func (e *commandEnv) exec(statement string) {
	e.t.Helper()
	e.withDB(func(ctx context.Context, c *pgx.Conn) error {
		_, err := c.Exec(ctx, statement)
		return err
	})
}

// number asks the database for one number.
func (e *commandEnv) number(query string) (n int64) {
	e.t.Helper()
	e.withDB(func(ctx context.Context, c *pgx.Conn) error { return c.QueryRow(ctx, query).Scan(&n) })
	return n
}

func (e *commandEnv) withDB(do func(context.Context, *pgx.Conn) error) {
	e.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c, err := pgx.Connect(ctx, e.dsn)
	if err != nil {
		e.t.Fatal(err)
	}
	defer func() { _ = c.Close(ctx) }() // its work is done
	if err := do(ctx, c); err != nil {
		e.t.Fatal(err)
	}
}

// file writes a file into the commandEnv's folder.
func (e *commandEnv) file(name, text string) string {
	e.t.Helper()
	path := filepath.Join(e.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		e.t.Fatal(err)
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
func (e *commandEnv) start(name string, args ...string) *process {
	e.t.Helper()
	return e.startWith(nil, name, args...)
}

// startWith starts a command with further variables of its own.
func (e *commandEnv) startWith(env []string, name string, args ...string) *process {
	e.t.Helper()
	p := &process{cmd: exec.Command(filepath.Join(e.bin, name), args...), out: &output{}, exited: make(chan struct{})}
	p.cmd.Dir = e.dir
	p.cmd.Env = slices.Concat(os.Environ(), e.env, []string{"DATABASE_URL=" + e.dsn}, env)
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	if err := p.cmd.Start(); err != nil {
		e.t.Fatal(err)
	}
	go func() {
		defer close(p.exited)
		p.err = p.cmd.Wait()
	}()
	e.t.Cleanup(p.kill)
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
func (e *commandEnv) run(name string, args ...string) (int, string) {
	e.t.Helper()
	p := e.start(name, args...)
	code := p.wait(e.t, 5*time.Minute)
	return code, p.out.String()
}

// must runs a command that has to succeed.
func (e *commandEnv) must(name string, args ...string) string {
	e.t.Helper()
	code, out := e.run(name, args...)
	if code != 0 {
		e.t.Fatalf("%s %v: exit code %d\n%s", name, args, code, out)
	}
	return out
}

// devserver starts a development Amp server and returns its address.
func (e *commandEnv) devserver(args ...string) (string, *process) {
	e.t.Helper()
	p := e.start("devserver", append([]string{"--listen", "127.0.0.1:0"}, args...)...)
	address := p.out.waitFor(e.t, p, regexp.MustCompile(`(?m)^listening (\S+)$`))
	return address, p
}

// startNATS starts a NATS server on a port that stays the same over restarts. It may
// keep more than the default of log.max_bytes, however little the disk has to spare.
func (e *commandEnv) startNATS(port int) *process {
	e.t.Helper()
	conf := e.file("nats.conf", fmt.Sprintf("jetstream { store_dir: %q, max_file_store: 64GB }\n", filepath.Join(e.dir, "nats")))
	p := e.start("nats-server", "-c", conf, "-a", "127.0.0.1", "-p", fmt.Sprint(port))
	p.out.waitFor(e.t, p, regexp.MustCompile(`Server is (ready)`))
	return p
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
