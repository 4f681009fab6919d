package pipeline_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/sink/sinktest"
)

// cluster is a pipeline as separate processes on a NATS server of its own.
type cluster struct {
	*commandEnv
	file  string
	port  int
	nats  *process
	procs map[string]*process
}

// newCluster starts NATS; the stages are for the test to start.
func newCluster(e *commandEnv, amp string, blocks int, postgres, more string) *cluster {
	e.t.Helper()
	c := &cluster{commandEnv: e, port: sinktest.FreePort(e.t), procs: map[string]*process{}}
	c.nats = e.startNATS(c.port)
	c.file = e.oneSink(amp, logs, blocks, fmt.Sprintf("{ url: \"nats://127.0.0.1:%d\" }", c.port), postgres, more)
	return c
}

// up starts a process of a stage under a name of the test's choice.
func (c *cluster) up(name string) {
	c.t.Helper()
	stage, _, _ := strings.Cut(name, " ")
	c.procs[name] = c.start(stage, "-c", c.file)
}

// finish waits for the planner to say that everything is loaded, and verifies.
func (c *cluster) finish(limit time.Duration) {
	c.t.Helper()
	p := c.procs["planner"]
	if code := p.wait(c.t, limit); code != 0 {
		c.t.Errorf("the planner ended with %d\n%s", code, p.out)
	}
	c.t.Log(c.must("ampipe", "verify", "-c", c.file))
}

// reorgBuffer is the default: so many blocks below the head are the live lane's.
const reorgBuffer = 200

// checkLog fails unless every block of the history is in the log exactly once: then
// no kill made an extractor read again what was there already. (The live lane undoes
// what a kill left unfinished and sends it again.)
func (c *cluster) checkLog(blocks int) {
	c.t.Helper()
	conn, err := queue.Open(c.t.Context(), queue.Config{URL: fmt.Sprintf("nats://127.0.0.1:%d", c.port)})
	if err != nil {
		c.t.Fatal(err)
	}
	defer conn.Close()
	log, err := conn.Log(c.t.Context(), "e2e", queue.LogConfig{MaxBytes: 20 << 30})
	if err != nil {
		c.t.Fatal(err)
	}
	consumer, err := log.Consume(c.t.Context(), "check", queue.ConsumeOptions{})
	if err != nil {
		c.t.Fatal(err)
	}
	defer consumer.Close()
	var have block.Set
	for want := (block.Range{Start: 0, End: block.Number(blocks - reorgBuffer)}); !have.Covers(want); {
		m, err := consumer.Next(c.t.Context())
		if err != nil {
			c.t.Fatal(err)
		}
		if missing := have.Missing(m.Entry.Range); len(missing) != 1 || missing[0] != m.Entry.Range {
			c.t.Errorf("entry %v of lane %s was in the log before", m.Entry.Range, m.Lane)
		}
		have.Add(m.Entry.Range)
		if err := m.Ack(); err != nil {
			c.t.Fatal(err)
		}
	}
}

func TestSeveralProcessesOfEachStage(t *testing.T) {
	t.Parallel()
	e := newCommandEnv(t)
	amp, _ := e.devserver("--chain", "eth_rpc", "--blocks", "1500", "--logs-per-block", "100")
	c := newCluster(e, amp, 1500, "", "extract: { workers: 2 }\n")
	for _, name := range []string{"planner", "extractor 1", "extractor 2", "extractor 3", "sink-postgres 1", "sink-postgres 2"} {
		c.up(name)
	}
	c.finish(3 * time.Minute)
	if n := e.number("SELECT count(*) FROM " + e.schema + ".rows"); n != 150_000 {
		t.Errorf("%d rows, want 150000", n)
	}
}

// TestSkewKeepsWorkersBusy loads chains with nine tenths of their rows in a tenth
// of their blocks: splitting has to keep every worker busy. Streams have a fixed rate, so
// the processor, which is shared with other tests, is not what workers wait for; still the
// best of a few runs counts.
func TestSkewKeepsWorkersBusy(t *testing.T) {
	t.Parallel()
	const most, tries = 10, 4 // percent
	for _, skew := range []string{"0.9/0.1/scattered", "0.9/0.1/contiguous"} {
		t.Run(strings.ReplaceAll(skew, "/", "_"), func(t *testing.T) {
			t.Parallel()
			best := 100
			for range tries {
				if best = min(best, idleShare(t, skew)); best <= most {
					break
				}
			}
			if best > most {
				t.Errorf("a worker idled %d %% of the time", best)
			}
		})
	}
}

