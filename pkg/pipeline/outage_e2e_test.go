package pipeline_test

import (
	"fmt"
	"net/http"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/sink/sinktest"
	"github.com/ampipe/ampipe/pkg/state"
)

// control starts a development Amp server whose switches can be set while it
// runs.
func (e *commandEnv) control(args ...string) (amp string, set func(json string)) {
	e.t.Helper()
	address := fmt.Sprintf("127.0.0.1:%d", sinktest.FreePort(e.t))
	amp, _ = e.devserver(append([]string{"--control", address}, args...)...)
	return amp, func(json string) {
		e.t.Helper()
		answer, err := http.Post("http://"+address+"/faults", "application/json", strings.NewReader(json))
		if err != nil {
			e.t.Fatal(err)
		}
		defer func() { _ = answer.Body.Close() }() // nothing to read
		if answer.StatusCode != http.StatusOK {
			e.t.Fatalf("set %s: %s", json, answer.Status)
		}
	}
}

// finishAndVerify waits for a run to end well and compares.
func (e *commandEnv) finishAndVerify(p *process, file string) {
	e.t.Helper()
	if code := p.wait(e.t, 3*time.Minute); code != 0 {
		e.t.Fatalf("exit code %d\n%s", code, p.out)
	}
	e.must("ampipe", "verify", "-c", file)
}

// TestDestinationDown stops PostgreSQL in the middle: the sink pauses, says why,
// and continues.
func TestDestinationDown(t *testing.T) {
	t.Parallel()
	e := newCommandEnv(t)
	e.ownPostgres()
	amp, set := e.control("--chain", "eth_rpc", "--blocks", "1000")
	set(`{"bandwidth": 8000000}`)
	file := e.oneSink(amp, logs, 1000, embedded, "", "")
	p := e.start("ampipe", "run", "-c", file)
	e.waitRows(p, 1)
	e.postgres("stop")
	p.out.waitFor(t, p, regexp.MustCompile(`"part":"(sink [a-z]+)","reason":"[^"]*server cannot be reached.*waiting`))
	set(`{"bandwidth": 0}`)
	e.postgres("start")
	e.finishAndVerify(p, file)
}

