package kube

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	apps "k8s.io/api/apps/v1"
	autoscaling "k8s.io/api/autoscaling/v2"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// objects are the objects of an overlay, or of the chart with some values.
type objects struct {
	name        string
	namespaces  []core.Namespace
	accounts    []core.ServiceAccount
	configs     []core.ConfigMap
	services    []core.Service
	deployments []apps.Deployment
	sets        []apps.StatefulSet
	budgets     []policy.PodDisruptionBudget
	policies    []networking.NetworkPolicy
	hpas        []autoscaling.HorizontalPodAutoscaler
	scaled      []scaledObject
	monitors    []serviceMonitor
}

// decode reads manifests. A field that the API does not know, and one that is there
// twice, fails the test.
func decode(t *testing.T, name string, text []byte) *objects {
	t.Helper()
	all := &objects{name: name}
	seen := map[string]bool{}
	for _, doc := range bytes.Split(text, []byte("\n---\n")) {
		var head meta.PartialObjectMetadata
		if err := yaml.Unmarshal(doc, &head); err != nil {
			t.Fatalf("%s: %v in\n%s", name, err, doc)
		}
		if head.Kind == "" {
			if rest := strings.TrimSpace(withoutComments(string(doc))); rest != "" && rest != "---" {
				t.Fatalf("%s: this is no object:\n%s", name, doc)
			}
			continue
		}
		key := head.Kind + " " + head.Name
		if seen[key] {
			t.Errorf("%s: %s is there twice", name, key)
		}
		seen[key] = true
		if err := all.add(head.APIVersion+" "+head.Kind, doc); err != nil {
			t.Fatalf("%s: %s: %v\n%s", name, key, err, doc)
		}
	}
	return all
}

func withoutComments(text string) string {
	var kept []string
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(strings.TrimSpace(line), "#") {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "")
}

func (o *objects) add(kind string, doc []byte) error {
	switch kind {
	case "v1 Namespace":
		return strictly(doc, &o.namespaces)
	case "v1 ServiceAccount":
		return strictly(doc, &o.accounts)
	case "v1 ConfigMap":
		return strictly(doc, &o.configs)
	case "v1 Service":
		return strictly(doc, &o.services)
	case "apps/v1 Deployment":
		return strictly(doc, &o.deployments)
	case "apps/v1 StatefulSet":
		return strictly(doc, &o.sets)
	case "policy/v1 PodDisruptionBudget":
		return strictly(doc, &o.budgets)
	case "networking.k8s.io/v1 NetworkPolicy":
		return strictly(doc, &o.policies)
	case "autoscaling/v2 HorizontalPodAutoscaler":
		return strictly(doc, &o.hpas)
	case "keda.sh/v1alpha1 ScaledObject":
		return strictly(doc, &o.scaled)
	case "monitoring.coreos.com/v1 ServiceMonitor":
		return strictly(doc, &o.monitors)
	default:
		return fmt.Errorf("no test knows %s", kind)
	}
}

// strictly decodes a document and appends it to those of its kind.
func strictly[T any](doc []byte, to *[]T) error {
	var one T
	if err := yaml.UnmarshalStrict(doc, &one); err != nil {
		return err
	}
	*to = append(*to, one)
	return nil
}

// scaledObject is what ampipe uses of KEDA's ScaledObject.
type scaledObject struct {
	meta.TypeMeta   `json:",inline"`
	meta.ObjectMeta `json:"metadata"`
	Spec            struct {
		ScaleTargetRef struct {
			Name string `json:"name"`
		} `json:"scaleTargetRef"`
		PollingInterval int32 `json:"pollingInterval"`
		MinReplicaCount int32 `json:"minReplicaCount"`
		MaxReplicaCount int32 `json:"maxReplicaCount"`
		Advanced        struct {
			HorizontalPodAutoscalerConfig struct {
				Behavior autoscaling.HorizontalPodAutoscalerBehavior `json:"behavior"`
			} `json:"horizontalPodAutoscalerConfig"`
		} `json:"advanced"`
		Triggers []struct {
			Type     string      `json:"type"`
			Metadata natsTrigger `json:"metadata"`
		} `json:"triggers"`
	} `json:"spec"`
}

// natsTrigger is the metadata of KEDA's scaler nats-jetstream. All of it are texts.
type natsTrigger struct {
	Endpoint  string `json:"natsServerMonitoringEndpoint"`
	Account   string `json:"account"`
	Stream    string `json:"stream"`
	Consumer  string `json:"consumer"`
	Threshold string `json:"lagThreshold"`
}

// serviceMonitor is what ampipe uses of the Prometheus operator's ServiceMonitor.
type serviceMonitor struct {
	meta.TypeMeta   `json:",inline"`
	meta.ObjectMeta `json:"metadata"`
	Spec            struct {
		Selector        meta.LabelSelector `json:"selector"`
		PodTargetLabels []string           `json:"podTargetLabels"`
		Endpoints       []struct {
			Port        string `json:"port"`
			Path        string `json:"path"`
			Interval    string `json:"interval"`
			Relabelings []struct {
				SourceLabels []string `json:"sourceLabels"`
				TargetLabel  string   `json:"targetLabel"`
			} `json:"relabelings"`
		} `json:"endpoints"`
	} `json:"spec"`
}

// workload is a Deployment or a StatefulSet.
type workload struct {
	meta.ObjectMeta
	replicas *int32
	selector *meta.LabelSelector
	pod      core.PodTemplateSpec
}

func (w workload) component() string { return w.pod.Labels["app.kubernetes.io/component"] }

func (w workload) container() core.Container { return w.pod.Spec.Containers[0] }

func (o *objects) workloads() []workload {
	var all []workload
	for _, d := range o.deployments {
		all = append(all, workload{d.ObjectMeta, d.Spec.Replicas, d.Spec.Selector, d.Spec.Template})
	}
	for _, s := range o.sets {
		all = append(all, workload{s.ObjectMeta, s.Spec.Replicas, s.Spec.Selector, s.Spec.Template})
	}
	return all
}

// config returns the ConfigMap of a name.
func (o *objects) config(name string) (core.ConfigMap, bool) {
	for _, c := range o.configs {
		if c.Name == name {
			return c, true
		}
	}
	return core.ConfigMap{}, false
}
