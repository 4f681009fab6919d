package kube

import (
	"strings"
	"testing"

	apps "k8s.io/api/apps/v1"
	"sigs.k8s.io/yaml"
)

// TestChartAndOverlaysAgree holds that the chart with the values of its examples deploys
// what the overlays of the same names do.
func TestChartAndOverlaysAgree(t *testing.T) {
	t.Parallel()
	for overlay, file := range map[string]string{
		"single-node": "chart, single-node", "production": "chart, production", "production-keda": "chart, keda", "production-hpa": "chart, hpa",
	} {
		want, got := kustomized(t, overlay), rendered(t, file, chartValues(t)[file])
		if len(want.deployments) != len(got.deployments) || len(want.sets) != len(got.sets) ||
			len(want.budgets) != len(got.budgets) || len(want.monitors) != len(got.monitors) ||
			len(want.services) != len(got.services) || len(want.accounts) != len(got.accounts) {
			t.Errorf("%s: the chart makes another number of objects", overlay)
		}
		for _, d := range want.deployments {
			compare(t, overlay, d.Name, plainDeployment(d), plainDeployment(chartDeployment(t, got, d.Name)))
		}
		for i, s := range want.sets {
			compare(t, overlay, s.Name, plainSet(s), plainSet(got.sets[i]))
		}
		compare(t, overlay, "pipeline.yaml", want.pipeline(t), ownNames(t, got.pipeline(t)))
		for i, s := range want.scaled {
			compare(t, overlay, "scaled", s.Spec, ownNames(t, got.scaled[i].Spec))
		}
		for i, h := range want.hpas {
			compare(t, overlay, "scaled", h.Spec, ownNames(t, got.hpas[i].Spec))
		}
	}
}

func chartDeployment(t *testing.T, o *objects, name string) apps.Deployment {
	t.Helper()
	for _, d := range o.deployments {
		if d.Name == "ampipe-"+name {
			return d
		}
	}
	t.Fatalf("the chart has no ampipe-%s", name)
	return apps.Deployment{}
}

// plainDeployment returns a Deployment without what rightly differs: labels, which the
// chart has more of, and the hash that kustomize appends to names.
func plainDeployment(d apps.Deployment) apps.DeploymentSpec {
	spec := *d.Spec.DeepCopy()
	spec.Selector = nil
	spec.Template.ObjectMeta.Labels, spec.Template.ObjectMeta.Annotations = nil, nil
	for i := range spec.Template.Spec.TopologySpreadConstraints {
		spec.Template.Spec.TopologySpreadConstraints[i].LabelSelector = nil
	}
	for _, v := range spec.Template.Spec.Volumes {
		if v.ConfigMap != nil {
			v.ConfigMap.Name = ""
		}
	}
	return spec
}

func plainSet(s apps.StatefulSet) apps.StatefulSetSpec {
	spec := *s.Spec.DeepCopy()
	spec.Selector = nil
	spec.Template.ObjectMeta.Labels, spec.Template.ObjectMeta.Annotations = nil, nil
	spec.ServiceName = ""
	if a := spec.Template.Spec.Affinity; a != nil {
		a.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution[0].LabelSelector = nil
	}
	for i := range spec.Template.Spec.TopologySpreadConstraints {
		spec.Template.Spec.TopologySpreadConstraints[i].LabelSelector = nil
	}
	for _, v := range spec.Template.Spec.Volumes {
		if v.Projected != nil {
			v.Projected.Sources[0].ConfigMap.Name = ""
		}
	}
	return spec
}

// ownNames takes the release's name out of what the chart makes.
func ownNames[T any](t *testing.T, value T) T {
	t.Helper()
	var plain T
	if err := yaml.Unmarshal([]byte(strings.ReplaceAll(asYAML(t, value), "ampipe-nats", "nats")), &plain); err != nil {
		t.Fatal(err)
	}
	return plain
}

func asYAML(t *testing.T, value any) string {
	t.Helper()
	text, err := yaml.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// compare names the lines that only one side has. The chart's accounts and workloads have
// the name of the release in front.
func compare(t *testing.T, overlay, what string, want, got any) {
	t.Helper()
	w, g := asYAML(t, want), asYAML(t, got)
	for _, name := range []string{"planner", "extractor", "sink-warehouse", "sink-cache", "sink-lake", "nats"} {
		for _, key := range []string{"serviceAccountName: ", "serviceAccount: ", "name: "} {
			w, g = strings.ReplaceAll(w, key+"ampipe-"+name+"\n", key+name+"\n"), strings.ReplaceAll(g, key+"ampipe-"+name+"\n", key+name+"\n")
		}
	}
	if w == g {
		return
	}
	onlyWant, onlyGot := difference(w, g)
	t.Errorf("%s: %s differs\nkustomize:\n%s\nchart:\n%s", overlay, what, onlyWant, onlyGot)
}

func difference(a, b string) (onlyA, onlyB string) {
	count := map[string]int{}
	for line := range strings.Lines(a) {
		count[line]++
	}
	for line := range strings.Lines(b) {
		count[line]--
	}
	for line, n := range count {
		switch {
		case n > 0:
			onlyA += line
		case n < 0:
			onlyB += line
		}
	}
	return onlyA, onlyB
}
