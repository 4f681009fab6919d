package pipeline_test

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/ampipe/ampipe/pkg/progress"
)

// oneSink returns a configuration with one table; more goes into the document.
func (e *commandEnv) oneSink(amp, query string, blocks int, nats, postgres, more string) string {
	e.t.Helper()
	return e.file("pipeline.yaml", fmt.Sprintf(`pipeline: e2e
source:
  amp: %s
  query: %s
range: { min_block: 0, max_block: %d }
nats: %s
sinks:
  - name: warehouse
    postgres: { dsn: "${DATABASE_URL}", schema: %s, table: rows%s }
%s`, amp, query, blocks, nats, e.schema, postgres, more))
}

const (
	embedded = "{ embedded: ./nats }"
	logs     = "SELECT * FROM eth_rpc.logs"
)

func TestRunLoadsAndVerifies(t *testing.T) {
	t.Parallel()
	for name, options := range map[string]string{
		"append": "",
		"upsert": ", mode: upsert, key: [block_num, log_index]",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newCommandEnv(t)
			amp, _ := e.devserver("--chain", "eth_rpc", "--blocks", "300")
			file := e.oneSink(amp, logs, 300, embedded, options, "")

			if out := e.must("ampipe", "plan", "-c", file); !strings.Contains(out, "blocks [0, 300)") {
				t.Errorf("plan prints\n%s", out)
			}
			if out := e.must("ampipe", "check", "-c", file); !strings.Contains(out, "CREATE TABLE") {
				t.Errorf("check does not show the table\n%s", out)
			}
			if n := e.number("SELECT count(*) FROM pg_tables WHERE schemaname = '" + e.schema + "'"); n != 0 {
				t.Errorf("check and plan made %d tables", n)
			}
			out := e.must("ampipe", "run", "-c", file)
			rows := e.number("SELECT count(*) FROM " + e.schema + ".rows")
			if rows == 0 || !strings.Contains(out, progress.Counted(rows, "row")+" written") {
				t.Errorf("%d rows are there, but run prints\n%s", rows, out)
			}
			if out := e.must("ampipe", "verify", "-c", file); !strings.Contains(out, progress.Counted(rows, "row")) {
				t.Errorf("%d rows are there, but verify prints\n%s", rows, out)
			}

			// Run again, everything is there and nothing is read or written.
			if out := e.must("ampipe", "run", "-c", file); !strings.Contains(out, " 0 rows written") {
				t.Errorf("the second run prints\n%s", out)
			}
			if again := e.number("SELECT count(*) FROM " + e.schema + ".rows"); again != rows {
				t.Errorf("%d rows after the second run, %d after the first", again, rows)
			}
		})
	}
}

func TestVerifyNamesEveryBlockThatDiffers(t *testing.T) {
	t.Parallel()
	e := newCommandEnv(t)
	amp, _ := e.devserver("--chain", "eth_rpc", "--blocks", "50")
	file := e.oneSink(amp, logs, 50, embedded, "", "")
	e.must("ampipe", "run", "-c", file)
	table := e.schema + ".rows"
	e.exec("DELETE FROM " + table + " WHERE block_num = 7")
	e.exec("INSERT INTO " + table + " SELECT * FROM " + table + " WHERE block_num = 11 AND log_index = 0")
	e.exec("UPDATE " + table + " SET data = '\\x00' WHERE block_num = 13 AND log_index = 1")

	code, out := e.run("ampipe", "verify", "-c", file)
	if code != 3 {
		t.Errorf("exit code %d, want 3", code)
	}
	named := regexp.MustCompile(`warehouse: block (\d+):`).FindAllStringSubmatch(out, -1)
	if len(named) != 3 {
		t.Fatalf("%d blocks are named, want 3\n%s", len(named), out)
	}
	for i, want := range []int{7, 11, 13} {
		if got, _ := strconv.Atoi(named[i][1]); got != want {
			t.Errorf("difference %d is block %d, want %d", i, got, want)
		}
	}
}

func TestSeveralPipelinesInOneRun(t *testing.T) {
	t.Parallel()
	e := newCommandEnv(t)
	amp, _ := e.devserver("--chain", "eth_rpc", "--blocks", "100")
	var docs []string
	for _, table := range []string{"blocks", "transactions", "logs"} {
		docs = append(docs, fmt.Sprintf(`pipeline: e2e-%[1]s
source: { amp: %[2]s, query: SELECT * FROM eth_rpc.%[1]s }
range: { max_block: 100 }
nats: { embedded: ./nats }
sinks: [{ name: warehouse, postgres: { dsn: "${DATABASE_URL}", schema: %[3]s, table: %[1]s } }]
`, table, amp, e.schema))
	}
	file := e.file("pipeline.yaml", strings.Join(docs, "---\n"))
	e.must("ampipe", "run", "-c", file)
	out := e.must("ampipe", "verify", "-c", file)
	if strings.Count(out, "are equal in source and destination") != 3 {
		t.Errorf("verify prints\n%s", out)
	}
}

func TestRangeGrows(t *testing.T) {
	t.Parallel()
	e := newCommandEnv(t)
	amp, _ := e.devserver("--chain", "eth_rpc", "--blocks", "200")
	e.must("ampipe", "run", "-c", e.oneSink(amp, logs, 80, embedded, "", ""))
	file := e.oneSink(amp, logs, 200, embedded, "", "")
	e.must("ampipe", "run", "-c", file)
	e.must("ampipe", "verify", "-c", file)
}
