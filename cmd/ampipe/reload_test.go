package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ampipe/ampipe/pkg/ops"
	"github.com/ampipe/ampipe/pkg/status"
)

// reloadable follows the chain into two destinations.
const reloadable = `
pipeline: logs
source: { amp: $AMP, query: SELECT * FROM eth.logs }
range: { min_block: 0, reorg_buffer: 20 $RANGE }
nats: { embedded: ./nats }
extract: { workers: $WORKERS }
log: { max_bytes: 64MiB }
log_level: $LEVEL
sinks:
  - { name: lake, delta: { path: ./lake, max_commit_delay: 1s } }
  - { name: cache, redis: { url: "$URL", table: log, key: $KEY, writers: $WRITERS } }
`

// reloadTo writes reloadable with values for its words.
func (s *site) reloadTo(workers, writers, level, more string) {
	s.Helper()
	key := "[block_num, log_index]"
	if more == "another key" {
		key, more = "[log_index, block_num]", ""
	}
	s.configure(strings.NewReplacer("$WORKERS", workers, "$WRITERS", writers, "$LEVEL", level, "$RANGE", more, "$KEY", key).Replace(reloadable))
}

// printed is what a process prints, while it runs.
type printed struct {
	*testing.T
	watched
	from int // what is looked at begins there
}

// waits waits until the process has printed each of the texts, since the last call.
func (p *printed) waits(texts ...string) {
	p.Helper()
	for limit := time.Now().Add(firstMinute); ; time.Sleep(20 * time.Millisecond) {
		all := p.String()
		missing := ""
		for _, text := range texts {
			if !strings.Contains(all[p.from:], text) {
				missing = text
			}
		}
		if missing == "" {
			p.from = len(all)
			return
		}
		if time.Now().After(limit) {
			p.Fatalf("the process does not say %s; it says\n%s", missing, all[p.from:])
		}
	}
}

// runs starts ampipe run, which is killed when the test ends.
func (s *site) runs() (*exec.Cmd, *printed) {
	s.Helper()
	c := exec.Command(executable(s.T), "run", "--log-format", "json")
	c.Dir, c.Env = s.dir, append(os.Environ(), runsCommand+"=1")
	out := &printed{T: s.T}
	c.Stdout, c.Stderr = out, out
	if err := c.Start(); err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() {
		_ = c.Process.Kill() // it may have ended
		_ = c.Wait()
	})
	return c, out
}

// TestReload changes the configuration of a process that follows the chain.
func TestReload(t *testing.T) {
	t.Parallel()
	s := &site{T: t, dir: t.TempDir(), amp: ampServer(t, "--live", "--block-time", "300ms"), vars: map[string]string{}}
	s.redisServer()
	s.reloadTo("2", "1", "info", "")
	c, out := s.runs()
	hangUp := func() {
		t.Helper()
		if err := c.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	live := func(o status.Overview) bool { return strings.Contains(o.Sentence, "everything loaded; ") }
	before := positionOf(s.overview("live", live), "cache")

	s.reloadTo("5", "3", "debug", ", partition_size: 7, min_block: 0")
	hangUp() // min_block is there twice
	out.waits(`range.min_block is given twice`, `the configuration was read again and is refused; the settings stay as they are`)
	s.reloadTo("5", "3", "debug", ", partition_size: 7")
	hangUp()
	out.waits(`"key":"extract.workers","from":"2","to":"5"`, `"key":"sinks.cache.redis.writers","from":"1","to":"3"`,
		`"key":"range.partition_size","from":"auto","to":"7"`, `"key":"log_level","from":"info","to":"debug"`)
	if n := strings.Count(out.String(), "the changed key is taken"); n != 4 {
		t.Errorf("%d keys were taken, also of the file with a fault", n)
	}
	s.reloadTo("1", "1", "info", "another key")
	hangUp()
	out.waits(`"key":"extract.workers","from":"5","to":"1"`, `"key":"sinks.cache.redis.writers","from":"3","to":"1"`,
		`"level":"warn","pipeline":"logs","key":"sinks.cache.redis.key",`, `"message":"the changed key does not suit what is loaded: ampipe check says`,
		`"key":"log_level","from":"debug","to":"info"`)
	s.overview("still live", func(o status.Overview) bool { return live(o) && positionOf(o, "cache") > before+5 })
	if err := c.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait() // the exit code says it
	if c.ProcessState.ExitCode() != ops.ExitInterrupted {
		t.Errorf("exit code %d", c.ProcessState.ExitCode())
	}
	s.reloadTo("1", "1", "info", "")
	if code, text, _ := ampipe(t, s.dir, "verify"); code != ops.ExitDone || strings.Count(text, "are equal in source and destination") != 2 {
		t.Errorf("verify: exit code %d\n%s", code, text)
	}
}

// TestAClosedTerminalEndsTheProcess, as an interrupt does.
func TestAClosedTerminalEndsTheProcess(t *testing.T) {
	t.Parallel()
	s := &site{T: t, dir: t.TempDir(), amp: ampServer(t), vars: map[string]string{}}
	s.configure("pipeline: logs\nsource: { amp: $AMP, query: SELECT * FROM eth.logs }\nnats: { embedded: ./nats }\n" +
		"sinks: [ { name: lake, delta: { path: ./lake } } ]\n")
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = master.Close() }() // it may be closed already
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	terminal, err := os.OpenFile(filepath.Join("/dev/pts", fmt.Sprint(n)), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	// Tests that run under nohup ignore SIGHUP, and so would what they start.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	limited, cancel := context.WithTimeout(t.Context(), firstMinute)
	defer cancel()
	c := exec.CommandContext(limited, executable(t), "run")
	c.Dir, c.Env, c.Stderr = s.dir, append(os.Environ(), runsCommand+"=1"), terminal
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill() // it may have ended
		_ = c.Wait()
	})
	_ = terminal.Close() // the process has it; should it end before it prints, reading ends
	printing := make([]byte, 1)
	if _, err := master.Read(printing); err != nil { // it runs
		t.Fatal(err)
	}
	if err := master.Close(); err != nil {
		t.Fatal(err)
	}
	if err := c.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait() // the exit code says it
	if c.ProcessState.ExitCode() != ops.ExitInterrupted {
		t.Errorf("exit code %d", c.ProcessState.ExitCode())
	}
}

