package pipeline_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/sink/sinktest"
)

// growing is a development server whose chain grows, forks and obeys.
type growing struct {
	*commandEnv
	amp     string
	control string
	args    []string
	server  *process
}

// chainHead is what the server says of its chain.
type chainHead struct {
	Number block.Number `json:"number"`
	Hash   block.Hash   `json:"hash"`
}

// grow starts a server on ports that stay the same over restarts.
func (e *commandEnv) grow(args ...string) *growing {
	e.t.Helper()
	g := &growing{commandEnv: e, control: fmt.Sprintf("127.0.0.1:%d", sinktest.FreePort(e.t))}
	listen := fmt.Sprintf("127.0.0.1:%d", sinktest.FreePort(e.t))
	g.amp = "grpc://" + listen
	g.args = append([]string{"--listen", listen, "--control", g.control, "--chain", "eth_rpc"}, args...)
	g.serve()
	return g
}

func (g *growing) serve() {
	g.t.Helper()
	g.server = g.start("devserver", g.args...)
	g.server.out.waitFor(g.t, g.server, regexp.MustCompile(`(?m)^listening (\S+)$`))
}

// tell sends a command to the chain and returns its head after that.
func (g *growing) tell(verb, body string) (h chainHead) {
	g.t.Helper()
	g.post("/chains/anvil/"+verb, body, &h)
	return h
}

func (g *growing) post(path, body string, into any) {
	g.t.Helper()
	answer, err := http.Post("http://"+g.control+path, "application/json", strings.NewReader(body))
	if err != nil {
		g.t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }() // it was read
	if answer.StatusCode != http.StatusOK {
		g.t.Fatalf("%s %s: %s", path, body, answer.Status)
	}
	if err := json.NewDecoder(answer.Body).Decode(into); err != nil {
		g.t.Fatal(err)
	}
}

// follow returns a configuration that follows the chain into one table.
func (g *growing) follow(nats, more string) string {
	g.t.Helper()
	return g.followInto("rows", nats, more)
}

func (g *growing) followInto(tables, nats, more string) string {
	g.t.Helper()
	sinks := ""
	for table := range strings.FieldsSeq(tables) {
		sinks += fmt.Sprintf("  - name: %s\n    postgres: { dsn: \"${DATABASE_URL}\", schema: %s, table: %s }\n", table, g.schema, table)
	}
	return g.file("pipeline.yaml", fmt.Sprintf("pipeline: e2e\nsource: { amp: %s, query: SELECT * FROM eth_rpc.logs }\nnats: %s\nsinks:\n%s%s",
		g.amp, nats, sinks, more))
}

// reach waits until a table has come to a block, with all that is below it.
func (g *growing) reach(table string, h chainHead, watched ...*process) {
	g.t.Helper()
	limit := time.Now().Add(90 * time.Second)
	for !g.has(table, h) {
		for _, p := range watched {
			select {
			case <-p.exited:
				g.t.Fatalf("%s ended before %s was at block %d\n%s", p.cmd.Path, table, h.Number, p.out)
			default:
			}
		}
		if time.Now().After(limit) {
			out := ""
			for _, p := range watched {
				out += p.out.String()
			}
			g.t.Fatalf("%s has not come to block %d\n%s", table, h.Number, out)
		}
		<-time.After(30 * time.Millisecond)
	}
}

func (g *growing) has(table string, h chainHead) (there bool) {
	g.t.Helper()
	g.withDB(func(ctx context.Context, c *pgx.Conn) error {
		var state *string
		if err := c.QueryRow(ctx, "SELECT to_regclass('ampipe.tables')::text").Scan(&state); err != nil || state == nil {
			return err
		}
		return c.QueryRow(ctx, `SELECT EXISTS (SELECT FROM ampipe.tables t JOIN ampipe.coverage c ON c.table_id = t.id
			WHERE schema_name = $1 AND table_name = $2 AND cursor_block = $3 AND cursor_hash = $4 AND blocks @> int8range(0, $3, '[]'))`,
			g.schema, table, int64(h.Number), h.Hash[:]).Scan(&there)
	})
	return there
}

