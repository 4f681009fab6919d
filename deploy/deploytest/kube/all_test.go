package kube

import (
	"strings"
	"testing"
)

// sources are everything that is deployed here, by how: each overlay, and the chart with
// the values of its examples and with others.
func sources(t *testing.T) []*objects {
	t.Helper()
	var all []*objects
	for _, overlay := range overlayNames {
		all = append(all, kustomized(t, overlay))
	}
	for name, values := range chartValues(t) {
		all = append(all, rendered(t, name, values))
	}
	return all
}

// chartValues are values that the chart has to take.
func chartValues(t *testing.T) map[string]map[string]any {
	t.Helper()
	production := func(more string) map[string]any {
		values := example(t, "examples/production.yaml")
		merge(values, parseYAML(t, "more", more))
		return values
	}
	all := map[string]map[string]any{
		"chart, single-node": example(t, "examples/single-node.yaml"),
		"chart, production":  example(t, "examples/production.yaml"),
		"chart, keda": production(`
extractor: { autoscaling: { by: keda } }
sinks: { warehouse: { autoscaling: { by: keda } }, cache: { autoscaling: { by: keda, max: 2 } } }`),
		"chart, hpa": production(`
extractor: { autoscaling: { by: hpa } }
sinks: { warehouse: { autoscaling: { by: hpa } }, cache: { autoscaling: { by: hpa, max: 2 } } }`),
		"chart, other sinks": production(`
pipeline:
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
	return all
}

// each runs a test with every way of deploying.
func each(t *testing.T, test func(*testing.T, *objects)) {
	t.Helper()
	for _, o := range sources(t) {
		t.Run(strings.ReplaceAll(o.name, " ", "_"), func(t *testing.T) { test(t, o) })
	}
}
