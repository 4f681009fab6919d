package pipeline_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ampipe/ampipe/pkg/health"
	"github.com/ampipe/ampipe/pkg/sink/sinktest"
)

// untilAnswer waits until a process answers a question as wanted.
func (p *process) untilAnswer(t *testing.T, question string, port int, what string, so func(health.Answer) bool) health.Answer {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		a, err := health.Ask(t.Context(), question, fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil && so(a) {
			return a
		}
		select {
		case <-p.exited:
			t.Fatalf("%s ended before this: %s\n%s", filepath.Base(p.cmd.Path), what, p.out)
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within a minute: %s; it says %+v %v\n%s", filepath.Base(p.cmd.Path), what, a, err, p.out)
		}
		<-time.After(20 * time.Millisecond)
	}
}

// says reports whether an answer has such a part, whose reason contains a text.
func says(a health.Answer, part string, state health.State, reason string) bool {
	for _, p := range a.Parts {
		if p.Part == part && p.State == state && strings.Contains(p.Reason, reason) {
			return true
		}
	}
	return false
}

func ready(a health.Answer) bool { return a.OK }

// TestHealthOfEachStage: planner, extractor and sink, each in a process of its own,
// answer before there is NATS, say what they wait for as one after the other comes up,
// and the sink is ready when its history is complete and the chain is followed, also
// after it was started again.
func TestHealthOfEachStage(t *testing.T) {
	t.Parallel()
	e := newCommandEnv(t)
	server, _ := e.devserver("--chain", "eth_rpc", "--blocks", "300", "--logs-per-block", "3", "--live", "--block-time", "200ms")
	natsPort := sinktest.FreePort(t)
	config := func(name string) (file string, amp *proxy) {
		amp = newProxy(t, strings.TrimPrefix(server, "grpc://"))
		amp.refuse()
		t.Cleanup(amp.cut)
		return e.file(name, fmt.Sprintf(`pipeline: stages
source: { amp: "grpc://%s", query: SELECT * FROM eth_rpc.logs }
nats: { url: "nats://127.0.0.1:%d" }
log: { max_bytes: 256MiB } # the default may be more than the disk has to spare
sinks: [ { name: warehouse, postgres: { dsn: "${DATABASE_URL}", schema: %s, table: rows } } ]
`, amp.address, natsPort, e.schema)), amp
	}
	file, ampOfPlanner := config("planner.yaml")
	other, ampOfExtractor := config("others.yaml")
	start := func(name, file string) (*process, int) {
		p := e.start(name, "-c", file, "--listen", "127.0.0.1:0")
		return p, p.listens(t)
	}
	planner, plannerPort := start("planner", file)
	extractor, extractorPort := start("extractor", other)
	sink, sinkPort := start("sink-postgres", other)

	unready := func(p *process, port int, stage, reason, waitsFor, why string) {
		t.Helper()
		p.untilAnswer(t, health.Readyz, port, stage+" is not ready: "+reason, func(a health.Answer) bool {
			return !a.OK && says(a, stage, health.StateUnready, reason) && says(a, waitsFor, health.StateWaiting, why)
		})
		if a, err := health.Ask(t.Context(), health.Livez, fmt.Sprintf(":%d", port)); err != nil || !a.OK {
			t.Errorf("%s asks for a restart while it waits: %+v %v", stage, a, err)
		}
	}
	const noNATS, refused = "NATS is not connected yet", "connect to NATS"
	unready(planner, plannerPort, "planner", noNATS, "NATS", refused)
	unready(extractor, extractorPort, "extractor", noNATS, "NATS", refused)
	unready(sink, sinkPort, "sink warehouse", noNATS, "NATS", refused)
	planner.untilAnswer(t, health.Healthz, plannerPort, "a short wait is in order", ready)

	e.startNATS(natsPort)
	const noPlan = "the planner has not planned yet"
	unready(planner, plannerPort, "planner", "Amp has not answered yet", "Amp", hangsUp)
	unready(extractor, extractorPort, "extractor", noPlan, "start", noPlan)
	unready(sink, sinkPort, "sink warehouse", noPlan, "start", noPlan)

	ampOfPlanner.allow()
	planner.untilAnswer(t, health.Readyz, plannerPort, "the planner has planned", ready)
	unready(extractor, extractorPort, "extractor", "Amp has not answered yet", "Amp", hangsUp)
	lacking := func(a health.Answer) bool {
		return !a.OK && says(a, "sink warehouse", health.StateUnready, "blocks of the history are missing")
	}
	history := sink.untilAnswer(t, health.Readyz, sinkPort, "the history is missing", lacking).Parts[0].BlocksMissing
	sink.kill()
	sink, sinkPort = start("sink-postgres", other)
	if again := sink.untilAnswer(t, health.Readyz, sinkPort, "it is still missing", lacking).Parts[0].BlocksMissing; again != history || history < 100 {
		t.Errorf("%d blocks are missing, and %d after a restart", history, again)
	}

	ampOfExtractor.allow()
	extractor.untilAnswer(t, health.Readyz, extractorPort, "the extractor is ready", ready)
	complete := func(p *process, port int) {
		t.Helper()
		p.untilAnswer(t, health.Readyz, port, "the sink is ready", ready)
		const covered = `SELECT count(*) FROM ampipe.tables t JOIN ampipe.coverage c ON c.table_id = t.id
			WHERE schema_name = '%s' AND blocks @> int8range(0, %d) AND live_start IS NOT NULL`
		if e.number(fmt.Sprintf(covered, e.schema, history)) != 1 {
			t.Error("the sink says that it is ready, and the destination lacks history, or does not follow the chain")
		}
	}
	complete(sink, sinkPort)
	sink.kill()
	sink, sinkPort = start("sink-postgres", other)
	complete(sink, sinkPort)
	planner.kill()
	planner, plannerPort = start("planner", file)
	planner.untilAnswer(t, health.Readyz, plannerPort, "the planner is back", ready)
	for until := time.Now().Add(3 * time.Second); time.Now().Before(until); <-time.After(50 * time.Millisecond) {
		a, err := health.Ask(t.Context(), health.Healthz, fmt.Sprintf(":%d", plannerPort))
		if err != nil || len(a.Parts) > 0 {
			t.Fatalf("the sink runs, and its planner waits after a restart: %+v %v\n%s", a, err, planner.out)
		}
	}
	for p, port := range map[*process]int{planner: plannerPort, extractor: extractorPort, sink: sinkPort} {
		p.untilAnswer(t, health.Healthz, port, "nothing is waited for", func(a health.Answer) bool { return a.OK && len(a.Parts) == 0 })
		if code := p.interrupt(t); code != 130 {
			t.Errorf("%s: exit code %d\n%s", filepath.Base(p.cmd.Path), code, p.out)
		}
	}
}

