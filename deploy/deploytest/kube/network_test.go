package kube

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// peer is one end of a connection: a workload of ours, a namespace of others, or, if
// both are empty, an address outside.
type peer struct {
	pod       *workload
	namespace string
}

// checkNetwork holds that the policies let each process reach what it needs, and that
// they let it reach nothing else.
func checkNetwork(t *testing.T, o *objects) {
	if len(o.policies) == 0 {
		if strings.Contains(o.name, "single-node") {
			return // without policies everything is allowed
		}
		t.Fatal("there are no network policies")
	}
	outside := map[string]int32{} // the port that a component needs outside
	amp := portOf(t, o.pipeline(t)["source"].(map[string]any)["amp"].(string))
	outside["planner"], outside["extractor"] = amp, amp
	for _, sink := range o.sinks(t) {
		outside["sink-"+sink.name] = map[string]int32{"postgres": 5432, "redis": 6379, "delta": 443}[sink.kind]
	}
	if strings.Contains(o.name, "other sinks") {
		outside["sink-my-rows"] = 6432 // as its values say
	}
	collector := int32(0) // for traces, of extractors and sinks
	if traces, has := o.pipeline(t)["traces"].(map[string]any); has {
		collector = portOf(t, traces["endpoint"].(string))
	}
	ports := []int32{443, 1602, 4222, 4318, 5432, 6379, 6432, 6222, 8222, 9090, 80}
	for _, w := range o.workloads() {
		isNATS := w.container().Name == "nats"
		for _, port := range ports {
			// To the outside.
			want := (!isNATS && port == outside[w.component()]) || (!o.hasNATS() && port == 4222) ||
				(!isNATS && w.component() != "planner" && port == collector)
			if got := o.allows(t, peer{pod: &w}, peer{}, port); got != want {
				t.Errorf("%s may reach port %d outside: %v", w.Name, port, got)
			}
			// From other namespaces.
			for namespace, open := range map[string][]int32{"default": nil, "monitoring": {9090}, "keda": nil} {
				if isNATS {
					open = map[string][]int32{"monitoring": {8222}, "keda": {8222}}[namespace]
				}
				if got := o.allows(t, peer{namespace: namespace}, peer{pod: &w}, port); got != slices.Contains(open, port) {
					t.Errorf("namespace %s may reach port %d of %s: %v", namespace, port, w.Name, got)
				}
			}
			// Among ours: everybody to NATS, NATS to itself.
			for _, other := range o.workloads() {
				toNATS := other.container().Name == "nats"
				want := toNATS && ((!isNATS && port == 4222) || (isNATS && port == 6222))
				if got := o.allows(t, peer{pod: &w}, peer{pod: &other}, port); got != want {
					t.Errorf("%s may reach port %d of %s: %v", w.Name, port, other.Name, got)
				}
			}
		}
		if !o.allows(t, peer{pod: &w}, peer{namespace: "kube-system"}, 53) {
			t.Errorf("%s may not ask DNS", w.Name)
		}
	}
}

func portOf(t *testing.T, address string) int32 {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		t.Fatalf("%s has no port", address)
	}
	return int32(port)
}

// allows reports whether a connection passes the policies of both ends.
func (o *objects) allows(t *testing.T, from, to peer, port int32) bool {
	t.Helper()
	return o.passes(t, from, to, port, networking.PolicyTypeEgress) && o.passes(t, to, from, port, networking.PolicyTypeIngress)
}

// passes reports whether the policies of one end let a connection pass: those that
// select it add up, and where none does everything passes.
func (o *objects) passes(t *testing.T, self, other peer, port int32, direction networking.PolicyType) bool {
	t.Helper()
	if self.pod == nil {
		return true
	}
	target := self // whose port it is
	if direction == networking.PolicyTypeEgress {
		target = other
	}
	restricted := false
	for _, p := range o.policies {
		if !matches(t, &p.Spec.PodSelector, self.pod.pod.Labels) || !slices.Contains(p.Spec.PolicyTypes, direction) {
			continue
		}
		restricted = true
		if direction == networking.PolicyTypeEgress {
			for _, rule := range p.Spec.Egress {
				if passesPeers(t, rule.To, other) && passesPorts(rule.Ports, target, port) {
					return true
				}
			}
			continue
		}
		for _, rule := range p.Spec.Ingress {
			if passesPeers(t, rule.From, other) && passesPorts(rule.Ports, target, port) {
				return true
			}
		}
	}
	return !restricted
}

func passesPeers(t *testing.T, allowed []networking.NetworkPolicyPeer, other peer) bool {
	t.Helper()
	return len(allowed) == 0 || slices.ContainsFunc(allowed, func(a networking.NetworkPolicyPeer) bool {
		switch {
		case a.IPBlock != nil:
			// Addresses of pods are meant by no policy here.
			return other.pod == nil && other.namespace == ""
		case a.NamespaceSelector != nil:
			return other.pod == nil && matches(t, a.NamespaceSelector, map[string]string{"kubernetes.io/metadata.name": other.namespace})
		default:
			return other.pod != nil && matches(t, orNone(a.PodSelector), other.pod.pod.Labels)
		}
	})
}

func orNone(s *meta.LabelSelector) *meta.LabelSelector {
	if s == nil {
		return &meta.LabelSelector{MatchLabels: map[string]string{"no": "pod"}}
	}
	return s
}

func passesPorts(allowed []networking.NetworkPolicyPort, of peer, port int32) bool {
	return len(allowed) == 0 || slices.ContainsFunc(allowed, func(a networking.NetworkPolicyPort) bool {
		if a.Protocol != nil && *a.Protocol != core.ProtocolTCP {
			return false
		}
		if a.Port.IntVal == port {
			return true
		}
		return of.pod != nil && slices.ContainsFunc(of.pod.container().Ports, func(p core.ContainerPort) bool {
			return p.Name == a.Port.StrVal && p.ContainerPort == port
		})
	})
}

func (o *objects) hasNATS() bool { return len(o.sets) > 0 }
