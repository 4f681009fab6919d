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

	"github.com/ampipe/ampipe/pkg/sink/sinktest"
)

// newLakeEnv returns a commandEnv that needs no PostgreSQL: tables lie in its folder, or on S3.
func newLakeEnv(t testing.TB) *commandEnv {
	t.Helper()
	return &commandEnv{t: t, dir: t.TempDir(), bin: commands(t)}
}

// lake returns a configuration with one Delta table; delta is what its section says.
func (e *commandEnv) lake(amp, query string, blocks int, delta string) string {
	e.t.Helper()
	return e.file("pipeline.yaml", fmt.Sprintf(`pipeline: e2e
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
	m := regexp.MustCompile(`lake: ([\d,]+) rows in`).FindStringSubmatch(out)
	if m == nil {
		t.Fatalf("verify prints\n%s", out)
	}
	var n int
	if _, err := fmt.Sscan(strings.ReplaceAll(m[1], ",", ""), &n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestDeltaLoadsAndVerifies(t *testing.T) {
	t.Parallel()
	e := newLakeEnv(t)
	amp, _ := e.devserver("--chain", "eth_rpc", "--blocks", "300")
	file := e.lake(amp, logs, 300, "path: lake/logs, partition_by: [ { column: block_num, bucket: 100 } ]")
	if out := e.must("ampipe", "check", "-c", file); !strings.Contains(out, "USING DELTA PARTITIONED BY (`block_num_bucket`)") {
		t.Errorf("check prints\n%s", out)
	}
	if _, err := os.Stat(filepath.Join(e.dir, "lake")); !os.IsNotExist(err) {
		t.Errorf("check has left something behind: %v", err)
	}
	e.must("ampipe", "run", "-c", file)
	rows := rowsIn(t, e.must("ampipe", "verify", "-c", file))
	if out := e.must("ampipe", "run", "-c", file); !strings.Contains(out, " 0 rows written") {
		t.Errorf("the second run prints\n%s", out)
	}
	got := deltaRS(t, filepath.Join(e.dir, "lake/logs"), nil)
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
			e := newLakeEnv(t)
			where, options := "path: lake", map[string]string{}
			place := filepath.Join(e.dir, "lake")
			if s3 {
				endpoint := os.Getenv("AMPIPE_TEST_S3")
				if endpoint == "" {
					t.Skip("AMPIPE_TEST_S3 is not set: no S3 server (scripts/minio run … starts one)")
				}
				place = "s3://lake/" + filepath.Base(e.dir) + "-kills"
				where = fmt.Sprintf("url: '%s', endpoint: '%s'", place, endpoint)
				options = map[string]string{"AWS_ENDPOINT_URL": endpoint, "AWS_ALLOW_HTTP": "true", "AWS_REGION": "us-east-1",
					"AWS_ACCESS_KEY_ID": "minioadmin", "AWS_SECRET_ACCESS_KEY": "minioadmin"}
				e.env = []string{"AWS_ACCESS_KEY_ID=minioadmin", "AWS_SECRET_ACCESS_KEY=minioadmin", "AWS_EC2_METADATA_DISABLED=true"}
			}
			amp, _ := e.devserver("--chain", "eth_rpc", "--blocks", "3000", "--bandwidth", "15000000")
			file := e.lake(amp, logs, 3000, where+", max_commit_delay: 200ms, checkpoint_every: 3, target_file_size: 1MiB")
			const kills = 4
			for i := range kills {
				p := e.start("ampipe", "run", "-c", file)
				if s3 {
					select {
					case <-p.exited:
					case <-time.After(time.Duration(800+150*i) * time.Millisecond):
					}
				} else {
					e.waitVersions(p, place, e.versions(place)+2)
				}
				p.kill()
			}
			e.must("ampipe", "run", "-c", file)
			rows := rowsIn(t, e.must("ampipe", "verify", "-c", file))
			got := deltaRS(t, place, options)
			if got.Rows != rows || got.Twice != 0 || got.Versions <= kills {
				t.Errorf("verify sees %d rows, delta-rs %+v", rows, got)
			}
		})
	}
}

// versions counts the versions of a table in a folder.
func (e *commandEnv) versions(folder string) int {
	e.t.Helper()
	found, err := filepath.Glob(filepath.Join(folder, "_delta_log", "*.json"))
	if err != nil {
		e.t.Fatal(err)
	}
	return len(found)
}

// waitVersions waits until a table has so many versions.
func (e *commandEnv) waitVersions(p *process, folder string, n int) {
	e.t.Helper()
	for e.versions(folder) < n {
		select {
		case <-p.exited:
			e.t.Fatalf("the process ended before there were %d versions\n%s", n, p.out)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// TestDeltaSinkIsTakenOver runs the stages as processes of their own, two of them
// sinks of one table, and kills the sinks in turns.
func TestDeltaSinkIsTakenOver(t *testing.T) {
	t.Parallel()
	e := newLakeEnv(t)
	amp, _ := e.devserver("--chain", "eth_rpc", "--blocks", "1500", "--bandwidth", "15000000")
	port := sinktest.FreePort(t)
	e.startNATS(port)
	file := e.file("pipeline.yaml", fmt.Sprintf(`pipeline: e2e
source: { amp: "%s", query: "%s" }
range: { min_block: 0, max_block: 1500 }
nats: { url: "nats://127.0.0.1:%d" }
sinks: [ { name: lake, delta: { path: lake, max_commit_delay: 300ms } } ]
`, amp, logs, port))
	folder := filepath.Join(e.dir, "lake")
	planner := e.start("planner", "-c", file)
	e.start("extractor", "-c", file)
	sinks := []*process{e.start("sink-delta", "-c", file), e.start("sink-delta", "-c", file)}
	for i := range 4 {
		e.waitVersions(sinks[i%2], folder, e.versions(folder)+2)
		sinks[i%2].kill()
		sinks[i%2] = e.start("sink-delta", "-c", file)
	}
	if code := planner.wait(t, 3*time.Minute); code != 0 {
		t.Fatalf("the planner ended with %d\n%s", code, planner.out)
	}
	rows := rowsIn(t, e.must("ampipe", "verify", "-c", file))
	if got := deltaRS(t, folder, nil); got.Rows != rows || got.Twice != 0 {
		t.Errorf("verify sees %d rows, delta-rs %+v", rows, got)
	}
}

// TestDeltaHousekeeping compacts and vacuums by the commands, and loads more after.
func TestDeltaHousekeeping(t *testing.T) {
	t.Parallel()
	e := newLakeEnv(t)
	amp, _ := e.devserver("--chain", "eth_rpc", "--blocks", "900", "--bandwidth", "15000000")
	folder := filepath.Join(e.dir, "lake")
	file := e.lake(amp, logs, 600, "path: lake, max_commit_delay: 200ms")
	e.must("ampipe", "run", "-c", file)
	before := deltaRS(t, folder, nil)
	if out := e.must("ampipe", "compact", "-c", file, "--dry-run"); !strings.Contains(out, fmt.Sprintf("%d small files", before.Files)) {
		t.Errorf("a dry run prints\n%s", out)
	}
	e.must("ampipe", "compact", "-c", file)
	after := deltaRS(t, folder, nil)
	if after.Rows != before.Rows || before.Files < 3 || after.Files != 1 {
		t.Errorf("%+v became %+v", before, after)
	}
	if out := e.must("ampipe", "vacuum", "-c", file); !strings.Contains(out, "lake: 0 files") {
		t.Errorf("vacuum of fresh files prints\n%s", out)
	}
	if code, out := e.run("ampipe", "vacuum", "-c", file, "--retention", "1m"); code != 2 || !strings.Contains(out, "shorter than 1h") {
		t.Errorf("a short retention gives %d\n%s", code, out)
	}
	file = e.lake(amp, logs, 900, "path: lake, max_commit_delay: 200ms")
	e.must("ampipe", "run", "-c", file)
	rows := rowsIn(t, e.must("ampipe", "verify", "-c", file))
	if got := deltaRS(t, folder, nil); got.Rows != rows || got.Twice != 0 || rows <= before.Rows {
		t.Errorf("verify sees %d rows, delta-rs %+v", rows, got)
	}
}

// TestDeltaBadInput goes through what users get wrong: one clear message, exit
// code 2, nothing written.
func TestDeltaBadInput(t *testing.T) {
	t.Parallel()
	e := newLakeEnv(t)
	amp, _ := e.devserver("--chain", "eth_rpc", "--blocks", "20")
	e.file("plain", "not a folder")
	if err := os.MkdirAll(filepath.Join(e.dir, "other"), 0o777); err != nil {
		t.Fatal(err)
	}
	e.file("other/notes.txt", "mine")
	for name, c := range map[string]struct {
		query, delta string
		want         []string
	}{
		"no place":            {logs, "overwrite: true", []string{"pipeline.yaml:5", "path is missing"}},
		"unknown compression": {logs, "path: lake, compression: lzo", []string{"pipeline.yaml:5", "zstd(1)"}},
		"upsert":              {logs, "path: lake, mode: upsert, key: [log_index]", []string{"pipeline.yaml:5", "only appended to"}},
		"a file":              {logs, "path: plain", []string{"plain", "a file stands where the table needs a folder"}},
		"something else":      {logs, "path: other", []string{"other", "there are files, and no Delta table", "notes.txt"}},
		"a forbidden name":    {"SELECT _block_num, address AS \\\"the address\\\" FROM eth_rpc.logs", "path: lake", []string{"the address", "AS the_address"}},
		"no such column":      {logs, "path: lake, partition_by: [nope]", []string{"partition_by", "nope"}},
		"no account":          {logs, "url: 'azblob://nope/x'", []string{"azblob://nope/x", "AZURE_STORAGE_ACCOUNT is not set"}},
		"no such bucket":      {logs, "url: 's3://nope/x', endpoint: '" + os.Getenv("AMPIPE_TEST_S3") + "'", []string{"the bucket does not exist"}},
	} {
		t.Run(name, func(t *testing.T) {
			if strings.Contains(c.delta, "endpoint: ''") {
				t.Skip("AMPIPE_TEST_S3 is not set: no S3 server (scripts/minio run … starts one)")
			}
			if err := os.RemoveAll(filepath.Join(e.dir, "nats")); err != nil {
				t.Fatal(err)
			}
			e.env = []string{"AWS_ACCESS_KEY_ID=minioadmin", "AWS_SECRET_ACCESS_KEY=minioadmin", "AWS_EC2_METADATA_DISABLED=true"}
			code, out := e.run("ampipe", "run", "-c", e.lake(amp, strings.ReplaceAll(c.query, `\\`, `\`), 20, c.delta))
			if code != 2 {
				t.Errorf("exit code %d, want 2", code)
			}
			for _, want := range c.want {
				if !strings.Contains(out, want) {
					t.Errorf("the message does not say %q:\n%s", want, out)
				}
			}
			if _, err := os.Stat(filepath.Join(e.dir, "lake")); !os.IsNotExist(err) {
				t.Errorf("something was written: %v", err)
			}
		})
	}
}
