package observe

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// refusing is a query with a text in block 700 that a Delta table cannot hold which is
// partitioned by it, and every other destination can.
const refusing = "SELECT *, CASE WHEN block_num = %d THEN '' ELSE 'x' END AS note FROM eth_rpc.logs"

// evidence is what the pipelines of all tests have shown. It is safe for concurrent use.
type evidence struct {
	mu    sync.Mutex
	names map[string]bool // of metrics
	fired map[string]bool // alerts
}

// take notes what one test has shown, and expands the annotations of its alerts.
func (e *evidence) take(p *prometheus) {
	e.mu.Lock()
	defer e.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	for name := range p.memory.names {
		e.names[name] = true
	}
	for _, r := range p.rules.alerts() {
		for _, a := range p.fired[r.Alert] {
			e.fired[r.Alert] = true
			text := p.expand(r, a)
			for _, label := range []string{"pipeline", "sink"} {
				if v := a.labels.Get(label); v != "" && !strings.Contains(text["summary"], v) {
					p.t.Errorf("%s: the summary does not name the %s: %q", r.Alert, label, text["summary"])
				}
			}
		}
	}
}

// TestRealPipelines: on pipelines that are well no alert fires and every panel shows
// something; every alert fires when its trouble is made. All troubles are real.
func TestRealPipelines(t *testing.T) {
	rules := loadRules(t)
	shown := &evidence{names: map[string]bool{}, fired: map[string]bool{}}
	var running sync.WaitGroup // all at once, however few cores there are: they wait most of the time
	for name, run := range map[string]func(*testing.T, *env, *prometheus){
		"separate processes": separate, "one process": oneProcess, "a full log": full,
	} {
		running.Go(func() {
			t.Run(name, func(t *testing.T) {
				e := newEnv(t)
				p := startPrometheus(t, rules)
				defer p.explain()
				run(t, e, p)
				shown.take(p)
			})
		})
	}
	running.Wait()
	for _, r := range rules.alerts() {
		if !shown.fired[r.Alert] {
			t.Errorf("%s has not fired", r.Alert)
		}
	}
	exprs := map[string]string{}
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			exprs[r.Record+r.Alert] = r.Expr
		}
	}
	for _, panel := range loadDashboard(t).Panels {
		for _, target := range panel.Targets {
			exprs["panel "+panel.Title+" "+target.RefID] = expression(target.Expr, ".*")
		}
	}
	for where, expr := range exprs {
		for _, name := range selectors(t, expr) {
			if !shown.names[name] {
				t.Errorf("%s: no process serves %s", where, name)
			}
		}
	}
}

// healthy waits until a pipeline has its history everywhere and has followed the chain
// for a while, with a reorg, and checks that no alert has fired for it.
func (p *prometheus) healthy(pipeline string, a *amp, sinks int) {
	p.t.Helper()
	count := func(format string, args ...any) int { return len(p.query(fmt.Sprintf(format, args...))) }
	waitFor(p.t, "the history is loaded", time.Minute, func() bool {
		return count(`ampipe_sink_missing_blocks{pipeline=%q} == 0 and ampipe_sink_wanted_blocks > 0`, pipeline) == sinks &&
			count(`ampipe_live_block{pipeline=%q}`, pipeline) > 0
	})
	began := time.Now()
	mined, forked := 0, false
	waitFor(p.t, "the chain is followed", time.Minute, func() bool {
		since := time.Since(began)
		if int(since/(200*time.Millisecond)) > mined {
			mined++
			a.mine()
		}
		if !forked && since > 2*time.Second {
			forked = true
			a.tell("/chains/anvil/reorg", `{"depth": 2, "blocks": 1}`)
		}
		// Past every window and "for" of the rules but the longest.
		return since > 8*time.Second && count(`ampipe_sink_live_block{pipeline=%q}`, pipeline) == sinks
	})
	if fired := p.everFired("pipeline", pipeline); len(fired) > 0 {
		p.t.Errorf("alerts fired for a pipeline that is well:\n%s", strings.Join(fired, "\n"))
	}
	if n := p.query(fmt.Sprintf(`max(ampipe_reorgs_total{pipeline=%q})`, pipeline)); len(n) != 1 || n[0].F != 1 {
		p.t.Errorf("reorgs: %v, want one", n)
	}
	p.checkDashboard(pipeline)
	p.checkDocs()
}

