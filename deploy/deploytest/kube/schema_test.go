package kube

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestBadValues holds that values that cannot be meant are refused, by the schema or by
// the chart, and not rendered.
func TestBadValues(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct{ values, want string }{
		"unknown key":             {`{ extractors: { replicas: 2 } }`, "extractors"},
		"unknown key below":       {`{ extractor: { replica: 2 } }`, "replica"},
		"no replicas":             {`{ planner: { replicas: 0 } }`, "/planner/replicas"},
		"text for a number":       {`{ planner: { replicas: "2" } }`, "/planner/replicas"},
		"two servers":             {`{ nats: { replicas: 2 } }`, "/nats/replicas"},
		"no secret of NATS":       {`{ nats: { secret: "" } }`, "/nats/secret"},
		"own NATS without url":    {`{ nats: { enabled: false } }`, "/nats/url"},
		"url of our NATS":         {`{ nats: { url: "nats://a:4222" } }`, "/nats/url"},
		"password in the url":     {`{ nats: { enabled: false, url: "nats://u:p@a:4222" } }`, "/nats/url"},
		"nats in the pipeline":    {`{ pipeline: { nats: { url: "nats://a" } } }`, "nats"},
		"token in the pipeline":   {`{ pipeline: { source: { token: abc } } }`, "/pipeline/source/token"},
		"dsn in the pipeline":     {`{ pipeline: { sinks: [{ name: a, postgres: { dsn: "postgres://u:p@h/d", table: t } }] }, sinks: null }`, "/pipeline/sinks/0"},
		"password of Redis":       {`{ pipeline: { sinks: [{ name: a, redis: { url: "redis://:p@h", key: k } }] }, sinks: null }`, "/pipeline/sinks/0/redis/url"},
		"a folder for Delta":      {`{ pipeline: { sinks: [{ name: a, delta: { path: /lake } }] }, sinks: null }`, "/pipeline/sinks/0"},
		"two destinations":        {`{ pipeline: { sinks: [{ name: a, delta: { url: "s3://b/c" }, redis: { key: k } }] }, sinks: null }`, "/pipeline/sinks/0"},
		"a name for no pod":       {`{ pipeline: { sinks: [{ name: My_Rows, redis: { key: k } }] }, sinks: null }`, "/pipeline/sinks/0/name"},
		"address of Amp":          {`{ pipeline: { source: { amp: "amp:1602" } } }`, "/pipeline/source/amp"},
		"a misspelt sink":         {`{ sinks: { warehose: { replicas: 2 } } }`, "warehose"},
		"scaling to zero":         {`{ extractor: { autoscaling: { by: keda, min: 0 } } }`, "/extractor/autoscaling/min"},
		"an unknown scaler":       {`{ extractor: { autoscaling: { by: cpu } } }`, "/extractor/autoscaling/by"},
		"scaling a Delta table":   {`{ sinks: { lake: { autoscaling: { by: keda } } } }`, "sinks.lake.autoscaling"},
		"memory":                  {`{ planner: { goMemLimit: 450Mi } }`, "/planner/goMemLimit"},
		"quantity":                {`{ planner: { resources: { limits: { memory: much } } } }`, "/planner/resources/limits/memory"},
		"network":                 {`{ networkPolicies: { enabled: true, ampCIDRs: [amp.example] } }`, "/networkPolicies/ampCIDRs/0"},
		"KEDA without monitoring": {`{ nats: { enabled: false, url: "nats://a:4222" }, extractor: { autoscaling: { by: keda } } }`, "nats.monitor"},
		"Azure by a file":         {`{ pipeline: { sinks: [{ name: lake, delta: { url: "azblob://c/d" } }] }, sinks: { warehouse: null, cache: null } }`, "Azure reads no file"},
	} {
		values := example(t, "examples/production.yaml")
		merge(values, parseYAML(t, what, c.values))
		if _, err := render(values); err == nil {
			t.Errorf("%s is taken", what)
		} else if !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v does not name %s", what, err, c.want)
		}
	}
	if _, err := render(nil); err == nil {
		t.Error("the chart takes no pipeline")
	}
}

// TestDocumentedValues renders every example of values in the guide.
func TestDocumentedValues(t *testing.T) {
	t.Parallel()
	guide, err := os.ReadFile(filepath.Join(repository, "docs/kubernetes.md"))
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(guide), "```yaml\n# values.yaml")[1:]
	if len(blocks) < 3 {
		t.Fatalf("the guide has %d examples of values", len(blocks))
	}
	for _, b := range blocks {
		text, _, _ := strings.Cut(b, "```")
		_, text, _ = strings.Cut(text, "\n") // the rest of the first line
		values := example(t, "examples/production.yaml")
		merge(values, parseYAML(t, "docs/kubernetes.md", text))
		rendered(t, "docs/kubernetes.md:\n"+text, values)
	}
}