// TestAKilledRunIsBackSoon: with its embedded server ended all who held anything, so that
// it need not wait until that is noticed.
func TestAKilledRunIsBackSoon(t *testing.T) {
	t.Parallel()
	e := newCommandEnv(t)
	server, _ := e.devserver("--chain", "eth_rpc", "--blocks", "300", "--logs-per-block", "3", "--live", "--block-time", "200ms")
	file := e.file("pipeline.yaml", fmt.Sprintf(`pipeline: killed
source: { amp: "%s", query: SELECT * FROM eth_rpc.logs }
nats: { embedded: ./nats }
log: { max_bytes: 256MiB }
sinks: [ { name: warehouse, postgres: { dsn: "${DATABASE_URL}", schema: %s, table: rows } } ]
`, server, e.schema))
	last := func() int64 { return e.number("SELECT max(_block_num)::bigint FROM " + e.schema + ".rows") }
	run := func() *process {
		p := e.start("ampipe", "run", "-c", file, "--listen", "127.0.0.1:0")
		p.untilAnswer(t, health.Readyz, p.listens(t), "it is ready", ready)
		return p
	}
	p := run()
	e.waitRows(p, 1)
	for before := last(); last() <= before+5; <-time.After(20 * time.Millisecond) {
		if t.Context().Err() != nil {
			t.Fatal(p.out)
		}
	}
	p.kill()
	before, began := last(), time.Now()
	p = run()
	for last() <= before {
		if time.Since(began) > 30*time.Second {
			t.Fatalf("no live block after half a minute\n%s", p.out)
		}
		<-time.After(20 * time.Millisecond)
	}
	if took := time.Since(began); took > 6*time.Second { // a lease takes 8 to 10 s
		t.Errorf("it took %v to go on\n%s", took, p.out)
	} else {
		t.Logf("it took %v to go on", took)
	}
	p.interrupt(t)
}

