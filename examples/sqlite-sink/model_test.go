package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/pipeline"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/sink"
)

// runsCommand, in the environment, makes the test's own program the command.
const runsCommand = "SQLITE_SINK_TEST_RUNS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(runsCommand) != "" {
		main()
	}
	os.Exit(m.Run())
}

// modelLasts is for how long processes are killed.
const modelLasts = 8 * time.Second

const modelFile = `pipeline: model
source: { amp: %s, query: "SELECT _block_num, log_index, address, topic0, timestamp, data FROM eth.logs" }
range: { reorg_buffer: 50, partition_size: 20 }
nats: { url: %s }
log: { max_bytes: 256MiB }
sinks:
  - { name: events, custom: { kind: sqlite, path: model.db, table: events } }
  - { name: logs, custom: { kind: sqlite, path: model.db, table: logs, mode: upsert, key: [_block_num, log_index] } }
  - { name: latest, custom: { kind: sqlite, path: model.db, table: latest, mode: upsert, key: [address] } }
`

// TestModel loads a chain that grows and forks all the time into three tables, and kills
// every process of the pipeline at random. When it is left alone, each table is what the
// chain is, in every value.
func TestModel(t *testing.T) {
	t.Parallel()
	bin := os.Getenv("AMPIPE_BIN")
	if bin == "" {
		t.Skip("AMPIPE_BIN is not set: no planner, extractor and devserver (make examples builds them)")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	m := &model{T: t, dir: t.TempDir()}
	nats, err := queue.StartServer(t.Context(), queue.ServerConfig{Dir: filepath.Join(m.dir, "nats"), Listen: "127.0.0.1:0", MaxStore: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		err := nats.Close()
		if err != nil {
			t.Errorf("close NATS: %v", err)
		}
	})
	amp, control := m.devserver(filepath.Join(bin, "devserver"))
	file := filepath.Join(m.dir, "pipeline.yaml")
	err = os.WriteFile(file, fmt.Appendf(nil, modelFile, amp, nats.URL()), 0o600)
	if err != nil {
		t.Fatal(err)
	}

	commands := [][]string{
		{filepath.Join(bin, "planner"), "-c", file}, {filepath.Join(bin, "extractor"), "-c", file},
		{filepath.Join(bin, "ampipe"), "run", "-c", file}, // all but the sinks, of which it has no destination
	}
	for _, name := range []string{"events", "logs", "latest", "latest"} { // two processes share one sink
		commands = append(commands, []string{self, "-config", file, "-sink", name})
	}
	random := rand.New(rand.NewPCG(rand.Uint64(), 0))
	processes := make([]*exec.Cmd, len(commands))
	for i, c := range commands {
		processes[i] = m.start(c)
	}
	for until := time.Now().Add(modelLasts); time.Now().Before(until); {
		<-time.After(time.Duration(100+random.IntN(700)) * time.Millisecond)
		i := random.IntN(len(commands))
		m.kill(processes[i])
		processes[i] = m.start(commands[i])
	}
	head := m.pause(control)
	m.verify(file, head)
	for _, c := range processes {
		m.kill(c)
	}
}

// model is a pipeline of processes.
type model struct {
	*testing.T
	dir string

	mu  sync.Mutex
	log bytes.Buffer // of all processes
}

// Write collects what the processes say.
func (m *model) Write(b []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.log.Write(b)
}

func (m *model) start(command []string) *exec.Cmd {
	m.Helper()
	c := exec.Command(command[0], command[1:]...)
	c.Env = append(os.Environ(), runsCommand+"=1")
	c.Stdout, c.Stderr = m, m
	err := c.Start()
	if err != nil {
		m.Fatal(err)
	}
	m.Cleanup(func() { m.kill(c) })
	return c
}

// kill ends a process as a crash does. One that has ended by itself is a failure.
func (m *model) kill(c *exec.Cmd) {
	m.Helper()
	if c.ProcessState != nil {
		return
	}
	_ = c.Process.Kill() // it may have ended by itself, which Wait tells
	_ = c.Wait()
	status, is := c.ProcessState.Sys().(syscall.WaitStatus)
	if !is || !status.Signaled() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.Errorf("%s ended by itself: %v\n%s", filepath.Base(c.Path), c.ProcessState, m.log.String())
	}
}

// devserver starts an Amp server with a chain that grows and forks, and returns its URL
// and that of its control.
func (m *model) devserver(program string) (amp, control string) {
	m.Helper()
	c := exec.Command(program, "--listen", "127.0.0.1:0", "--control", "127.0.0.1:0", "--chain", "eth", "--network", "model", "--blocks", "400",
		"--logs-per-block", "5", "--live", "--block-time", "40ms", "--reorg-every", "6", "--reorg-depth", "1-60/5", "--log", "error")
	out, err := c.StdoutPipe()
	if err != nil {
		m.Fatal(err)
	}
	err = c.Start()
	if err != nil {
		m.Fatal(err)
	}
	m.Cleanup(func() { m.kill(c) })
	lines := bufio.NewScanner(out)
	for (amp == "" || control == "") && lines.Scan() {
		word, address, _ := strings.Cut(lines.Text(), " ")
		switch word {
		case "listening":
			amp = address
		case "control":
			control = address
		}
	}
	if amp == "" || control == "" {
		m.Fatalf("the development server said nothing of its addresses: %v", lines.Err())
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	return amp, control
}

// pause stops the chain and returns its head.
func (m *model) pause(control string) (head block.Number) {
	m.Helper()
	answer, err := http.Post(control+"/chains/model/pause", "application/json", nil)
	if err != nil {
		m.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }() // it was read
	var chain struct{ Number block.Number }
	err = json.NewDecoder(answer.Body).Decode(&chain)
	if err != nil || answer.StatusCode != http.StatusOK || chain.Number < 400 {
		m.Fatalf("pause the chain: %s, head %d, %v", answer.Status, chain.Number, err)
	}
	return chain.Number
}

// verify waits until every table has the head, and compares it with the source.
func (m *model) verify(file string, head block.Number) {
	m.Helper()
	pipelines, err := config.Load(file, os.Getenv)
	if err != nil {
		m.Fatal(err)
	}
	options := pipeline.Options{Destinations: []sink.Destination{Destination()}, Out: m.Output()}
	ctx, cancel := context.WithTimeout(m.Context(), time.Minute)
	defer cancel()
	for _, s := range pipelines[0].Sinks {
		err := m.reaches(ctx, s, head)
		if err != nil {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.Fatalf("sink %s: %v\n%s", s.Name, err, m.log.String())
		}
	}
	err = pipeline.Verify(ctx, pipelines[0], options)
	if err != nil {
		m.Errorf("verify: %v", err)
	}
}

// reaches waits until a table has every block up to the head.
func (m *model) reaches(ctx context.Context, s config.Sink, head block.Number) error {
	var c Config
	err := s.Custom.Decode(&c)
	if err != nil {
		return err
	}
	db, err := connect(c.Path, "?mode=rw")
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }() // it was only read
	w := &Writer{cfg: c, db: db, table: &table{name: quoted(c.Table)}}
	for {
		state, err := w.State(ctx)
		if err == nil && state.Coverage.Covers(block.Range{End: head + 1}) && state.Live.Cursor.Number == head {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, fmt.Errorf("it has blocks %v, cursor %v, want the head %d", state.Coverage, state.Live.Cursor, head))
		case <-time.After(50 * time.Millisecond):
		}
	}
}
