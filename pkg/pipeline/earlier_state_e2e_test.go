package pipeline_test

import (
	"bufio"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ampipe/ampipe/pkg/ops"
	"github.com/ampipe/ampipe/pkg/sink/sinktest"
)

var makeState = flag.String("make-state", "", "version whose states are made, by the commands in AMPIPE_BIN, and written to testdata/states; see scripts/earlier-state")

// The chain of every state in testdata/states. It is a function of these words alone, so
// that a state fits the chain of a server that is started years later. Who changes
// them makes all states useless: versions that exist cannot be asked again.
var (
	earlierChain = []string{"--chain", "eth", "--seed", "13", "--blocks", "200"}
	earlierForks = []struct{ verb, body string }{
		{"mine", `{"blocks": 3}`},
		{"reorg", `{"depth": 12, "blocks": 2}`},
		{"reorg", `{"depth": 2, "blocks": 1}`},
		{"mine", `{"blocks": 2}`},
	}
)

// earlierFile is the configuration of a state; with a row for each block, counting rows
// is counting blocks, and with a slot that is another in each fork, a reorg brings rows
// back that others had replaced. The log is kept for ever: a state gets older.
const earlierFile = `pipeline: earlier
source:
  amp: ${AMP_URL}
  query: >
    SELECT block_num, gas_used % 97 AS slot, timestamp, hash, miner, gas_used, base_fee_per_gas, total_difficulty, extra_data
    FROM eth.blocks
range: { min_block: 0, reorg_buffer: 40, partition_size: 10 }
nats: { embedded: ./nats }
extract: { workers: 1 }
log: { max_bytes: 64MiB, replay: 36500d }
sinks:
`

// earlierDestination is one kind of destination, and what it holds as files.
type earlierDestination struct {
	sinks   string
	save    func(s *earlierState)
	restore func(s *earlierState)
	// made returns what is another value if what holds the rows was made anew.
	made func(s *earlierState) string
}

// earlierState is a pipeline that one version has begun and another continues.
type earlierState struct {
	*growing
	destination earlierDestination
	folder      string // of the state's files
	file        string // pipeline.yaml
	port        int    // of the metrics
}

// TestEarlierStateIsContinued continues what earlier versions have loaded: the history of
// which they had loaded a part, the live chain, and a reorg that is deeper than all
// that they had seen. Nothing is loaded twice, and nothing is made anew.
func TestEarlierStateIsContinued(t *testing.T) {
	t.Parallel()
	versions := []string{*makeState}
	if *makeState == "" {
		versions = nil
		folders, err := os.ReadDir("testdata/states")
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range folders {
			versions = append(versions, f.Name())
		}
	}
	for _, version := range versions {
		for name, d := range map[string]earlierDestination{"postgres": earlierPostgres, "redis": earlierRedis, "delta": earlierDelta} {
			t.Run(version+"/"+name, func(t *testing.T) {
				t.Parallel()
				if name == "redis" && testRedis() == "" {
					t.Skip("AMPIPE_TEST_REDIS is not set: no Redis for end-to-end tests (scripts/test starts one)")
				}
				s := &earlierState{destination: d, folder: filepath.Join("testdata/states", version, name)}
				if *makeState != "" {
					s.make(t)
				}
				s.resume(t)
			})
		}
	}
}

// begin starts the chain of the states, with a folder and a database of its own.
func (s *earlierState) begin(t *testing.T) {
	t.Helper()
	s.growing = newCommandEnv(t).grow(earlierChain...)
	s.port = sinktest.FreePort(t)
	s.ownDatabase()
	s.env = append(s.env, "AMP_URL="+s.amp, "REDIS_URL="+testRedis())
}

func (s *earlierState) run() *process {
	s.t.Helper()
	return s.start("ampipe", "run", "-c", s.file, "--listen", fmt.Sprintf("127.0.0.1:%d", s.port))
}

// make loads the chain until some of its history is still missing, follows it through
// reorgs, stops, and keeps what there is then.
func (s *earlierState) make(t *testing.T) {
	t.Helper()
	s.begin(t)
	text := earlierFile + s.destination.sinks
	s.file = s.growing.file("pipeline.yaml", text)
	var switches any
	s.post("/faults", `{"latency": "150ms"}`, &switches)
	p := s.run()
	s.until(p, "blocks of the history", func(m map[string]float64) bool { return s.least(m, "ampipe_sink_blocks") >= 30 })
	s.until(p, "the live chain", s.liveAt(s.tell("pause", "")))
	s.post("/faults", `{"status": {"at": "info", "code": "UNAVAILABLE", "text": "later", "times": 0}}`, &switches)
	var head chainHead
	for _, f := range earlierForks {
		head = s.tell(f.verb, f.body)
		s.until(p, f.verb+f.body, s.liveAt(head))
	}
	var missing float64
	s.until(p, "everything that was read", func(m map[string]float64) bool {
		missing = s.least(m, "ampipe_sink_missing_blocks")
		return s.sum(m, "ampipe_sink_pending_entries") == 0 && missing > 0 && s.sum(m, "ampipe_extracted_blocks")+missing == s.sum(m, "ampipe_history_blocks")
	})
	if code := p.interrupt(t); code != ops.ExitInterrupted {
		t.Fatalf("exit code %d\n%s", code, p.out)
	}
	if err := os.RemoveAll(s.folder); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(s.folder, 0o755); err != nil {
		t.Fatal(err)
	}
	s.write("pipeline.yaml", text)
	s.write("blocks", fmt.Sprintln(int(head.Number)+1-int(missing)))
	pack(t, filepath.Join(s.folder, "nats.tar.gz"), s.dir, "nats")
	s.destination.save(s)
	s.server.kill()
}