// separate runs each stage as a process of its own.
func separate(t *testing.T, e *env, p *prometheus) {
	const refused = 700
	server := e.amp("--blocks", "600", "--logs-per-block", "5", "--txs", "5")
	broker := e.nats()
	e.configure(fmt.Sprintf(`pipeline: eth
source: { amp: "%s", query: "%s" }
range: { min_block: 0 }
nats: { url: "%s" }
traces: { endpoint: "http://127.0.0.1:1", sample: 1 } # nobody takes them
extract: { workers: 2 }
sinks:
  - name: strict
    delta: { path: ./strict, partition_by: [note], max_commit_delay: 1s }
  - name: lake
    delta: { path: ./lake, max_commit_delay: 1s }
`, server.url, fmt.Sprintf(refusing, refused), broker))
	extractor := e.serve("extractor")
	strict := e.serve("sink-delta", "--sink", "strict")
	p.scrapes(e.serve("planner"), extractor, strict, e.serve("sink-delta", "--sink", "lake"))
	p.healthy("eth", server, 2)
	if fired := p.everFired("", ""); len(fired) > 0 {
		t.Errorf("alerts fired while all was well:\n%s", strings.Join(fired, "\n"))
	}
	p.checkServers(map[string]string{"planner": "planner", "extractor": "extractor", "sink-delta": "sink"})

	// The log is deleted, as by a wrong hand.
	deleteLog(t, broker, "eth")
	p.waitFiring("AmpipeEpochBegan", "pipeline=eth")

	// A value that a sink refuses ends its process, not the other sink.
	server.tell("/chains/anvil/mine", `{"blocks": 100}`)
	waitFor(t, "the sink ends", 30*time.Second, func() bool {
		select {
		case <-strict.exited:
			return true
		default:
			return false
		}
	})
	p.waitFiring("AmpipeSinkStopped", "sink=strict")
	p.waitFiring("AmpipeFailed", "pipeline=eth")
	waitFor(t, "the other sink goes on", 30*time.Second, func() bool {
		return len(p.query(fmt.Sprintf(`ampipe_sink_live_block{sink="lake"} >= %d`, refused))) > 0
	})

	// The server is gone, then the extractor.
	server.kill()
	p.waitFiring("AmpipeSinkNotRunning", "sink=strict")
	p.waitFiring("AmpipeProcessDown", "job=sink-delta")
	p.waitFiring("AmpipeSinkLags", "sink=strict")
	p.waitFiring("AmpipeStageWaits", "part=live", "job=extractor")
	for _, name := range []string{"AmpipeSinkLags", "AmpipeSinkStopped", "AmpipeSinkNotRunning"} {
		if p.firing(name, "sink=lake") != nil {
			t.Errorf("%s fires for the sink that goes on", name)
		}
	}
	extractor.kill()
	p.waitFiring("AmpipeNoExtractor", "pipeline=eth")
}

// deleteLog deletes the log of a pipeline in NATS.
func deleteLog(t *testing.T, url, pipeline string) {
	t.Helper()
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	answer, err := nc.Request("$JS.API.STREAM.DELETE.AMPIPE_LOG_"+pipeline, nil, 5*time.Second)
	if err != nil || !strings.Contains(string(answer.Data), `"success":true`) {
		t.Fatalf("delete the log: %v %s", err, answer.Data)
	}
}