// hangsUp is in the reason of a process whose Amp server closes every connection, however
// far the client had come with it.
const hangsUp = "(Unavailable); "

// TestHealthOfARun asks, as a container's health check does, a process that runs two
// pipelines, one with two sinks. It is ready when all of them are.
func TestHealthOfARun(t *testing.T) {
	t.Parallel()
	e := newCommandEnv(t)
	server, _ := e.devserver("--chain", "eth_rpc", "--blocks", "300", "--logs-per-block", "3", "--live", "--block-time", "200ms")
	amp := newProxy(t, strings.TrimPrefix(server, "grpc://"))
	amp.refuse()
	t.Cleanup(amp.cut)
	near := fmt.Sprintf(`pipeline: near
source: { amp: "grpc://%[1]s", query: SELECT * FROM eth_rpc.logs }
nats: { embedded: ./nats }
sinks:
  - name: warehouse
    postgres: { dsn: "${DATABASE_URL}", schema: %[2]s, table: near }
  - name: lake
    delta: { path: ./lake, max_commit_delay: 1s }
`, amp.address, e.schema)
	far := fmt.Sprintf(`---
pipeline: far
source: { amp: "grpc://%[1]s", query: SELECT * FROM eth_rpc.logs }
range: { min_block: 1000000 } # which the chain does not have yet
nats: { embedded: ./nats }
sinks: [ { name: warehouse, postgres: { dsn: "${DATABASE_URL}", schema: %[2]s, table: far } } ]
`, amp.address, e.schema)
	file := e.file("pipeline.yaml", near+far)
	port := sinktest.FreePort(t)
	e.env = append(e.env, fmt.Sprintf("AMPIPE_LISTEN=0.0.0.0:%d", port))
	p := e.start("ampipe", "run", "-c", file)
	p.untilAnswer(t, health.Readyz, port, "Amp alone is missing", func(a health.Answer) bool { // it is asked before NATS is connected
		return says(a, "Amp", health.StateWaiting, hangsUp) && says(a, "planner", health.StateUnready, "Amp has not answered yet")
	})
	code, out := e.run("ampipe", "health", "readyz")
	for _, want := range []string{
		"near: planner: not ready", "near: extractor: not ready", "near: sink warehouse: not ready", "near: sink lake: not ready",
		"Amp has not answered yet", "far: sink warehouse: not ready", "it connects after the pipelines before it", hangsUp, "it is not ready",
	} {
		if code != 1 || !strings.Contains(out, want) {
			t.Errorf("not connected to Amp: exit code %d, and this is missing: %q\n%s", code, want, out)
		}
	}
	if code, out := e.run("ampipe", "health", "livez"); code != 0 || out != "live\n" {
		t.Errorf("exit code %d\n%s", code, out)
	}

	amp.allow()
	p.untilAnswer(t, health.Readyz, port, "one pipeline is ready", func(a health.Answer) bool {
		return len(a.Parts) == 2 && says(a, "sink warehouse", health.StateUnready, "the live lane has not begun") &&
			says(a, "start of the live lane", health.StateExpected, "the chain has not reached block")
	})
	if code, out := e.run("ampipe", "health", "--address", fmt.Sprintf(":%d", port)); code != 0 || !strings.HasSuffix(out, "healthy\n") {
		t.Errorf("waiting for the chain is not in order: exit code %d\n%s", code, out)
	}
	p.interrupt(t)
	if code, out := e.run("ampipe", "health"); code != 1 || !strings.Contains(out, "no process listens on 0.0.0.0:") {
		t.Errorf("it has ended: exit code %d\n%s", code, out)
	}

	e.file("pipeline.yaml", near)
	p = e.start("ampipe", "run", "-c", file)
	p.untilAnswer(t, health.Readyz, port, "all are ready after the restart", ready)
	if code, out := e.run("ampipe", "health", "readyz"); code != 0 || !strings.HasSuffix(out, "ready\n") {
		t.Errorf("exit code %d\n%s", code, out)
	}

	if code, out := e.run("ampipe", "run", "-c", file); code != 2 || !strings.Contains(out, "another process listens there") {
		t.Errorf("the address is taken: exit code %d\n%s", code, out)
	}
	p.interrupt(t)
}

