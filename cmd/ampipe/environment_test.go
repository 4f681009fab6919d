package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ampipe/ampipe/pkg/ops"
)

// environment is one in which something is wrong that a person has to mend: `ampipe
// check` says it, `ampipe run` says the same within its first minute, and when it is
// mended as the sentence advises, both are content.
type environment struct {
	name string
	// config is the configuration file. $AMP is the address of the development server,
	// $DSN and $REDIS are those of the private servers, $DIR is the folder of the test.
	config string
	// breaks makes the environment what it is; nil: the configuration does.
	breaks func(s *site)
	// says is what a line of both commands contains.
	says string
	// exit is the exit code of check; 0 stands for [ops.ExitConfig].
	exit int
	// waits says that run does not end but waits, and says so; else run ends with
	// exit, too.
	waits bool
	// began says that run stops when it has begun, with [ops.ExitFailed].
	began bool
	// warns says that both are content, and say it nevertheless.
	warns bool
	// mends follows the advice.
	mends func(s *site)
	// mended is the configuration after it; empty: as before.
	mended string
	// onlyCheck says that when it is mended nothing can be loaded within a test.
	onlyCheck bool
}

// site is where an environment is tried.
type site struct {
	*testing.T
	dir string
	amp string
	env []string // of the commands, beside the test's own
	say string   // what check said

	// vars are further words of the configuration that begin with a dollar sign.
	vars map[string]string

	server *natsNode    // of the environments of NATS
	files  int          // that the commands may open; 0: as many as the test
	stop   func() error // ends what stands in the way
}

// firstMinute is how long run may take to say what is wrong.
const firstMinute = time.Minute

// try runs each environment: broken, then mended. Those that break nothing at Amp share
// a server.
func try(t *testing.T, all []environment) {
	amp := ampServer(t)
	for _, e := range all {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			s := &site{T: t, dir: t.TempDir(), amp: amp, vars: map[string]string{}}
			if e.breaks != nil {
				e.breaks(s)
			}
			s.configure(e.config)
			s.broken(e)
			if e.mends != nil {
				e.mends(s)
			}
			if e.mended != "" {
				s.configure(e.mended)
			}
			s.fine(e)
		})
	}
}

func (s *site) configure(text string) {
	s.Helper()
	pairs := []string{"$AMP", s.amp, "$DSN", os.Getenv("AMPIPE_TEST_POSTGRES"), "$REDIS", os.Getenv("AMPIPE_TEST_REDIS"), "$DIR", s.dir}
	for name, value := range s.vars {
		pairs = append([]string{"$" + name, value}, pairs...)
	}
	s.write("pipeline.yaml", strings.NewReplacer(pairs...).Replace(text))
}

func (s *site) write(name, text string) string {
	s.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.Fatal(err)
	}
	return path
}

func (s *site) broken(e environment) {
	s.Helper()
	exit := e.exit
	if exit == 0 && !e.warns {
		exit = ops.ExitConfig
	}
	code, out := s.command(2*firstMinute, "", "check")
	line := lineWith(out, e.says)
	if line == "" || code != exit {
		s.Errorf("check: exit code %d, want %d and %q in\n%s", code, exit, e.says, out)
	}
	s.say = line
	s.record(e, line)
	until := ""
	if e.waits {
		until = e.says
	}
	if e.began {
		exit = ops.ExitFailed
	}
	code, out = s.command(firstMinute, until, "run")
	if lineWith(out, e.says) == "" || (!e.waits && code != exit) {
		s.Errorf("run: exit code %d, want %d and %q in\n%s", code, exit, e.says, out)
	}
}

func (s *site) fine(e environment) {
	s.Helper()
	if code, out := s.command(2*firstMinute, "", "check"); code != 0 || lineWith(out, e.says) != "" {
		s.Errorf("check, when it is mended as advised: exit code %d\n%s", code, out)
	}
	if e.onlyCheck {
		return
	}
	if code, out := s.command(2*firstMinute, "", "run"); code != 0 {
		s.Errorf("run, when it is mended as advised: exit code %d\n%s", code, out)
	}
	if code, out := s.command(2*firstMinute, "", "verify"); code != 0 {
		s.Errorf("verify, when it is mended as advised: exit code %d\n%s", code, out)
	}
}