// oneProcess runs everything in one process: one pipeline that is well beside six that
// are not.
func oneProcess(t *testing.T, e *env, p *prometheus) {
	server := e.amp("--blocks", "600", "--logs-per-block", "5", "--txs", "5")
	mixed := e.amp("--blocks", "600", "--logs-per-block", "5", "--txs", "5", "--unsorted")
	text := func(name, url, query, blocks, more string) string {
		return fmt.Sprintf(`pipeline: %[1]s
source: { amp: "%[2]s", query: "%[3]s" }
range: { %[4]s }
nats: { embedded: ./nats }
traces: { endpoint: "http://127.0.0.1:1", sample: 1 } # nobody takes them
sinks: [ { name: lake, delta: { path: ./%[1]s, max_commit_delay: 1s%[5]s } } ]
`, name, url, query, blocks, more)
	}
	const logs = "SELECT * FROM eth_rpc.logs"
	e.configure(strings.Join([]string{
		e.unindexed(server),
		text("good", server.url, logs, "min_block: 0", ""),
		text("early", server.url, logs, "min_block: 1000000", ""),
		text("unsorted", mixed.url, logs, "min_block: 0, max_block: 300", ""),
		text("refused", server.url, fmt.Sprintf(refusing, 100), "min_block: 0", ", partition_by: [note]"),
		text("spoilt", server.url, logs, "min_block: 0", ""),
		text("aside", server.url, fmt.Sprintf(refusing, 100), "min_block: 0", ", partition_by: [note], on_bad_row: dead_letter"),
	}, "---\n"))
	p.scrapes(e.serve("ampipe", "run"))
	p.healthy("good", server, 1)
	e.loseRows("spoilt")
	e.exits(0, "ampipe", "replay", "spoilt", "lake", "5:6", "-c", "pipeline.yaml")
	p.waitFiring("AmpipeReplayFailed", "pipeline=spoilt")
	p.waitFiring("AmpipePartitionsFailed", "pipeline=unsorted")
	p.waitFiring("AmpipePipelineFailed", "pipeline=refused")
	p.waitFiring("AmpipeSinkStopped", "pipeline=refused")
	p.waitFiring("AmpipeLiveLaneWaits", "pipeline=early")
	p.waitFiring("AmpipeDeadLetters", "pipeline=aside")
	p.waitFiring("AmpipeIndexesNotBuilt", "pipeline=unindexed", "sink=logs")
	if fired := p.everFired("pipeline", "good"); len(fired) > 0 {
		t.Errorf("alerts fired for a pipeline that is well:\n%s", strings.Join(fired, "\n"))
	}
	served := map[string]bool{}
	for _, s := range p.query(`group by (__name__) ({__name__=~"ampipe_.+"})`) {
		served[family(s.Metric.Get("__name__"))] = true
	}
	for name := range docs(t) {
		if !served[name] {
			t.Errorf("ampipe run does not serve %s, which docs/metrics.md lists", name)
		}
	}
}

// unindexed returns the configuration of a pipeline into two tables, one of which has the name
// that an index of the other is to get.
func (e *env) unindexed(server *amp) string {
	e.t.Helper()
	dsn := os.Getenv("AMPIPE_TEST_POSTGRES")
	if dsn == "" {
		e.t.Fatal("AMPIPE_TEST_POSTGRES is not set: run this by `make deploytest`, which starts PostgreSQL")
	}
	return fmt.Sprintf(`pipeline: unindexed
source: { amp: %q, query: SELECT * FROM eth_rpc.logs }
range: { min_block: 0 }
nats: { embedded: ./nats }
sinks:
  - { name: logs, postgres: { dsn: %[2]q, table: logs, indexes: [[address]] } }
  - { name: taken, postgres: { dsn: %[2]q, table: logs_address_idx } }
`, server.url, dsn)
}

// loseRows removes the files of a Delta table, as a cleaner of old files may. Blocks of such
// a file cannot be removed from the table without its other blocks.
func (e *env) loseRows(table string) {
	e.t.Helper()
	files, err := filepath.Glob(filepath.Join(e.dir, table, "*.parquet"))
	if err != nil || len(files) == 0 {
		e.t.Fatalf("the files of %s are %v: %v", table, files, err)
	}
	for _, file := range files {
		if err := os.Remove(file); err != nil {
			e.t.Fatal(err)
		}
	}
}

// full fills a log because one of its sinks is never started.
func full(t *testing.T, e *env, p *prometheus) {
	server := e.amp("--blocks", "3000")
	e.configure(fmt.Sprintf(`pipeline: crowded
source: { amp: "%s", query: "SELECT * FROM eth_rpc.logs" }
range: { min_block: 0, max_block: 3000 }
nats: { url: "%s" }
log: { max_bytes: 64MiB, compression: none }
sinks:
  - name: lake
    delta: { path: ./lake, max_commit_delay: 1s }
  - name: absent
    delta: { path: ./absent }
`, server.url, e.nats()))
	planner := e.serve("planner")
	p.scrapes(planner, e.serve("extractor"), e.serve("sink-delta", "--sink", "lake"))
	p.waitFiring("AmpipeLogNearlyFull", "pipeline=crowded")
	p.waitFiring("AmpipeHistoryStuck", "sink=absent")
	p.waitFiring("AmpipeSinkNotRunning", "sink=absent")
	if a := p.firing("AmpipeSinkNotRunning", "sink=lake"); a != nil {
		t.Errorf("%s fires for a sink that runs", a.labels)
	}
	if a := p.firing("AmpipeStageWaits"); a != nil {
		t.Errorf("%s fires although the log is what is waited for", a.labels)
	}
	planner.kill()
	p.waitFiring("AmpipeNoPlanner", "pipeline=crowded")
}
