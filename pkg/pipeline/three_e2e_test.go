package pipeline_test

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ampipe/ampipe/pkg/sink/sinktest"
)

// TestThreeDestinations follows a chain that forks into PostgreSQL, Redis and Delta
// Lake, each by a process of its own. One of them is stopped for a while: the others
// do not slow, and it catches up alone. AMPIPE_STOP_SECONDS=180 is the long form.
func TestThreeDestinations(t *testing.T) {
	r := newRedisEnv(t)
	window := 6 * time.Second
	if n, err := strconv.Atoi(os.Getenv("AMPIPE_STOP_SECONDS")); err == nil {
		window = time.Duration(n) * time.Second
	}
	amp, _ := r.devserver("--chain", "eth_rpc", "--blocks", "600", "--logs-per-block", "100",
		"--live", "--block-time", "100ms", "--reorg-every", "25", "--reorg-depth", "1-12/3")
	c := &cluster{commandEnv: r.commandEnv, port: sinktest.FreePort(t), procs: map[string]*process{}}
	c.nats = r.startNATS(c.port)
	c.file = r.file("pipeline.yaml", fmt.Sprintf(`pipeline: %[1]s
source: { amp: "%[2]s", query: %[3]s }
range: { min_block: 0 }
nats: { url: "nats://127.0.0.1:%[4]d" }
log: { max_bytes: 256MiB } # the default may be more than the disk has to spare
sinks:
  - name: warehouse
    postgres: { dsn: "${DATABASE_URL}", schema: %[1]s, table: rows }
  - name: cache
    redis: { url: "%[5]s", table: %[1]s, key: [block_num, log_index] }
  - name: lake
    delta: { path: ./lake, max_commit_delay: 1s }
`, r.name, amp, logs, c.port, r.url))
	c.up("planner")
	c.up("extractor")
	stages := []string{"sink-postgres", "sink-redis", "sink-delta"}
	ports := map[string]int{}
	start := func(stage string) {
		ports[stage] = sinktest.FreePort(t)
		c.procs[stage] = r.start(stage, "-c", c.file, "--listen", fmt.Sprintf("127.0.0.1:%d", ports[stage]))
	}
	for _, stage := range stages {
		start(stage)
	}
	for _, stage := range stages {
		r.wrote(t, ports[stage], 64_000) // all that there was, and some that has come since: from here on it follows
	}
	measure := func(who ...string) map[string]float64 {
		before := map[string]float64{}
		for _, stage := range who {
			before[stage] = rowsWritten(t, ports[stage])
		}
		time.Sleep(window)
		rates := map[string]float64{}
		for _, stage := range who {
			rates[stage] = (rowsWritten(t, ports[stage]) - before[stage]) / window.Seconds()
		}
		return rates
	}
	before := measure(stages...)
	c.procs["sink-redis"].kill()
	during := measure("sink-postgres", "sink-delta")
	start("sink-redis")
	r.wrote(t, ports["sink-redis"], 1)
	after := measure(stages...)
	for _, stage := range stages {
		t.Logf("%s, rows/s: %.0f before, %.0f while sink-redis was down, %.0f after", stage, before[stage], during[stage], after[stage])
	}
	for stage, rate := range during {
		if rate < 0.6*before[stage] {
			t.Errorf("%s wrote %.0f rows/s before and %.0f while another sink was down", stage, before[stage], rate)
		}
	}
	out := r.must("ampipe", "verify", "-c", c.file)
	if n := strings.Count(out, "are equal in source and destination"); n != 3 {
		t.Errorf("%d of 3 destinations are equal\n%s", n, out)
	}
	t.Log(out)
}

// wrote waits until a sink has written so many rows.
func (e *commandEnv) wrote(t *testing.T, port int, rows float64) {
	t.Helper()
	for limit := time.Now().Add(2 * time.Minute); rowsWritten(t, port) < rows; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("the sink has written %.0f rows of %.0f", rowsWritten(t, port), rows)
		}
	}
}

// rowsWritten asks a sink's metrics; a process that does not answer yet has written
// none.
func rowsWritten(t *testing.T, port int) float64 {
	t.Helper()
	answer, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/metrics", port))
	if err != nil {
		return 0
	}
	defer func() { _ = answer.Body.Close() }() // it is read
	sum := 0.0
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		if name, value, ok := strings.Cut(lines.Text(), " "); ok && strings.HasPrefix(name, "ampipe_sink_rows_total") {
			n, err := strconv.ParseFloat(value, 64)
			if err != nil {
				t.Fatal(err)
			}
			sum += n
		}
	}
	return sum
}
