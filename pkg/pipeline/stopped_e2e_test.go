package pipeline_test

import (
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ampipe/ampipe/pkg/health"
)

// refusedAt500 is a query with a text that PostgreSQL cannot hold in block 500, and
// every other destination can.
const refusedAt500 = "SELECT *, CASE WHEN block_num = 500 THEN chr(0) ELSE 'x' END AS note FROM eth_rpc.logs"

// threeSinks returns a configuration of one pipeline with two sinks in PostgreSQL, of which
// the one named strict takes the text as it is, and one in a Delta table.
func (e *commandEnv) threeSinks(name, amp, query, bound, more string) string {
	return fmt.Sprintf(`pipeline: %[1]s
source: { amp: "%[2]s", query: "%[3]s" }
range: { min_block: 0%[4]s }
nats: { embedded: ./nats }
%[6]s
sinks:
  - name: strict
    postgres: { dsn: "${DATABASE_URL}", schema: %[5]s, table: %[1]s_strict }
  - name: lake
    delta: { path: ./lake-%[1]s, max_commit_delay: 1s }
  - name: other
    delta: { path: ./other-%[1]s, max_commit_delay: 1s }
`, name, amp, query, bound, e.schema, more)
}

// TestAStoppedSinkDoesNotHoldTheOthers: one of three sinks stops at block 500 of a
// history that is larger than the log. It is told at once, the others load
// everything, and the exit code tells of it. When its cause is mended it loads the rest.
func TestAStoppedSinkDoesNotHoldTheOthers(t *testing.T) {
	t.Parallel()
	e := newCommandEnv(t)
	amp, _ := e.devserver("--chain", "eth_rpc", "--blocks", "1300")
	configure := func(blocks int) string {
		return e.file("pipeline.yaml", e.threeSinks("e2e", amp, logs, fmt.Sprintf(", max_block: %d", blocks),
			"log: { max_bytes: 64MiB, compression: none }"))
	}
	e.must("ampipe", "run", "-c", configure(10))
	e.exec("ALTER TABLE " + e.schema + ".e2e_strict ADD CONSTRAINT no_500 CHECK (block_num <> 500)")
	file := configure(1300)
	p := e.start("ampipe", "run", "-c", file)
	code := p.wait(t, 3*time.Minute)
	out := p.out.String()
	if code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	for _, want := range []string{"the sink has stopped; the others continue", "no_500", "STOPPED      sink strict"} {
		if !strings.Contains(out, want) {
			t.Errorf("the output lacks %q", want)
		}
	}
	if told, rest := strings.Index(out, "the sink has stopped"), strings.Index(out, "STOPPED      sink"); told < 0 || told > rest {
		t.Error("it is not told at once")
	}
	if t.Failed() {
		t.Fatal(out)
	}
	if code, out := e.run("ampipe", "verify", "-c", file); code != 3 || strings.Count(out, "are equal in source and destination") != 2 {
		t.Errorf("without the sink that has stopped: exit code %d\n%s", code, out)
	}
	e.exec("ALTER TABLE " + e.schema + ".e2e_strict DROP CONSTRAINT no_500")
	e.must("ampipe", "run", "-c", file)
	e.must("ampipe", "verify", "-c", file)
}

// listens waits until a process answers for its health on a port that it has chosen,
// and returns that.
func (p *process) listens(t *testing.T) int {
	t.Helper()
	port, err := strconv.Atoi(p.out.waitFor(t, p, regexp.MustCompile(`"address":"127\.0\.0\.1:(\d+)"`)))
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// askHealth asks a process about its health, and returns what it says of its parts as
// "PIPELINE: PART" and "STATE: REASON".
func askHealth(t *testing.T, question string, port int) (ok bool, parts map[string]string) {
	t.Helper()
	answer, err := health.Ask(t.Context(), question, fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return false, map[string]string{"": err.Error()}
	}
	parts = map[string]string{}
	for _, p := range answer.Parts {
		parts[p.Pipeline+": "+p.Part] = string(p.State) + ": " + p.Reason
	}
	return answer.OK, parts
}

// TestWhatHasStoppedStaysVisible while the rest follows the chain: a sink of one
// pipeline, and a whole pipeline beside it.
func TestWhatHasStoppedStaysVisible(t *testing.T) {
	t.Parallel()
	e := newCommandEnv(t)
	amp, _ := e.devserver("--chain", "eth_rpc", "--blocks", "600", "--logs-per-block", "3", "--live", "--block-time", "100ms")
	alone := fmt.Sprintf(`pipeline: alone
source: { amp: "%s", query: "%s" }
range: { min_block: 0 }
nats: { embedded: ./nats }
sinks: [ { name: strict, postgres: { dsn: "${DATABASE_URL}", schema: %s, table: alone } } ]
`, amp, refusedAt500, e.schema)
	file := e.file("pipeline.yaml", e.threeSinks("many", amp, refusedAt500, "", "")+"---\n"+alone)
	p := e.start("ampipe", "run", "-c", file, "--listen", "127.0.0.1:0")
	port := p.listens(t)
	want := map[string]string{"many: sink strict": "block 500", "alone: pipeline": "block 500"}
	var ok bool
	var stuck map[string]string
	for limit := time.Now().Add(time.Minute); ; {
		ok, stuck = askHealth(t, health.Healthz, port)
		seen := 0
		for part, reason := range want {
			if strings.HasPrefix(stuck[part], "stopped: ") && strings.Contains(stuck[part], reason) {
				seen++
			}
		}
		if seen == len(want) {
			break
		}
		if time.Now().After(limit) {
			t.Fatalf("health says %v %q, want %q\n%s", ok, stuck, want, p.out)
		}
		time.Sleep(50 * time.Millisecond)
	}
	if ok {
		t.Error("a process of which parts have stopped says that it is healthy")
	}
	if live, parts := askHealth(t, health.Livez, port); !live {
		t.Errorf("it asks to be restarted, which would stop what still runs: %q", parts)
	}
	ready, parts := askHealth(t, health.Readyz, port)
	for _, part := range []string{"many: sink strict", "alone: planner", "alone: extractor", "alone: sink strict"} {
		if !strings.Contains(parts[part], "it has stopped: ") {
			t.Errorf("%s is ready although it has stopped: %v %q", part, ready, parts)
		}
	}
	metrics := get(t, fmt.Sprintf("http://127.0.0.1:%d/metrics", port))
	for _, want := range []string{
		`ampipe_sink_stopped{pipeline="many",sink="strict"} 1`, `ampipe_sink_stopped{pipeline="many",sink="lake"} 0`,
		`ampipe_pipeline_failed{pipeline="alone"} 1`, `ampipe_pipeline_failed{pipeline="many"} 0`,
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("the metrics lack %s", want)
		}
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := p.wait(t, 30*time.Second); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	last := p.out.String()[strings.Index(p.out.String(), "\nampipe: "):]
	for _, want := range []string{`pipeline "many": sink "strict"`, `pipeline "alone": sink "strict"`} {
		if !strings.Contains(last, "\nampipe: "+want) {
			t.Errorf("the last errors lack %s", want)
		}
	}
	if strings.Contains(last, "interrupted") {
		t.Error("the last errors speak of the interruption")
	}
	if t.Failed() {
		t.Log(filepath.Base(p.cmd.Path), p.out)
	}
}

// get reads a page.
func get(t *testing.T, url string) string {
	t.Helper()
	answer, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }() // it is read
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}