// resume restores a state and continues it.
func (s *earlierState) resume(t *testing.T) {
	t.Helper()
	s.begin(t)
	unpack(t, filepath.Join(s.folder, "nats.tar.gz"), s.dir)
	s.destination.restore(s)
	for _, f := range earlierForks {
		s.tell(f.verb, f.body)
	}

	held, err := strconv.Atoi(strings.TrimSpace(s.read("blocks")))
	if err != nil {
		t.Fatal(err)
	}
	made := s.destination.made(s)

	// A sink that joins now reads what the earlier version has left in the log.
	text := s.read("pipeline.yaml")
	s.file = s.growing.file("pipeline.yaml", text+"  - { name: late, delta: { path: ./late, max_commit_delay: 100ms } }\n")
	sinks := strings.Count(text, " name: ") + 1
	p := s.run()
	s.until(p, "the history", func(m map[string]float64) bool {
		return len(named(m, "ampipe_sink_missing_blocks")) == sinks && s.sum(m, "ampipe_sink_missing_blocks") == 0 &&
			len(named(m, "ampipe_sink_pending_entries")) == 2*sinks && s.sum(m, "ampipe_sink_pending_entries") == 0
	})
	head := s.tell("mine", `{"blocks": 3}`)
	s.until(p, "the live chain", s.liveAt(head))
	if got, want := s.loaded(), int(head.Number)+1-held; got != want {
		t.Errorf("%d rows were loaded, want %d: the others were loaded before\n%s", got, want, p.out)
	}

	// First a part of the live chain that the earlier version had loaded, then all of it
	// and nearly all of the history.
	for _, depth := range []int{30, int(head.Number) + 2 - 15} {
		before := s.loaded()
		s.until(p, "a reorg", s.liveAt(s.tell("reorg", fmt.Sprintf(`{"depth": %d, "blocks": 2}`, depth))))
		if got, want := s.loaded()-before, depth+2; got != want {
			t.Errorf("%d rows were loaded after a reorg, want %d\n%s", got, want, p.out)
		}
		s.verify(s.file)
	}
	if code := p.interrupt(t); code != ops.ExitInterrupted {
		t.Errorf("exit code %d\n%s", code, p.out)
	}
	if now := s.destination.made(s); now != made {
		t.Errorf("%s was made before, and now there is %s", made, now)
	}
}

// loaded returns how many rows the process has read and appended to the log.
func (s *earlierState) loaded() int {
	s.t.Helper()
	rows, ok := s.metrics()[`ampipe_log_rows_total{pipeline="earlier"}`]
	if !ok {
		s.t.Fatal("the process does not say how many rows it has loaded")
	}
	return int(rows)
}

// until waits until the metrics of a process are as wanted.
func (s *earlierState) until(p *process, what string, there func(map[string]float64) bool) {
	s.t.Helper()
	limit := time.After(time.Minute)
	for {
		if m := s.metrics(); len(m) > 0 && there(m) {
			return
		}
		select {
		case <-p.exited:
			s.t.Fatalf("the process ended before it had %s\n%s", what, p.out)
		case <-limit:
			s.t.Fatalf("%s has not come\n%v\n%s", what, s.metrics(), p.out)
		case <-time.After(30 * time.Millisecond):
		}
	}
}

// metrics returns what the process serves; nothing if it serves nothing yet.
func (s *earlierState) metrics() map[string]float64 {
	answer, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/metrics", s.port))
	if err != nil {
		return nil
	}
	defer func() { _ = answer.Body.Close() }() // it is read
	all := map[string]float64{}
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		name, value, ok := strings.Cut(lines.Text(), " ")
		if n, err := strconv.ParseFloat(value, 64); ok && err == nil {
			all[name] = n
		}
	}
	return all
}

// liveAt reports of metrics whether every sink has the head of the chain.
func (s *earlierState) liveAt(h chainHead) func(map[string]float64) bool {
	return func(m map[string]float64) bool {
		sinks := named(m, "ampipe_sink_stopped")
		live := named(m, "ampipe_sink_live_block")
		for _, at := range live {
			if at != float64(h.Number) {
				return false
			}
		}
		return len(live) > 0 && len(live) >= len(sinks)
	}
}

func (s *earlierState) least(m map[string]float64, name string) float64 {
	values := named(m, name)
	if len(values) == 0 {
		return -1
	}
	least := values[0]
	for _, v := range values {
		least = min(least, v)
	}
	return least
}

func (s *earlierState) sum(m map[string]float64, name string) (sum float64) {
	for _, v := range named(m, name) {
		sum += v
	}
	return sum
}

// named returns the values of a metric, whatever its labels.
func named(m map[string]float64, name string) (values []float64) {
	for metric, v := range m {
		if strings.HasPrefix(metric, name+"{") {
			values = append(values, v)
		}
	}
	return values
}
