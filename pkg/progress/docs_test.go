package progress_test

import (
	"flag"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/progress"
)

// full returns a meter that knows everything.
func full() *progress.Meter {
	m := progress.NewMeter("warehouse")
	m.Planned(block.Range{Start: 0, End: 10}, block.NewSet(block.Range{Start: 0, End: 4}))
	m.Published(block.Range{Start: 4, End: 6}, 7, 100)
	m.Seen(12, time.Now())
	m.Reorged()
	m.Applied("warehouse", 5)
	m.Committed("warehouse", 3, time.Second)
	m.Refused("warehouse", 6)
	m.CountSpans(func() (sent, lost uint64) { return 14, 15 })
	m.SetDeadLetters("warehouse", 13)
	m.Reached("warehouse", 11, time.Now())
	m.Covered("warehouse", 6)
	m.Stopped("warehouse", "out of range")
	m.Waiting("source", "not there")
	m.Judge(progress.Judgement{Level: "bad", Levels: []string{"bad"}, Sinks: map[string]string{"warehouse": "off"}, States: []string{"off"}})
	m.SetOverview(progress.Overview{
		Epoch: 7, Follows: true, FailedBlocks: 2,
		Partitions: map[string]int{"failed": 1},
		Tasks:      map[string]progress.Tasks{"partition": {Queued: 3, Held: 2, Idle: 1}},
		Log:        progress.LogOverview{Size: 50, Limit: 100, Entries: 5},
		Sinks: map[string]progress.SinkOverview{"warehouse": {
			Wanted: 10, Missing: 4, Behind: 1, Oldest: time.Now().Add(-time.Hour),
			Pruned: 16, UnbuiltIndexes: 17, IndexingFailed: true,
			Pending:      map[string]uint64{"live": 8},
			Acknowledged: map[string]uint64{"live": 9},
		}},
	})
	return m
}

// servedMetrics returns the type and the labels of every metric, by its name.
func servedMetrics(t *testing.T) map[string]string {
	t.Helper()
	registry, err := progress.Gather(map[string]*progress.Meter{"p": full()})
	if err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	served := map[string]string{}
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "ampipe_") {
			continue
		}
		var labels []string
		for _, l := range f.GetMetric()[0].GetLabel() {
			if l.GetName() != "pipeline" {
				labels = append(labels, l.GetName())
			}
		}
		slices.Sort(labels)
		served[f.GetName()] = strings.ToLower(f.GetType().String()) + " {" + strings.Join(labels, ",") + "}"
	}
	return served
}

var update = flag.Bool("update", false, "write the metrics of this version to testdata/metrics.txt, when it is released")

// TestMetricsOfEarlierVersions finds each metric that a version served, of the type and
// with the labels that it had: alerts and dashboards that were made for it still work.
func TestMetricsOfEarlierVersions(t *testing.T) {
	const file = "testdata/metrics.txt"
	served := servedMetrics(t)
	if *update {
		var text strings.Builder
		for _, name := range slices.Sorted(maps.Keys(served)) {
			text.WriteString(name + " " + served[name] + "\n")
		}
		if err := os.WriteFile(file, []byte(text.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		name, was, _ := strings.Cut(strings.TrimSpace(line), " ")
		if served[name] != was {
			t.Errorf("%s was %s, and is %q", name, was, served[name])
		}
	}
}

// TestDocsListEveryMetric with its type and labels, and none that does not exist.
func TestDocsListEveryMetric(t *testing.T) {
	served := servedMetrics(t)
	if described := describe(full()); described+1 != len(served) { // the build is no part of a meter
		t.Errorf("%d metrics are described and %d served: the meter of this test does not know everything", described+1, len(served))
	}

	page, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]string{}
	row := regexp.MustCompile("(?m)^\\| `(ampipe_\\w+)` \\| (\\w+) \\|([^|]*)\\| ([a-z, ]+) \\| \\S[^|]*\\|$")
	for _, cells := range row.FindAllStringSubmatch(string(page), -1) {
		labels := strings.FieldsFunc(cells[3], func(r rune) bool { return strings.ContainsRune(" `,", r) })
		slices.Sort(labels)
		listed[cells[1]] = cells[2] + " {" + strings.Join(labels, ",") + "}"
	}
	for _, name := range slices.Sorted(maps.Keys(served)) {
		if listed[name] != served[name] {
			t.Errorf("%s is %s, and docs/metrics.md has %q", name, served[name], listed[name])
		}
		delete(listed, name)
	}
	for name := range listed {
		t.Errorf("docs/metrics.md has %s, which does not exist", name)
	}
}

// describe counts what a meter says that it may serve.
func describe(m *progress.Meter) (n int) {
	descs := make(chan *prometheus.Desc, 1000)
	m.Describe(descs)
	return len(descs)
}

// figures returns what a meter serves, with its labels.
func figures(t *testing.T, m *progress.Meter) map[string]float64 {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(m); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, metric := range f.GetMetric() {
			name := f.GetName()
			for _, l := range metric.GetLabel() {
				name += " " + l.GetValue()
			}
			got[name] = metric.GetGauge().GetValue() + metric.GetCounter().GetValue() + metric.GetSummary().GetSampleSum()
		}
	}
	return got
}

