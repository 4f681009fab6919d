package kube

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// rules are what everything that is deployed here keeps to.
var rules = map[string]func(*testing.T, *objects){
	"pods are confined": checkPodsAreConfined,
	"resources":         checkResources,
	"probes":            checkProbes,
	"rollout":           checkRollout,
	"selectors":         checkSelectors,
	"budgets":           checkBudgets,
	"volumes":           checkVolumes,
	"network":           checkNetwork,
	"autoscaling":       checkAutoscaling,
	"disk":              checkDisk,
}

// TestManifests makes each overlay, and the chart with the values of its examples and
// with others, decodes them strictly and judges them by the rules.
func TestManifests(t *testing.T) {
	t.Parallel()
	made := map[string]*objects{}
	for _, overlay := range overlayNames {
		made[overlay] = kustomized(t, overlay)
	}
	for name, values := range chartValues(t) {
		made[name] = rendered(t, name, values)
	}
	for _, name := range slices.Sorted(maps.Keys(made)) {
		for _, rule := range slices.Sorted(maps.Keys(rules)) {
			t.Run(strings.ReplaceAll(name+"/"+rule, " ", "_"), func(t *testing.T) { rules[rule](t, made[name]) })
		}
	}
}

// chartValues returns values that the chart has to take.
func chartValues(t *testing.T) map[string]map[string]any {
	t.Helper()
	production := func(more string) map[string]any {
		values := example(t, "examples/production.yaml")
		merge(values, parseYAML(t, "more", more))
		return values
	}
	return map[string]map[string]any{
		"chart, single-node": example(t, "examples/single-node.yaml"),
		"chart, production":  example(t, "examples/production.yaml"),
		"chart, keda": production(`
extractor: { autoscaling: { by: keda } }
sinks: { warehouse: { autoscaling: { by: keda } }, cache: { autoscaling: { by: keda } } }`),
		"chart, hpa": production(`
extractor: { autoscaling: { by: hpa } }
sinks: { warehouse: { autoscaling: { by: hpa } }, cache: { autoscaling: { by: hpa } } }`),
		"chart, other sinks": production(`
pipeline:
  traces: { endpoint: "http://collector.observe:4318" }
  sinks:
    - name: my-rows
      postgres: { table: logs }
    - name: my-rows-too
      postgres: { table: logs }
    - name: files
      delta: { url: "gs://bucket/logs" }
sinks:
  warehouse: null
  cache: null
  lake: null
  my-rows: { secret: { name: a, key: dsn }, port: 6432, cidrs: [10.0.0.0/8] }
  my-rows-too: { secret: { name: b, key: dsn } }
  files: { serviceAccount: { annotations: { iam.gke.io/gcp-service-account: ampipe@project } } }`),
		"chart, own NATS": production(`
nats: { enabled: false, url: "tls://nats.messaging:4222", secret: "", monitor: "nats.messaging:8222", account: $G }
amp: { secret: { name: "" } }
extractor: { autoscaling: { by: keda } }`),
	}
}
