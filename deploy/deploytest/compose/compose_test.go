//go:build linux

package compose

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// logsPerBlock is what the development server makes.
const logsPerBlock = 200

// TestCompose starts docker-compose.yml with the profile demo, loads, scales every
// stage up, rolls it and scales the extractors down while a reorging chain is followed,
// and verifies. With AMPIPE_COMPOSE_ROWS it loads that many rows of history.
func TestCompose(t *testing.T) {
	t.Parallel()
	rows, err := strconv.Atoi(cmp.Or(os.Getenv("AMPIPE_COMPOSE_ROWS"), "80000"))
	if err != nil {
		t.Fatal(err)
	}
	long := os.Getenv("AMPIPE_COMPOSE_ROWS") != ""
	ensureServers(t)
	r := newRunner(t, load(t, []string{"demo", "tools"}, "SECRETS="+secrets(t),
		"DEMO_BLOCKS="+strconv.Itoa(rows/logsPerBlock), "DEMO_BLOCK_TIME=250ms"))
	started := time.Now()
	r.up()
	t.Logf("up after %v", time.Since(started).Round(time.Millisecond))
	r.scale("extractor", 4)
	sinks := []string{"sink-postgres", "sink-redis", "sink-delta"}
	for _, sink := range sinks {
		r.scale(sink, 2)
	}
	r.waitHealthy()
	r.checkRights()
	stages := append(slices.Clone(sinks), "extractor", "planner") // as docs/upgrade.md has it
	if long {
		for _, stage := range stages {
			r.roll(stage)
		}
		t.Logf("rolled during the history, %v", time.Since(started).Round(time.Millisecond))
	}
	for _, stage := range stages {
		for _, i := range r.running[stage] {
			i.waitReady(30 * time.Minute)
		}
	}
	t.Logf("history complete after %v", time.Since(started).Round(time.Millisecond))
	r.verify()
	for _, stage := range stages {
		r.roll(stage)
	}
	r.scale("extractor", 1)
	t.Logf("rolled, and extractors scaled down, after %v", time.Since(started).Round(time.Millisecond))
	r.waitReorg()
	for _, out := range r.verify() {
		t.Log(out)
	}
	r.down()
	r.report()
	r.checkMemory()
}

// verify compares the source with every destination.
func (r *runner) verify() []string {
	r.Helper()
	out, err := r.run("ampipe", "verify")
	if err != nil {
		r.Fatalf("verify: %v\n%s", err, out)
	}
	equal := regexp.MustCompile(`(?m)^.*\d+ rows in \d+ blocks of .* are equal in source and destination$`).FindAllString(out, -1)
	if len(equal) != 3 {
		r.Fatalf("verify compares %d destinations, want 3\n%s", len(equal), out)
	}
	return equal
}

// checkRights fails unless our programs run as a user without rights, as the file
// says, and their file system is read-only.
func (r *runner) checkRights() {
	r.Helper()
	for name, all := range r.running {
		if !ours(r.project.Services[name]) {
			continue
		}
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", all[0].cmd.Process.Pid))
		if err != nil {
			r.Fatal(err)
		}
		for _, want := range []string{"CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1"} {
			if os.Getuid() == 0 && !strings.Contains(string(status), want) {
				r.Errorf("%s runs without %q", name, want)
			}
		}
		mounts, err := os.ReadFile(fmt.Sprintf("/proc/%d/mounts", all[0].cmd.Process.Pid))
		if err != nil {
			r.Fatal(err)
		}
		if !regexp.MustCompile(`(?m)^\S+ / \S+ ro,`).Match(mounts) {
			r.Errorf("%s may write to its root:\n%s", name, mounts)
		}
	}
}

var reorgs = regexp.MustCompile(`(?m)^ampipe_reorgs_total\{[^}]*\} ([1-9]\d*)$`)

// waitReorg waits until one of the extractors has followed a reorg.
func (r *runner) waitReorg() {
	r.Helper()
	r.running["extractor"][0].until("has followed a reorg", time.Minute, func() (string, error) {
		metrics, err := get(fmt.Sprintf("http://%s:9090/metrics", r.running["extractor"][0].address))
		if err != nil || reorgs.MatchString(metrics) {
			return metrics, err
		}
		return "", fmt.Errorf("ampipe_reorgs_total is 0")
	})
}

// report prints what each service has taken.
func (r *runner) report() {
	for _, name := range slices.Sorted(maps.Keys(r.usage)) {
		u := r.usage[name]
		r.Logf("%-14s %2d processes, %8v of processor time, at most %4d MiB", name, u.processes, u.processor.Round(10*time.Millisecond), u.memory>>20)
	}
}

// checkMemory fails if a process needed more memory than the file allows it.
func (r *runner) checkMemory() {
	r.Helper()
	for name, u := range r.usage {
		if limit := int64(r.project.Services[name].Deploy.Resources.Limits.MemoryBytes); u.memory > limit {
			r.Errorf("%s had %d MiB in memory, and its limit is %d MiB", name, u.memory>>20, limit>>20)
		}
	}
}

// ensureServers installs PostgreSQL and Redis if they are missing.
func ensureServers(t *testing.T) {
	t.Helper()
	r := &runner{TB: t}
	r.script("postgres", nil, "ensure")
	r.script("redis", nil, "ensure")
}
