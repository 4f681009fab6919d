package kube

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/resource"
)

// sinkOf is a sink of a pipeline.
type sinkOf struct{ name, kind string }

// pipeline returns the pipeline.yaml that the processes read.
func (o *objects) pipeline(t *testing.T) map[string]any {
	t.Helper()
	for _, c := range o.configs {
		if text, there := c.Data["pipeline.yaml"]; there {
			return parseYAML(t, o.name+": pipeline.yaml", text)
		}
	}
	t.Fatalf("%s has no pipeline.yaml", o.name)
	return nil
}

func (o *objects) sinks(t *testing.T) []sinkOf {
	t.Helper()
	var all []sinkOf
	for _, s := range o.pipeline(t)["sinks"].([]any) {
		s := s.(map[string]any)
		for _, kind := range []string{"postgres", "redis", "delta"} {
			if s[kind] != nil {
				all = append(all, sinkOf{s["name"].(string), kind})
			}
		}
	}
	return all
}

// checkAutoscaling holds that what scales names what is there: the workloads, and the
// streams, consumers and metrics of this pipeline. That KEDA finds these in a server is
// shown by TestAutoscaling.
func checkAutoscaling(t *testing.T, o *objects) {
	p := o.pipeline(t)
	pipeline := p["pipeline"].(string)
	workers := fmt.Sprint(p["extract"].(map[string]any)["workers"])
	// What is counted for a component, by stream and consumer, and the threshold.
	counted := map[string][3]string{"extractor": {"AMPIPE_TASKS", "partition-" + pipeline, workers}}
	for _, s := range o.sinks(t) {
		if s.kind != "delta" { // one commit at a time
			counted["sink-"+s.name] = [3]string{"AMPIPE_LOG_" + pipeline, "history-" + s.name, "500"}
		}
	}
	scaled := map[string]bool{}
	target := func(name string, least, most int32) string {
		for _, w := range o.workloads() {
			if w.Name == name {
				if w.replicas != nil {
					t.Errorf("%s is scaled and has a number of its own", name)
				}
				if least < 1 || most <= least {
					t.Errorf("%s is scaled from %d to %d", name, least, most)
				}
				scaled[name] = true
				return w.component()
			}
		}
		t.Errorf("%s is scaled and not there", name)
		return ""
	}
	for _, s := range o.scaled {
		component := target(s.Spec.ScaleTargetRef.Name, s.Spec.MinReplicaCount, s.Spec.MaxReplicaCount)
		if len(s.Spec.Triggers) != 1 || s.Spec.Triggers[0].Type != "nats-jetstream" {
			t.Fatalf("%s: triggers %+v", s.Name, s.Spec.Triggers)
		}
		got := s.Spec.Triggers[0].Metadata
		if want, known := counted[component]; !known || got.Stream != want[0] || got.Consumer != want[1] || got.Threshold != want[2] {
			t.Errorf("%s is scaled by %+v, want %v", s.Name, got, want)
		}
		if o.hasNATS() && (got.Account != "AMPIPE" || got.Endpoint != o.sets[0].Spec.ServiceName+".ampipe.svc.cluster.local:8222") {
			t.Errorf("%s: KEDA asks %s for account %s", s.Name, got.Endpoint, got.Account)
		}
	}
	metrics := documentedMetrics(t)
	for _, h := range o.hpas {
		component := target(h.Spec.ScaleTargetRef.Name, *h.Spec.MinReplicas, h.Spec.MaxReplicas)
		external := h.Spec.Metrics[0].External
		want, known := counted[component]
		if !known || external.Target.AverageValue.String() != want[2] || external.Metric.Selector.MatchLabels["pipeline"] != pipeline {
			t.Errorf("%s is scaled by %+v, want %v", h.Name, external, want)
		}
		rule, there := adapterRules(t)[external.Metric.Name]
		if !there {
			t.Errorf("%s: the adapter has no metric %s", h.Name, external.Metric.Name)
		}
		for _, name := range regexp.MustCompile(`ampipe_\w+`).FindAllString(rule, -1) {
			if !slices.Contains(metrics, name) {
				t.Errorf("%s: docs/metrics.md has no %s", h.Name, name)
			}
		}
	}
	if by := len(o.scaled) + len(o.hpas); len(scaled) != by {
		t.Errorf("%d workloads are scaled by %d", len(scaled), by)
	}
}

// adapterRules returns the queries of the adapter, by the metric that each serves.
func adapterRules(t *testing.T) map[string]string {
	t.Helper()
	var values struct {
		Rules struct {
			External []struct {
				SeriesQuery string `json:"seriesQuery"`
				Resources   struct {
					Namespaced bool `json:"namespaced"`
				} `json:"resources"`
				Name struct {
					As string `json:"as"`
				} `json:"name"`
				MetricsQuery string `json:"metricsQuery"`
			} `json:"external"`
		} `json:"rules"`
	}
	if err := readInto(filepath.Join(overlays, "production-hpa/adapter.yaml"), &values); err != nil {
		t.Fatal(err)
	}
	rules := map[string]string{}
	for _, r := range values.Rules.External {
		name, _, _ := strings.Cut(r.SeriesQuery, "{")
		if r.Name.As != "" {
			name = r.Name.As
		}
		rules[name] = r.MetricsQuery
	}
	return rules
}

// documentedMetrics returns the metrics that docs/metrics.md has.
func documentedMetrics(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repository, "docs/metrics.md"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, m := range regexp.MustCompile("(?m)^\\| `(ampipe_\\w+)`").FindAllStringSubmatch(string(text), -1) {
		names = append(names, m[1])
	}
	return names
}

// checkDisk holds that the log fits into what NATS may use, and that into the volume.
func checkDisk(t *testing.T, o *objects) {
	const others = 64<<20 + 256<<20 // tasks and state
	log := bytesOf(t, o.pipeline(t)["log"].(map[string]any)["max_bytes"].(string)) + others
	for _, s := range o.sets {
		for _, c := range o.configs {
			for name, text := range c.Data {
				found := regexp.MustCompile(`max_file_store: (\S+)`).FindStringSubmatch(text)
				if found == nil {
					continue
				}
				store := bytesOf(t, found[1])
				volume := s.Spec.VolumeClaimTemplates[0].Spec.Resources.Requests.Storage().Value()
				if log > store || store > volume {
					t.Errorf("%s: log %d, max_file_store %d, volume %d", name, log, store, volume)
				}
			}
		}
	}
}

// bytesOf reads sizes of pipeline.yaml and of NATS, for which GB is 1024 MB.
func bytesOf(t *testing.T, size string) int64 {
	t.Helper()
	if number, isGB := strings.CutSuffix(size, "GB"); isGB {
		n, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n << 30
	}
	q, err := resource.ParseQuantity(strings.TrimSuffix(size, "B"))
	if err != nil {
		t.Fatalf("%s: %v", size, err)
	}
	return q.Value()
}