// TestAWrongAddressEndsEachCommandAtOnce, before anything is connected or made.
func TestAWrongAddressEndsEachCommandAtOnce(t *testing.T) {
	t.Parallel()
	e := newCommandEnv(t)
	file := e.file("pipeline.yaml", fmt.Sprintf(`pipeline: e2e
source: { amp: "grpc://127.0.0.1:1", query: SELECT * FROM eth_rpc.logs }
nats: { embedded: ./nats }
sinks: [ { name: warehouse, postgres: { dsn: "${DATABASE_URL}", schema: %[1]s, table: rows } } ]
`, e.schema))
	for _, address := range []string{"9090", "192.0.2.1:9090", ":70000"} {
		if code, out := e.run("ampipe", "run", "-c", file, "--listen", address); code != 2 || !strings.Contains(out, "--listen") {
			t.Errorf("%s: exit code %d\n%s", address, code, out)
		}
	}
	if _, err := os.Stat(filepath.Join(e.dir, "nats")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("NATS was started before the address was looked at: %v", err)
	}
	stages := e.file("stages.yaml", fmt.Sprintf(`pipeline: e2e
source: { amp: "grpc://127.0.0.1:1", query: SELECT * FROM eth_rpc.logs }
nats: { url: "nats://127.0.0.1:1" }
sinks:
  - name: warehouse
    postgres: { dsn: "${DATABASE_URL}", schema: %[1]s, table: rows }
  - name: lake
    delta: { path: ./lake }
  - name: cache
    redis: { url: "redis://127.0.0.1:1", table: rows, key: [block_num, log_index] }
`, e.schema))
	for _, name := range []string{"planner", "extractor", "sink-postgres", "sink-delta", "sink-redis"} {
		if code, out := e.run(name, "-c", stages, "--listen", "9090"); code != 2 || !strings.Contains(out, "--listen") {
			t.Errorf("%s: exit code %d\n%s", name, code, out)
		}
	}
	for _, args := range [][]string{{"health"}, {"health", "--address", "9090"}, {"health", "statusz", "--address", ":9090"}} {
		if code, out := e.run("ampipe", args...); code != 2 {
			t.Errorf("%v: exit code %d\n%s", args, code, out)
		}
	}
}

// TestBackPressureIsHealthy: a destination that is much slower than Amp keeps the log
// full, and that is no reason to be alarmed.
func TestBackPressureIsHealthy(t *testing.T) {
	t.Parallel()
	e := newCommandEnv(t)
	amp, _ := e.devserver("--chain", "eth_rpc", "--blocks", "1300")
	configure := func(blocks int) string {
		return e.oneSink(amp, logs, blocks, embedded, "", "log: { max_bytes: 64MiB, compression: none }")
	}
	e.must("ampipe", "run", "-c", configure(10))
	e.exec("ALTER TABLE " + e.schema + ".rows ADD CONSTRAINT slow CHECK (pg_sleep(0.0002)::text = '')")
	p := e.start("ampipe", "run", "-c", configure(1300), "--listen", "127.0.0.1:0")
	port := p.listens(t)
	full := func(a health.Answer) bool {
		for _, part := range a.Parts {
			if part.State == health.StateBackPressure && strings.HasPrefix(part.Part, "partition ") {
				return true
			}
		}
		return false
	}
	p.untilAnswer(t, health.Healthz, port, "the log is full", full)
	seen := 0
	for until := time.Now().Add(4 * time.Second); time.Now().Before(until); <-time.After(20 * time.Millisecond) {
		a, err := health.Ask(t.Context(), health.Healthz, fmt.Sprintf(":%d", port))
		if err != nil || !a.OK {
			t.Fatalf("%+v %v\n%s", a, err, p.out)
		}
		if full(a) {
			seen++
		}
	}
	if seen < 10 {
		t.Errorf("the log was full at %d looks only", seen)
	}
}
