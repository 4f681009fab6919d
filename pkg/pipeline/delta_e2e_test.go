package pipeline_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// lakeLab is a lab that needs no PostgreSQL: tables lie in its folder, or on S3.
func lakeLab(t testing.TB) *lab {
	t.Helper()
	return &lab{t: t, dir: t.TempDir(), bin: commands(t)}
}

// lake is a configuration with one Delta table; delta is what its section says.
func (l *lab) lake(amp, query string, blocks int, delta string) string {
	l.t.Helper()
	return l.file("pipeline.yaml", fmt.Sprintf(`pipeline: e2e
source: { amp: "%s", query: "%s" }
range: { min_block: 0, max_block: %d }
nats: { embedded: ./nats }
sinks: [ { name: lake, delta: { %s } } ]
`, amp, query, blocks, delta))
}

// counted is what delta-rs sees of a table: its rows, those of some blocks, and
// how often a row comes twice.
type counted struct {
	Rows, Some, Twice, Versions, Files int
}

const countRows = `
import json, os, sys
from deltalake import DeltaTable
options = json.loads(os.environ.get("AMPIPE_TEST_OPTIONS") or "{}")
dt = DeltaTable(sys.argv[1], storage_options=options)
rows = dt.to_pyarrow_table(columns=["_block_num", "log_index"])
some = dt.to_pyarrow_table(columns=["_block_num"], filters=[("_block_num", ">=", 100), ("_block_num", "<", 200)])
keys = rows.group_by(["_block_num", "log_index"]).aggregate([([], "count_all")])
json.dump({"rows": rows.num_rows, "some": some.num_rows, "twice": rows.num_rows - keys.num_rows,
           "versions": dt.version() + 1, "files": len(dt.file_uris())}, sys.stdout)
sys.stdout.flush()
os._exit(0)
`

// deltaRS counts the rows of a table by delta-rs.
func deltaRS(t testing.TB, place string, options map[string]string) (c counted) {
	t.Helper()
	python := os.Getenv("AMPIPE_TEST_DELTALAKE")
	if python == "" {
		t.Skip("AMPIPE_TEST_DELTALAKE is not set: no delta-rs (scripts/deltalake run … sets it)")
	}
	command := exec.Command(python, "-c", countRows, place)
	text, err := json.Marshal(options)
	if err != nil {
		t.Fatal(err)
	}
	command.Env = append(os.Environ(), "AMPIPE_TEST_OPTIONS="+string(text))
	var trouble strings.Builder
	command.Stderr = &trouble
	out, err := command.Output()
	if err == nil {
		err = json.Unmarshal(out, &c)
	}
	if err != nil {
		t.Fatalf("delta-rs: %v\n%s", err, &trouble)
	}
	return c
}

// rowsIn takes the number of rows out of what verify prints.
func rowsIn(t testing.TB, out string) int {
	t.Helper()
	m := regexp.MustCompile(`lake: (\d+) rows in`).FindStringSubmatch(out)
	if m == nil {
		t.Fatalf("verify prints\n%s", out)
	}
	var n int
	if _, err := fmt.Sscan(m[1], &n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestDeltaLoadsAndVerifies(t *testing.T) {
	t.Parallel()
	l := lakeLab(t)
	amp, _ := l.devserver("--chain", "eth_rpc", "--blocks", "300")
	file := l.lake(amp, logs, 300, "path: lake/logs, partition_by: [ { column: block_num, bucket: 100 } ]")
	if out := l.must("ampipe", "check", "-c", file); !strings.Contains(out, "USING DELTA PARTITIONED BY (`block_num_bucket`)") {
		t.Errorf("check prints\n%s", out)
	}
	if _, err := os.Stat(filepath.Join(l.dir, "lake")); !os.IsNotExist(err) {
		t.Errorf("check has left something behind: %v", err)
	}
	l.must("ampipe", "run", "-c", file)
	rows := rowsIn(t, l.must("ampipe", "verify", "-c", file))
	if out := l.must("ampipe", "run", "-c", file); !strings.Contains(out, " 0 rows written") {
		t.Errorf("the second run prints\n%s", out)
	}
	got := deltaRS(t, filepath.Join(l.dir, "lake/logs"), nil)
	if got.Rows != rows || got.Twice != 0 || got.Some == 0 || got.Some >= rows {
		t.Errorf("verify sees %d rows, delta-rs %+v", rows, got)
	}
}

// TestDeltaSurvivesKills kills the process again and again while it loads, into
// a folder and into a bucket.
func TestDeltaSurvivesKills(t *testing.T) {
	t.Parallel()
	for name, s3 := range map[string]bool{"folder": false, "S3": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := lakeLab(t)
			where, options := "path: lake", map[string]string{}
			place := filepath.Join(l.dir, "lake")
			if s3 {
				endpoint := os.Getenv("AMPIPE_TEST_S3")
				if endpoint == "" {
					t.Skip("AMPIPE_TEST_S3 is not set: no S3 server (scripts/minio run … starts one)")
				}
				place = "s3://lake/" + filepath.Base(l.dir) + "-kills"
				where = fmt.Sprintf("url: '%s', endpoint: '%s'", place, endpoint)
				options = map[string]string{"AWS_ENDPOINT_URL": endpoint, "AWS_ALLOW_HTTP": "true", "AWS_REGION": "us-east-1",
					"AWS_ACCESS_KEY_ID": "minioadmin", "AWS_SECRET_ACCESS_KEY": "minioadmin"}
				l.env = []string{"AWS_ACCESS_KEY_ID=minioadmin", "AWS_SECRET_ACCESS_KEY=minioadmin", "AWS_EC2_METADATA_DISABLED=true"}
			}
			amp, _ := l.devserver("--chain", "eth_rpc", "--blocks", "3000", "--latency", "5ms")
			file := l.lake(amp, logs, 3000, where+", max_commit_delay: 200ms, checkpoint_every: 5, target_file_size: 1MiB")
			for i := range 6 {
				p := l.start("ampipe", "run", "-c", file)
				select {
				case <-p.exited:
				case <-time.After(time.Duration(300+150*i) * time.Millisecond):
				}
				p.kill()
			}
			l.must("ampipe", "run", "-c", file)
			rows := rowsIn(t, l.must("ampipe", "verify", "-c", file))
			got := deltaRS(t, place, options)
			if got.Rows != rows || got.Twice != 0 {
				t.Errorf("verify sees %d rows, delta-rs %+v", rows, got)
			}
		})
	}
}