// settle stops the chain, waits for the tables to be at its head and verifies.
func (g *growing) settle(file, tables string, watched ...*process) {
	g.t.Helper()
	h := g.tell("pause", "")
	for table := range strings.FieldsSeq(tables) {
		g.reach(table, h, watched...)
	}
	g.verify(file)
}

func (g *growing) verify(file string) {
	g.t.Helper()
	out := g.must("ampipe", "verify", "-c", file)
	if !strings.Contains(out, "are equal in source and destination") {
		g.t.Errorf("verify prints\n%s", out)
	}
	g.t.Log(strings.TrimSpace(out))
}

// interrupt stops a run as Ctrl-C does and returns its exit code.
func (p *process) interrupt(t testing.TB) int {
	t.Helper()
	_ = p.cmd.Process.Signal(syscall.SIGINT) // it may have ended by itself
	return p.wait(t, 30*time.Second)
}

// freeze stops a process where it is, and lets it go on after a while, if it is still
// there then.
func (p *process) freeze(d time.Duration) {
	_ = p.cmd.Process.Signal(syscall.SIGSTOP) // it may have ended by itself
	time.AfterFunc(d, func() { _ = p.cmd.Process.Signal(syscall.SIGCONT) })
}

// TestLiveCrashes kills every process again and again while the chain is followed
// through reorgs, the holder of the live lane included, or freezes it for up to twenty
// seconds. AMPIPE_CRASH_KILLS is how often.
func TestLiveCrashes(t *testing.T) {
	t.Parallel()
	e := newCommandEnv(t)
	kills := 8
	if n, err := strconv.Atoi(os.Getenv("AMPIPE_CRASH_KILLS")); err == nil {
		kills = 5 * n
	}
	seed := rand.Uint64()
	t.Logf("seed %d, %d kills and freezes", seed, kills)
	rnd := rand.New(rand.NewPCG(seed, 1))
	g := e.grow("--blocks", "1500", "--logs-per-block", "20", "--live", "--block-time", "40ms",
		"--reorg-every", "20", "--reorg-depth", "1-300/4", "--seed", strconv.FormatUint(seed%1000, 10))
	c := &cluster{commandEnv: e, port: sinktest.FreePort(t), procs: map[string]*process{}}
	c.nats = e.startNATS(c.port)
	c.file = g.follow(fmt.Sprintf("{ url: \"nats://127.0.0.1:%d\" }", c.port), "")
	names := []string{"planner", "extractor 1", "extractor 2", "sink-postgres 1", "sink-postgres 2"}
	for _, name := range names {
		c.up(name)
	}
	for range kills {
		<-time.After(time.Duration(300+rnd.IntN(1500)) * time.Millisecond)
		name := names[rnd.IntN(len(names))]
		frozen := rnd.IntN(3) == 0
		if frozen {
			c.procs[name].freeze(time.Duration(1000+rnd.IntN(19_000)) * time.Millisecond)
		} else {
			c.procs[name].kill()
		}
		if rnd.IntN(3) == 0 {
			g.tell("reorg", fmt.Sprintf(`{"depth": %d, "blocks": %d}`, 1+rnd.IntN(300), 302))
		}
		if !frozen {
			c.up(name)
		}
	}
	g.settle(c.file, "rows", c.procs["planner"], c.procs["extractor 1"], c.procs["sink-postgres 1"])
}

// TestHistoryAndLiveAtOnce reorganises the chain below the first live block while
// the history is loaded.
func TestHistoryAndLiveAtOnce(t *testing.T) {
	t.Parallel()
	e := newCommandEnv(t)
	g := e.grow("--blocks", "1500", "--logs-per-block", "50", "--bandwidth", "4000000")
	file := g.follow(embedded, "range: { reorg_buffer: 20, partition_size: 100 }\n")
	p := e.start("ampipe", "run", "-c", file)
	for _, depth := range []int{50, 200, 400} {
		before := int64(1)
		if depth > 50 {
			before = int64(depth) * 20
		}
		e.waitRows(p, before)
		g.tell("reorg", fmt.Sprintf(`{"depth": %d, "blocks": %d}`, depth, depth+1))
	}
	var switches any
	g.post("/faults", `{"bandwidth": 0}`, &switches)
	g.settle(file, "rows", p)
	if !strings.Contains(p.out.String(), "reorg") {
		t.Errorf("no reorg was seen\n%s", p.out)
	}
}