// record appends what check said to the file of AMPIPE_TEST_SAID, for a person to read.
func (s *site) record(e environment, line string) {
	path := os.Getenv("AMPIPE_TEST_SAID")
	if path == "" {
		return
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.Error(err)
		return
	}
	_, err = fmt.Fprintf(file, "%s: %s\n", e.name, line)
	if err = errors.Join(err, file.Close()); err != nil {
		s.Error(err)
	}
}

// command runs ampipe in the folder of the site until it ends, has printed until, or
// the time is over: then it is told to stop. It returns both of its outputs as one.
func (s *site) command(limit time.Duration, until string, args ...string) (int, string) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), limit)
	defer cancel()
	c := exec.CommandContext(ctx, executable(s.T), args...)
	if s.files > 0 {
		limited := append([]string{"-c", fmt.Sprintf(`ulimit -n %d && exec "$0" "$@"`, s.files), executable(s.T)}, args...)
		c = exec.CommandContext(ctx, "sh", limited...)
	}
	c.Cancel = func() error { return c.Process.Signal(os.Interrupt) }
	c.WaitDelay = 20 * time.Second
	c.Dir = s.dir
	c.Env = append(append(os.Environ(), runsCommand+"=1"), s.env...)
	out := &watched{until: until, seen: cancel}
	c.Stdout, c.Stderr = out, out
	err := c.Run()
	var exit *exec.ExitError
	if err != nil && c.ProcessState == nil && !errors.As(err, &exit) {
		s.Fatal(err)
	}
	return c.ProcessState.ExitCode(), out.String()
}

// watched collects an output, and calls seen once a text is in it.
type watched struct {
	until string
	seen  func()

	mu   sync.Mutex
	text bytes.Buffer
}

func (w *watched) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text.Write(b)
	if w.until != "" && strings.Contains(w.text.String(), w.until) {
		w.seen()
	}
	return len(b), nil
}

func (w *watched) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

func lineWith(text, part string) string {
	for line := range strings.Lines(text) {
		if strings.Contains(line, part) {
			return strings.TrimSpace(line)
		}
	}
	return ""
}

// sql runs statements at the private PostgreSQL; they may contain semicolons.
func (s *site) sql(statements string) {
	s.Helper()
	s.sqlAt(os.Getenv("AMPIPE_TEST_POSTGRES"), statements)
}

// sqlAt runs statements at a PostgreSQL; they may contain semicolons.
func (s *site) sqlAt(server, statements string) {
	s.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c, err := pgx.Connect(ctx, server)
	if err != nil {
		s.Fatal(err)
	}
	defer func() { _ = c.Close(ctx) }() // its work is done
	if _, err := c.Exec(ctx, statements, pgx.QueryExecModeSimpleProtocol); err != nil {
		s.Fatal(err)
	}
}

// built returns the folder of the built commands. Without one the test is skipped, aloud.
func built(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("AMPIPE_BIN")
	if dir == "" {
		t.Skip("AMPIPE_BIN is not set: no built commands and no development server (make build devserver builds them, scripts/test names them)")
	}
	return dir
}

// ampServer starts a development Amp server with a chain of 50 blocks and returns its
// URL. args are added to its command line.
func ampServer(t *testing.T, args ...string) string {
	t.Helper()
	c := exec.Command(filepath.Join(built(t), "devserver"), append([]string{
		"--listen", "127.0.0.1:0", "--chain", "eth", "--blocks", "50", "--logs-per-block", "4",
	}, args...)...)
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill() // it has nothing to save
		_ = c.Wait()
	})
	listening := regexp.MustCompile(`^listening (\S+)`)
	scanner := bufio.NewScanner(out)
	for scanner.Scan() {
		if m := listening.FindStringSubmatch(scanner.Text()); m != nil {
			go func() { _, _ = io.Copy(io.Discard, out) }()
			return m[1]
		}
	}
	t.Fatal("the development server ended before it listened")
	return ""
}
