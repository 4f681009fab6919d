package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/ampipe/ampipe/pkg/ops"
	"github.com/ampipe/ampipe/pkg/pipeline"
	"github.com/ampipe/ampipe/pkg/progress"
)

// TestDoctor looks at NATS and PostgreSQL of which `ampipe check` is content, in both of
// its forms, and again when they were mended as advised, and when NATS is away.
func TestDoctor(t *testing.T) {
	t.Parallel()
	s := &site{T: t, dir: t.TempDir(), amp: ampServer(t), vars: map[string]string{}}
	p := newWarehouse(s)
	server := s.nats("http: \"127.0.0.1:-1\"\n" + `jetstream { store_dir: "$STORE", max_file_store: 40GiB }`)
	s.configure(strings.Replace(warehouse, "nats: { embedded: ./nats }", "nats: { url: nats://$NATS }", 1))
	p.run(logs + "GRANT SELECT, INSERT, DELETE ON logs TO " + p.loader +
		"; CREATE PUBLICATION feed FOR TABLE logs WITH (publish = 'insert'); ALTER TABLE logs SET (autovacuum_enabled = off)")
	code, out := s.command(firstMinute, "", "check")
	if code != ops.ExitDone || strings.Contains(out, "warning") {
		t.Errorf("check: exit code %d\n%s", code, out)
	}
	doctor := func(args ...string) (int, string) {
		t.Helper()
		monitor := fmt.Sprintf("http://%v", server.node.MonitorAddr())
		code, out, complaints := ampipe(t, s.dir, append([]string{"doctor", "--nats-monitor", monitor}, args...)...)
		if complaints != "" {
			t.Errorf("doctor says\n%s", complaints)
		}
		return code, out
	}
	wanted := []struct{ part, kind, begins string }{
		{"NATS", "safety", "the NATS server syncs its files every 2m0s"},
		{"sink pg", "safety", "autovacuum is off for the table public.logs"},
		{"sink pg", "safety", `the publication "feed" brings new rows of public.logs`},
		{"NATS", "speed", "the NATS server takes entries of up to"},
	}
	// findings returns those of a look, without the one of the server of all tests, on which
	// nothing is lost by it.
	findings := func() (all []pipeline.Finding, fsync int) {
		t.Helper()
		code, text := doctor("--json")
		var report pipeline.Report
		if err := json.Unmarshal([]byte(text), &report); err != nil || (code == ops.ExitDone) != (len(report.Findings) == 0) {
			t.Fatalf("doctor --json: exit code %d, %v\n%s", code, err, text)
		}
		for _, f := range report.Findings {
			if strings.HasPrefix(f.Text, "fsync is off") {
				fsync++
			} else {
				all = append(all, f)
			}
		}
		return all, fsync
	}
	found, fsync := findings()
	if len(found) != len(wanted) {
		t.Fatalf("found %+v", found)
	}
	code, text := doctor()
	if code != ops.ExitIncomplete || !strings.HasPrefix(text, fmt.Sprintf("%d findings: %d about safety, 1 about speed\n", 4+fsync, 3+fsync)) {
		t.Errorf("doctor: exit code %d\n%s", code, text)
	}
	for line := range strings.Lines(text) {
		if progress.Columns(strings.TrimSuffix(line, "\n")) > defaultColumns {
			t.Errorf("too wide: %s", line)
		}
	}
	for i, w := range wanted {
		f := found[i]
		if f.Part != w.part || string(f.Kind) != w.kind || !strings.HasPrefix(f.Text, w.begins) || len(f.Pipelines) != 1 {
			t.Errorf("got %+v, want %+v", f, w)
		}
		statement, ofPostgres := strings.CutPrefix(f.Fix, "run ")
		if ofPostgres {
			p.run(statement)
		}
	}
	server.start("http: \"127.0.0.1:-1\"\nmax_payload: 8MB\n" + `jetstream { store_dir: "$STORE", max_file_store: 40GiB, sync_interval: always }`)
	found, fsync = findings()
	if len(found) != 0 {
		t.Errorf("when it was mended as advised: %+v", found)
	}
	code, text = doctor()
	if fsync == 0 && (code != ops.ExitDone || text != "everything is as it should be\n") {
		t.Errorf("when it was mended as advised: exit code %d\n%s", code, text)
	}
	p.run("REVOKE DELETE ON logs FROM " + p.loader)
	monitor := fmt.Sprintf("http://%v", server.node.MonitorAddr())
	server.stop()
	code, text, _ = ampipe(t, s.dir, "doctor", "--nats-monitor", monitor)
	text = strings.Join(strings.Fields(text), " ")
	if code != ops.ExitFailed || !strings.HasPrefix(text, fmt.Sprintf("%d findings: 1 error, 1 unavailable", 2+fsync)) ||
		!strings.Contains(text, "lacks rights; run GRANT DELETE") || !strings.Contains(text, "connect to NATS") {
		t.Errorf("without NATS, and with a right that is missing: exit code %d\n%s", code, text)
	}
}