// TestAProcessServesWhatItKnows and no zeros of what others do.
func TestAProcessServesWhatItKnows(t *testing.T) {
	common := []string{"ampipe_pipeline_failed", "ampipe_waiting"}
	extractor, sink, planner := progress.NewMeter("a", "b"), progress.NewMeter("a", "b"), progress.NewMeter("a", "b")
	extractor.Extracts()
	sink.Applies("a")
	planner.Planned(block.Range{End: 5}, block.Set{})
	planner.Stopped("b", "")
	for m, want := range map[*progress.Meter][]string{
		extractor: {"ampipe_log_bytes_total", "ampipe_log_rows_total", "ampipe_reorgs_total"},
		sink: {
			"ampipe_sink_commit_duration_seconds a", "ampipe_sink_entries_total a", "ampipe_sink_refused_rows_total a", "ampipe_sink_rows_total a", "ampipe_sink_stopped a",
		},
		planner: {"ampipe_extracted_blocks", "ampipe_history_blocks", "ampipe_sink_stopped b"},
	} {
		want = append(want, common...)
		slices.Sort(want)
		if got := slices.Sorted(maps.Keys(figures(t, m))); !slices.Equal(got, want) {
			t.Errorf("served %q\nwant   %q", got, want)
		}
	}
}

func TestOverviewIsServed(t *testing.T) {
	got := figures(t, full())
	for name, want := range map[string]float64{
		"ampipe_epoch": 7, "ampipe_partitions failed": 1, "ampipe_failed_blocks": 2,
		"ampipe_queued_tasks partition": 3, "ampipe_held_tasks partition": 2, "ampipe_idle_workers partition": 1,
		"ampipe_log_size_bytes": 50, "ampipe_log_limit_bytes": 100, "ampipe_log_entries": 5,
		"ampipe_sink_wanted_blocks warehouse": 10, "ampipe_sink_missing_blocks warehouse": 4,
		"ampipe_sink_pending_entries live warehouse": 8, "ampipe_sink_acknowledged_sequence live warehouse": 9,
		"ampipe_sink_lag_blocks warehouse": 1, "ampipe_sink_stopped warehouse": 1,
		"ampipe_sink_refused_rows_total warehouse": 6, "ampipe_sink_dead_letters warehouse": 13,
		"ampipe_sink_pruned_block warehouse": 16, "ampipe_sink_unbuilt_indexes warehouse": 17, "ampipe_sink_indexing_failed warehouse": 1,
		"ampipe_sink_entries_total warehouse": 3, "ampipe_sink_commit_duration_seconds warehouse": 1,
	} {
		if got[name] != want {
			t.Errorf("%s is %v, want %v", name, got[name], want)
		}
	}
	if lag := got["ampipe_sink_lag_seconds warehouse"]; lag < 3600 || lag > 3700 {
		t.Errorf("the lag is %v s, want an hour", lag)
	}
}