// TestSilentChainThenGoesOn follows a chain that stands still, for longer than
// anything waits for, and then continues. AMPIPE_SILENT_SECONDS=180 is the long form.
func TestSilentChainThenGoesOn(t *testing.T) {
	t.Parallel()
	silent := 20 * time.Second // longer than the 10 s of a task, and a pull's 5 s
	if n, err := strconv.Atoi(os.Getenv("AMPIPE_SILENT_SECONDS")); err == nil {
		silent = time.Duration(n) * time.Second
	}
	e := newCommandEnv(t)
	g := e.grow("--blocks", "300", "--logs-per-block", "5")
	file := g.follow(embedded, "")
	p := e.start("ampipe", "run", "-c", file)
	g.settle(file, "rows", p)
	<-time.After(silent)
	g.tell("mine", `{"blocks": 3}`)
	g.tell("reorg", `{"depth": 2, "blocks": 4}`)
	g.settle(file, "rows", p)
}

// TestHalfOpenConnection: the connection to Amp carries nothing any more, and nobody
// says so. The silence is noticed by asking, and the chain is followed through a new
// one.
func TestHalfOpenConnection(t *testing.T) {
	t.Parallel()
	e := newCommandEnv(t)
	g := e.grow("--blocks", "300", "--logs-per-block", "5")
	line := newProxy(t, strings.TrimPrefix(g.amp, "grpc://"))
	defer line.cut()
	file := g.follow(embedded, "")
	replace(t, file, g.amp, fmt.Sprintf("%q, keep_alive: 10s", "grpc://"+line.address))
	p := e.start("ampipe", "run", "-c", file)
	g.settle(file, "rows", p)
	if line.deafen() == 0 {
		t.Fatal("there is no connection")
	}
	g.tell("mine", `{"blocks": 3}`)
	g.tell("reorg", `{"depth": 2, "blocks": 4}`)
	g.settle(file, "rows", p)
}

// TestServerRestartsInTheMiddleOfAMicrobatch kills the server while it sends the
// blocks of one range.
func TestServerRestartsInTheMiddleOfAMicrobatch(t *testing.T) {
	t.Parallel()
	e := newCommandEnv(t)
	g := e.grow("--blocks", "1200", "--logs-per-block", "200", "--bandwidth", "6000000")
	file := g.follow(embedded, "range: { reorg_buffer: 1000 }\nlog: { entry_bytes: 64KiB }\n")
	p := e.start("ampipe", "run", "-c", file)
	for _, rows := range []int64{45_000, 90_000} {
		e.waitRows(p, rows)
		g.server.kill()
		g.serve()
	}
	g.settle(file, "rows", p)
}

// TestALogThatFillsUpWhileLive stops the only sink until the log is full: the live
// lane says what it waits for, and continues when the sink does.
func TestALogThatFillsUpWhileLive(t *testing.T) {
	t.Parallel()
	for name, window := range map[string]string{"ranges fit": "50", "a range is larger than the log": "1000"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fillsUp(t, window)
		})
	}
}

func fillsUp(t *testing.T, window string) {
	t.Helper()
	e := newCommandEnv(t)
	g := e.grow("--blocks", "300", "--logs-per-block", "300", "--window", window)
	c := &cluster{commandEnv: e, port: sinktest.FreePort(t), procs: map[string]*process{}}
	c.nats = e.startNATS(c.port)
	c.file = g.follow(fmt.Sprintf("{ url: \"nats://127.0.0.1:%d\" }", c.port), "log: { max_bytes: 64MiB, compression: none }\n")
	for _, name := range []string{"planner", "extractor", "sink-postgres"} {
		c.up(name)
	}
	g.settle(c.file, "rows", c.procs["planner"], c.procs["extractor"], c.procs["sink-postgres"])
	c.procs["sink-postgres"].kill()
	g.tell("mine", `{"blocks": 900}`)
	c.procs["extractor"].out.waitFor(t, c.procs["extractor"], regexp.MustCompile(`(log is full)`))
	g.tell("reorg", `{"depth": 100, "blocks": 102}`)
	c.up("sink-postgres")
	g.settle(c.file, "rows", c.procs["planner"], c.procs["extractor"], c.procs["sink-postgres"])
}

