package kube

import (
	"slices"
	"strings"
	"testing"

	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// checkSelectors holds that what selects pods selects those it is for.
func checkSelectors(t *testing.T, o *objects) {
	for _, w := range o.workloads() {
		if got := o.selected(t, w.selector); len(got) != 1 || got[0].Name != w.Name {
			t.Errorf("%s selects the pods of %d workloads", w.Name, len(got))
		}
	}
	for _, s := range o.services {
		got := o.selected(t, &meta.LabelSelector{MatchLabels: s.Spec.Selector})
		if len(got) == 0 {
			t.Errorf("service %s selects nothing", s.Name)
		}
		for _, w := range got {
			for _, p := range s.Spec.Ports {
				if !hasPort(w.container(), p.TargetPort) {
					t.Errorf("service %s: %s has no port %s", s.Name, w.Name, p.TargetPort.String())
				}
			}
		}
	}
	for _, s := range o.sets {
		if !slices.ContainsFunc(o.services, func(svc core.Service) bool {
			return svc.Name == s.Spec.ServiceName && svc.Spec.ClusterIP == core.ClusterIPNone && svc.Spec.PublishNotReadyAddresses
		}) {
			t.Errorf("%s has no headless service %s", s.Name, s.Spec.ServiceName)
		}
	}
	for _, m := range o.monitors {
		for _, e := range m.Spec.Endpoints {
			if e.Path != "/metrics" || !slices.ContainsFunc(o.services, func(s core.Service) bool {
				return matches(t, &m.Spec.Selector, s.Labels) && slices.ContainsFunc(s.Spec.Ports, func(p core.ServicePort) bool { return p.Name == e.Port })
			}) {
				t.Errorf("monitor %s finds no service with port %s", m.Name, e.Port)
			}
		}
	}
}

func (o *objects) selected(t *testing.T, by *meta.LabelSelector) []workload {
	t.Helper()
	var got []workload
	for _, w := range o.workloads() {
		if matches(t, by, w.pod.Labels) {
			got = append(got, w)
		}
	}
	return got
}

func matches(t *testing.T, by *meta.LabelSelector, of map[string]string) bool {
	t.Helper()
	selector, err := meta.LabelSelectorAsSelector(by)
	if err != nil {
		t.Fatal(err)
	}
	return selector.Matches(labels.Set(of))
}

// checkBudgets holds that in production every workload has a budget that lets a machine be
// drained, also while its processes wait, and that NATS keeps its majority.
func checkBudgets(t *testing.T, o *objects) {
	if len(o.budgets) == 0 && strings.Contains(o.name, "single-node") {
		return
	}
	budgets := map[string]int{}
	for _, b := range o.budgets {
		got := o.selected(t, b.Spec.Selector)
		if len(got) != 1 {
			t.Errorf("budget %s is of %d workloads", b.Name, len(got))
			continue
		}
		budgets[got[0].Name]++
		if b.Spec.MinAvailable != nil || b.Spec.MaxUnavailable.IntValue() != 1 {
			t.Errorf("budget %s: a machine cannot be drained, or loses too much", b.Name)
		}
		isNATS := got[0].container().Name == "nats"
		if always := b.Spec.UnhealthyPodEvictionPolicy != nil && *b.Spec.UnhealthyPodEvictionPolicy == "AlwaysAllow"; always == isNATS {
			t.Errorf("budget %s: unhealthy pods may be evicted: %v", b.Name, always)
		}
	}
	for _, w := range o.workloads() {
		if budgets[w.Name] != 1 {
			t.Errorf("%s has %d budgets", w.Name, budgets[w.Name])
		}
	}
}

// checkVolumes holds that what is mounted is there, that secrets are files which only the
// process's own group reads, and that each process has its own and no other.
func checkVolumes(t *testing.T, o *objects) {
	for _, w := range o.workloads() {
		volumes := map[string]core.Volume{}
		for _, v := range w.pod.Spec.Volumes {
			volumes[v.Name] = v
			if v.HostPath != nil {
				t.Errorf("%s has a folder of the host", w.Name)
			}
			if v.ConfigMap != nil {
				if _, there := o.config(v.ConfigMap.Name); !there {
					t.Errorf("%s: there is no ConfigMap %s", w.Name, v.ConfigMap.Name)
				}
			}
			if v.Secret != nil && (len(v.Secret.Items) != 1 || v.Secret.DefaultMode == nil || *v.Secret.DefaultMode != 0o440) {
				t.Errorf("%s: volume %s is not one file for the group: %+v", w.Name, v.Name, v.Secret)
			}
		}
		used := map[string]bool{}
		for _, m := range w.container().VolumeMounts {
			v, there := volumes[m.Name]
			used[m.Name] = true
			if !there && !o.claims(w.Name, m.Name) {
				t.Errorf("%s mounts %s, which is no volume", w.Name, m.Name)
			}
			if writable := v.EmptyDir != nil || !there; m.ReadOnly == writable {
				t.Errorf("%s: %s is mounted read-only: %v", w.Name, m.Name, m.ReadOnly)
			}
		}
		for name := range volumes {
			if !used[name] {
				t.Errorf("%s: volume %s is not mounted", w.Name, name)
			}
		}
	}
}

func (o *objects) claims(set, volume string) bool {
	for _, s := range o.sets {
		for _, c := range s.Spec.VolumeClaimTemplates {
			if s.Name == set && c.Name == volume {
				return true
			}
		}
	}
	return false
}