// TestReloadOfPostgresWriters has more transactions write to a table, and one again, while it
// is loaded.
func TestReloadOfPostgresWriters(t *testing.T) {
	t.Parallel()
	s := &site{T: t, dir: t.TempDir(), amp: ampServer(t, "--blocks", "8000"), vars: map[string]string{}}
	pg := newWarehouse(s)
	write := func(writers, blocks int) {
		s.configure(fmt.Sprintf(`pipeline: logs
source: { amp: $AMP, query: "SELECT block_num, log_index, address FROM eth.logs" }
range: { max_block: %d, partition_size: 20 }
nats: { embedded: ./nats }
extract: { workers: 4 }
log: { max_bytes: 64MiB }
sinks: [ { name: pg, postgres: { dsn: "$URL", table: logs, writers: %d } } ]
`, blocks, writers))
	}
	write(1, 20)
	if code, out := s.command(firstMinute, "", "run"); code != ops.ExitDone { // it makes the table
		t.Fatalf("run: exit code %d\n%s", code, out)
	}
	// Each transaction takes a while, and later waits where it writes until it is let go.
	pg.run(`CREATE FUNCTION public.waits() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			PERFORM pg_sleep(0.3); PERFORM pg_advisory_xact_lock_shared(4711); RETURN NULL; END $$;
		CREATE TRIGGER waits BEFORE INSERT ON public.logs FOR EACH STATEMENT EXECUTE FUNCTION public.waits()`)
	write(1, 7000) // all of it is history: a transaction of the live lane would write beside the others
	c, out := s.runs()
	for limit := time.Now().Add(firstMinute); pg.numbers("SELECT count(*) FROM public.logs WHERE block_num >= 20")[0] == 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("nothing is loaded\n%s", out.String())
		}
	}
	pg.run("SELECT pg_advisory_lock(4711)")
	waiting := func() int64 {
		return pg.numbers("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 4711 AND NOT granted")[0]
	}
	most := func(want int64) {
		t.Helper()
		seen := int64(0)
		for limit := time.Now().Add(firstMinute); seen < want; time.Sleep(20 * time.Millisecond) {
			seen = max(seen, waiting())
			if time.Now().After(limit) {
				t.Fatalf("at most %d transactions write, want %d\n%s", seen, want, out.String())
			}
		}
		if seen > want {
			t.Errorf("%d transactions write, want %d", seen, want)
		}
	}
	hangUp := func(writers int, says string) {
		t.Helper()
		write(writers, 7000)
		if err := c.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		out.waits(`"key":"sinks.pg.postgres.writers",` + says)
	}
	most(1)
	hangUp(3, `"from":"1","to":"3"`)
	most(3)
	hangUp(2, `"from":"3","to":"2"`)
	pg.run("SELECT pg_advisory_unlock(4711)")
	_ = c.Wait() // the exit code says it
	if c.ProcessState.ExitCode() != ops.ExitDone {
		t.Errorf("exit code %d\n%s", c.ProcessState.ExitCode(), out.String())
	}
	if code, text, _ := ampipe(t, s.dir, "verify"); code != ops.ExitDone || !strings.Contains(text, "equal in source and destination") {
		t.Errorf("verify: exit code %d\n%s", code, text)
	}
}