// idleShare loads a skewed chain and returns the largest share of the time, in
// percent, that one of the workers had nothing to do.
func idleShare(t *testing.T, skew string) int {
	t.Helper()
	e := newCommandEnv(t)
	amp, server := e.devserver("--chain", "eth_rpc", "--blocks", "16000", "--logs-per-block", "20", "--skew", skew, "--bandwidth", "2000000")
	defer server.kill()
	file := e.oneSink(amp, logs, 16000, embedded, "", "extract: { workers: 4 }\n")
	out := e.must("ampipe", "run", "-c", file)
	idle := regexp.MustCompile(`idle at most (\d+) % of the time`).FindStringSubmatch(out)
	if idle == nil {
		t.Fatalf("run does not tell how long workers idled\n%s", out)
	}
	percent, err := strconv.Atoi(idle[1])
	if err != nil {
		t.Fatal(err)
	}
	t.Log(out)
	e.must("ampipe", "verify", "-c", file)
	return percent
}

// TestCrashes kills every stage at random while a chain is loaded, and crashes
// PostgreSQL and NATS once each. Nothing may be lost, doubled, or read again
// beyond the entry in flight. AMPIPE_CRASH_KILLS=10 is the long form: 2,000,000
// rows, and ten kills of each stage.
func TestCrashes(t *testing.T) {
	t.Parallel()
	e := newCommandEnv(t)
	blocks, kills := 2000, 3
	if n, err := strconv.Atoi(os.Getenv("AMPIPE_CRASH_KILLS")); err == nil {
		blocks, kills = 10_000, n
	}
	seed := rand.Uint64()
	t.Logf("seed %d: %d blocks, %d kills of each stage", seed, blocks, kills)
	rnd := rand.New(rand.NewPCG(seed, 1))

	e.ownPostgres()
	amp, _ := e.devserver("--chain", "eth_rpc", "--blocks", strconv.Itoa(blocks), "--logs-per-block", "200")
	c := newCluster(e, amp, blocks, ", mode: upsert, key: [block_num, log_index]", "extract: { workers: 8 }\n")
	stages := []string{"planner", "extractor", "sink-postgres"}
	for _, stage := range stages {
		c.up(stage)
	}
	order := make([]string, 0, len(stages)*kills)
	for range kills {
		order = append(order, stages...)
	}
	rnd.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	for i, stage := range order {
		time.Sleep(time.Duration(100+rnd.IntN(900)) * time.Millisecond)
		c.procs[stage].kill()
		switch i {
		case len(order) / 3:
			c.nats.kill()
			c.nats = e.startNATS(c.port)
		case 2 * len(order) / 3:
			e.restartPostgres()
		}
		c.up(stage)
	}
	c.finish(10 * time.Minute)
	c.checkLog(blocks)
	if n := e.number("SELECT count(*) FROM " + e.schema + ".rows"); n != int64(blocks)*200 {
		t.Errorf("%d rows, want %d", n, blocks*200)
	}
}

// ownPostgres returns the commandEnv a PostgreSQL server that it may crash.
func (e *commandEnv) ownPostgres() {
	e.t.Helper()
	dir, err := os.MkdirTemp("", "ampipe-postgres-")
	if err != nil {
		e.t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil { // for the user that the server runs as
		e.t.Fatal(err)
	}
	e.postgresDir = dir + "/pg"
	e.dsn = e.postgres("start")
	e.t.Cleanup(func() {
		e.postgres("stop")
		_ = os.RemoveAll(dir)
	})
	e.exec("CREATE SCHEMA " + e.schema)
}

// restartPostgres crashes the commandEnv's own server and starts it again.
func (e *commandEnv) restartPostgres() { e.postgres("restart") }

func (e *commandEnv) postgres(verb string) string {
	e.t.Helper()
	out, err := exec.Command("../../scripts/postgres", verb, e.postgresDir).Output()
	if err != nil {
		e.t.Fatalf("%s PostgreSQL: %v\n%s", verb, err, out)
	}
	return strings.TrimSpace(string(out))
}