// waitRows waits until the table has at least so many rows.
func (e *commandEnv) waitRows(p *process, n int64) {
	e.t.Helper()
	for e.number(fmt.Sprintf("SELECT count(*) FROM pg_tables WHERE schemaname = '%s'", e.schema)) == 0 ||
		e.number("SELECT count(*) FROM "+e.schema+".rows") < n {
		select {
		case <-p.exited:
			e.t.Fatalf("the run ended before %d rows were there\n%s", n, p.out)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// TestAmpRestarts kills the Amp server again and again while it is read.
func TestAmpRestarts(t *testing.T) {
	t.Parallel()
	e := newCommandEnv(t)
	port := sinktest.FreePort(t)
	args := []string{"--listen", fmt.Sprintf("127.0.0.1:%d", port), "--chain", "eth_rpc", "--blocks", "1500", "--bandwidth", "15000000"}
	serve := func() *process {
		p := e.start("devserver", args...)
		p.out.waitFor(t, p, regexp.MustCompile(`(?m)^listening (\S+)$`))
		return p
	}
	amp := serve()
	file := e.oneSink(fmt.Sprintf("grpc://127.0.0.1:%d", port), logs, 1500, embedded, "", "")
	p := e.start("ampipe", "run", "-c", file)
	for _, rows := range []int64{1, 60_000, 120_000} {
		e.waitRows(p, rows)
		amp.kill()
		amp = serve()
	}
	e.finishAndVerify(p, file)
}

// TestHeadBelowMaxBlock asks for blocks that the server does not have yet.
func TestHeadBelowMaxBlock(t *testing.T) {
	t.Parallel()
	e := newCommandEnv(t)
	amp, set := e.control("--chain", "eth_rpc", "--blocks", "200", "--head", "120")
	file := e.oneSink(amp, logs, 200, embedded, "", "")
	if out := e.must("ampipe", "check", "-c", file); !strings.Contains(out, "the head is below max_block: blocks [121, 200)") {
		t.Errorf("check prints\n%s", out)
	}
	p := e.start("ampipe", "run", "-c", file)
	p.out.waitFor(t, p, regexp.MustCompile(`(blocks below 200 are wanted, and the server has none after anvil block 120)`))
	set(`{"head": null}`)
	e.finishAndVerify(p, file)
}

// TestServerTroubles loads through a server that is in one kind of trouble all
// the time.
func TestServerTroubles(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{
		"connections are dropped":     {"--drop-after", "3", "--drop-every", "2"},
		"statuses":                    {"--status", "doget:UNAVAILABLE:5"},
		"ranges are too much":         {"--max-blocks", "7"},
		"sorted before the first row": {"--hold-back"},
		"slow":                        {"--latency", "50ms"},
		"shuffled without ORDER BY":   {"--shuffle"},
		"oversize messages":           {"--oversize", "20000000"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newCommandEnv(t)
			amp, _ := e.devserver(append([]string{"--chain", "eth_rpc", "--blocks", "300"}, args...)...)
			file := e.oneSink(amp, logs, 300, embedded, "", "")
			e.finishAndVerify(e.start("ampipe", "run", "-c", file), file)
		})
	}
}

// TestRowsOutOfOrder meets a server that breaks its word.
func TestRowsOutOfOrder(t *testing.T) {
	t.Parallel()
	e := newCommandEnv(t)
	amp, _ := e.devserver("--chain", "eth_rpc", "--blocks", "250", "--unsorted")
	code, out := e.run("ampipe", "run", "-c", e.oneSink(amp, logs, 50, embedded, "", "")) // below the reorg buffer
	if code != 3 || !strings.Contains(out, "rows are not in order") {
		t.Errorf("exit code %d\n%s", code, out)
	}
	// What came before the first row that is out of order may have been written already.
	if n := e.number("SELECT count(DISTINCT block_num) FROM " + e.schema + ".rows"); n == 50 {
		t.Error("every block was written")
	}
}

// TestAFullLogIsBackPressure returns the log room for a fraction of the rows.
func TestAFullLogIsBackPressure(t *testing.T) {
	t.Parallel()
	e := newCommandEnv(t)
	amp, _ := e.devserver("--chain", "eth_rpc", "--blocks", "2500")
	file := e.oneSink(amp, logs, 2500, embedded, "", "log: { max_bytes: 64MiB, compression: none }\n")
	e.finishAndVerify(e.start("ampipe", "run", "-c", file), file)
}

// TestInterrupted stops a run with Ctrl-C and starts it again.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	e := newCommandEnv(t)
	amp, set := e.control("--chain", "eth_rpc", "--blocks", "800")
	set(`{"bandwidth": 8000000}`)
	file := e.oneSink(amp, logs, 800, embedded, "", "")
	p := e.start("ampipe", "run", "-c", file)
	e.waitRows(p, 1)
	if err := p.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if code := p.wait(t, 30*time.Second); code != 130 || !strings.Contains(p.out.String(), "resumes from here") {
		t.Errorf("exit code %d\n%s", code, p.out)
	}
	set(`{"bandwidth": 0}`)
	e.finishAndVerify(e.start("ampipe", "run", "-c", file), file)
}

// TestTwoRunsInOneFolder starts a second process on the folder of the first.
func TestTwoRunsInOneFolder(t *testing.T) {
	t.Parallel()
	e := newCommandEnv(t)
	amp, set := e.control("--chain", "eth_rpc", "--blocks", "800")
	set(`{"bandwidth": 8000000}`)
	file := e.oneSink(amp, logs, 800, embedded, "", "")
	p := e.start("ampipe", "run", "-c", file)
	e.waitRows(p, 1)
	code, out := e.run("ampipe", "run", "-c", file)
	if code != 2 || !strings.Contains(out, fmt.Sprint(p.cmd.Process.Pid)) {
		t.Errorf("the second run ends with %d\n%s", code, out)
	}
	set(`{"bandwidth": 0}`)
	e.finishAndVerify(p, file)
}

// TestALostLogHeals removes the whole log when everything is in it and nothing in
// the destination.
func TestALostLogHeals(t *testing.T) {
	t.Parallel()
	e := newCommandEnv(t)
	amp, _ := e.devserver("--chain", "eth_rpc", "--blocks", "400")
	c := newCluster(e, amp, 400, "", "")
	c.up("planner")
	c.up("extractor")
	conn, err := queue.Open(t.Context(), queue.Config{URL: fmt.Sprintf("nats://127.0.0.1:%d", c.port)})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	state, err := conn.State(t.Context(), "e2e")
	if err != nil {
		t.Fatal(err)
	}
	c.waitDone(state, 400-reorgBuffer)
	c.procs["planner"].kill()
	c.procs["extractor"].kill()
	log, err := conn.Log(t.Context(), "e2e", queue.LogConfig{MaxBytes: 20 << 30})
	if err != nil {
		t.Fatal(err)
	}
	if err := log.Delete(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, stage := range []string{"planner", "extractor", "sink-postgres"} {
		c.up(stage)
	}
	c.finish(2 * time.Minute)
	if out := c.procs["planner"].out.String(); !strings.Contains(out, "loaded again") {
		t.Errorf("the planner does not tell that blocks were lost\n%s", out)
	}
}

// waitDone waits until finished partitions hold so many blocks.
func (c *cluster) waitDone(kv *queue.State, blocks uint64) {
	c.t.Helper()
	for {
		parts, err := kv.Partitions(c.t.Context())
		if err != nil {
			c.t.Fatal(err)
		}
		var done uint64
		for _, p := range parts {
			if p.Value.State == state.PartitionDone {
				done += p.Value.Range().Len()
			}
		}
		if done == blocks {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// TestBadPassword asks a server that wants a password, with a wrong one, and
// looks for it in everything that is printed.
func TestBadPassword(t *testing.T) {
	t.Parallel()
	e := newCommandEnv(t)
	e.ownPostgres()
	e.exec("CREATE ROLE reader LOGIN PASSWORD 'right'")
	hba := e.postgresDir + "/data/pg_hba.conf"
	if out, err := exec.Command("sed", "-i", "1i host all reader 127.0.0.1/32 scram-sha-256", hba).CombinedOutput(); err != nil {
		t.Fatalf("edit pg_hba.conf: %v\n%s", err, out)
	}
	e.exec("SELECT pg_reload_conf()")
	amp, _ := e.devserver("--chain", "eth_rpc", "--blocks", "20")
	good := e.dsn
	e.dsn = strings.Replace(good, "ampipe@", "reader:geheimnis@", 1)
	file := e.oneSink(amp, logs, 20, embedded, "", "")
	for _, command := range []string{"check", "run"} {
		code, out := e.run("ampipe", command, "-c", file, "--log-level", "debug")
		if code != 2 || !strings.Contains(out, "password") || strings.Contains(out, "geheimnis") {
			t.Errorf("%s ends with %d\n%s", command, code, out)
		}
	}
	// The right password, but no right to make a table.
	e.dsn = strings.Replace(good, "ampipe@", "reader:right@", 1)
	code, out := e.run("ampipe", "run", "-c", file)
	if code != 2 || !strings.Contains(out, e.schema) || !strings.Contains(strings.ToUpper(out), "GRANT") {
		t.Errorf("without rights the run ends with %d\n%s", code, out)
	}
	e.dsn = good
}
