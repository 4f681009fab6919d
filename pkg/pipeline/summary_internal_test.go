package pipeline

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/plan"
	"github.com/ampipe/ampipe/pkg/progress"
	"github.com/ampipe/ampipe/pkg/state"
)

func TestSummary(t *testing.T) {
	long := "row too large: " + strings.Repeat("x", 4000)
	status := plan.Status{History: block.Range{Start: 0, End: 70}, Partitions: []state.Partition{
		{Start: 20, End: 30, State: state.PartitionDone, Rows: 50, Seconds: 10, Attempts: 4},
		{Start: 0, End: 10, State: state.PartitionDone, Rows: 100, Seconds: 1, Attempts: 1},
		{Start: 10, End: 20, State: state.PartitionDone, Rows: 100, Seconds: 1, Attempts: 1},
		{Start: 40, End: 50, State: state.PartitionFailed, Error: long, Seconds: 2, Attempts: 1},
		{Start: 30, End: 40, State: state.PartitionDone, Rows: 7}, // of an older version
		{Start: 50, End: 60, State: state.PartitionOpen},
		{Start: 60, End: 70, State: state.PartitionFailed, Error: "away", Attempts: 1},
		{Start: 60, End: 70, Generation: 1, State: state.PartitionDone, Rows: 1, Attempts: 1}, // after ampipe retry
	}}
	s := &stages{config: &config.Pipeline{Name: "logs", Sinks: []config.Sink{{Name: "lake"}}}, meter: progress.NewMeter("lake"), idle: newIdleClock()}
	s.settings = newSettings(s.config)
	s.meter.Stopped("lake", "block 7: too large")
	said := func(o Options) []string {
		var out strings.Builder
		o.Out = &out
		s.summarize(o, s.config.Sinks, status, time.Second, nil)
		return strings.Split(out.String(), "\n")
	}
	lines := said(Options{})
	want := []string{
		"logs: blocks [0, 70), 5 of 8 partitions done, 1.0 s",
		"  read         blocks [0, 20), 200 rows, 2.0 s of work, 100 rows/s a worker",
		"  read         blocks [20, 30), 50 rows, 10 s of work, 5 rows/s a worker, 4 tries",
		"  read         blocks [30, 40), 7 rows",
	}
	if !slices.Equal(lines[:len(want)], want) {
		t.Errorf("it says\n%s", strings.Join(lines, "\n"))
	}
	failed := slices.Index(lines, "  FAILED       blocks [40, 50): "+long)
	stopped := slices.Index(lines, "  STOPPED      sink lake: block 7: too large")
	if failed < 0 || stopped < 0 || failed < stopped || failed < slices.IndexFunc(lines, func(l string) bool { return strings.Contains(l, "workers") }) {
		t.Errorf("failures are not last and whole:\n%s", strings.Join(lines, "\n"))
	}
	if n := strings.Count(strings.Join(lines, "\n"), "FAILED"); n != 1 {
		t.Errorf("%d failures, one of which was loaded since:\n%s", n, strings.Join(lines, "\n"))
	}
	if lines := said(Options{Results: true}); !slices.Contains(lines, "  read         blocks [10, 20), 100 rows, 1.0 s of work, 100 rows/s a worker") {
		t.Errorf("--results leaves out partitions:\n%s", strings.Join(lines, "\n"))
	}
	n := 0
	for _, line := range said(Options{Results: true, JSON: true}) {
		var r Result
		if !strings.HasPrefix(line, "{") {
			continue
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil || r.Pipeline != "logs" || r.State == "" {
			t.Errorf("%s: %v", line, err)
		}
		n++
	}
	if n != 7 {
		t.Errorf("%d results in JSON, want 7", n)
	}
}