// TestSinkDownForAWhileWhileLive starts a sink again that has missed several reorgs.
func TestSinkDownForAWhileWhileLive(t *testing.T) {
	t.Parallel()
	e := newCommandEnv(t)
	g := e.grow("--blocks", "400", "--logs-per-block", "20", "--live", "--block-time", "50ms", "--reorg-every", "8", "--reorg-depth", "1-60/6")
	c := &cluster{commandEnv: e, port: sinktest.FreePort(t), procs: map[string]*process{}}
	c.nats = e.startNATS(c.port)
	c.file = g.follow(fmt.Sprintf("{ url: \"nats://127.0.0.1:%d\" }", c.port), "log: { max_bytes: 256MiB } # the default may be more than the disk has to spare\n")
	for _, name := range []string{"planner", "extractor", "sink-postgres"} {
		c.up(name)
	}
	e.waitRows(c.procs["planner"], 6000)
	c.procs["sink-postgres"].kill()
	<-time.After(8 * time.Second)
	c.up("sink-postgres")
	g.settle(c.file, "rows", c.procs["planner"], c.procs["extractor"], c.procs["sink-postgres"])
}

// TestTheLogIsWipedWhileLive removes the embedded server's folder between two runs:
// nothing but the destination then knows how far it is.
func TestTheLogIsWipedWhileLive(t *testing.T) {
	t.Parallel()
	e := newCommandEnv(t)
	g := e.grow("--blocks", "400", "--logs-per-block", "20", "--live", "--block-time", "50ms", "--reorg-every", "15", "--reorg-depth", "1-30/4")
	file := g.follow(embedded, "")
	p := e.start("ampipe", "run", "-c", file)
	g.settle(file, "rows", p)
	g.tell("resume", "")
	e.waitRows(p, 8500)
	p.interrupt(t)
	if err := os.RemoveAll(e.dir + "/nats"); err != nil {
		t.Fatal(err)
	}
	g.tell("reorg", `{"depth": 40, "blocks": 45}`)
	p = e.start("ampipe", "run", "-c", file)
	g.settle(file, "rows", p)
}

// TestALateSinkJoins adds a second sink to a pipeline that has long been live.
func TestALateSinkJoins(t *testing.T) {
	t.Parallel()
	e := newCommandEnv(t)
	g := e.grow("--blocks", "400", "--logs-per-block", "20", "--live", "--block-time", "50ms", "--reorg-every", "15", "--reorg-depth", "1-30/4")
	file := g.follow(embedded, "")
	p := e.start("ampipe", "run", "-c", file)
	e.waitRows(p, 8500)
	p.interrupt(t)
	file = g.followInto("rows late", embedded, "")
	p = e.start("ampipe", "run", "-c", file)
	e.waitRows(p, 9500)
	g.settle(file, "rows late", p)
}

// TestMaxBlockAboveTheHead follows the chain as far as it was asked to, and ends.
func TestMaxBlockAboveTheHead(t *testing.T) {
	t.Parallel()
	e := newCommandEnv(t)
	g := e.grow("--blocks", "300", "--logs-per-block", "20")
	file := g.follow(embedded, "range: { max_block: 360 }\n")
	p := e.start("ampipe", "run", "-c", file)
	g.reach("rows", g.tell("mine", `{"blocks": 20}`), p)
	g.reach("rows", g.tell("reorg", `{"depth": 10, "blocks": 15}`), p)
	g.tell("mine", `{"blocks": 60}`) // a range that continues beyond max_block
	if code := p.wait(t, time.Minute); code != 0 {
		t.Fatalf("exit code %d\n%s", code, p.out)
	}
	g.verify(file)
	if n := e.number("SELECT max(block_num) FROM " + e.schema + ".rows"); n != 359 {
		t.Errorf("the last block is %d, want 359\n%s", n, p.out)
	}
}
