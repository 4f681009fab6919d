package kube

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// checkPodsAreConfined holds that no process may more than it has to.
func checkPodsAreConfined(t *testing.T, o *objects) {
	if len(o.workloads()) < 4 {
		t.Fatalf("only %d workloads", len(o.workloads()))
	}
	for _, w := range o.workloads() {
		spec := w.pod.Spec
		if len(spec.Containers) != 1 || len(spec.InitContainers) > 0 {
			t.Fatalf("%s: not one container", w.Name)
		}
		pod, c := spec.SecurityContext, w.container().SecurityContext
		for rule, kept := range map[string]bool{
			"no token of Kubernetes":          isFalse(spec.AutomountServiceAccountToken),
			"no variables of services":        isFalse(spec.EnableServiceLinks),
			"an account of its own":           o.hasAccount(spec.ServiceAccountName),
			"nothing of the host":             !spec.HostNetwork && !spec.HostPID && !spec.HostIPC,
			"not root":                        pod != nil && isTrue(pod.RunAsNonRoot) && *pod.RunAsUser > 0,
			"seccomp":                         pod.SeccompProfile != nil && pod.SeccompProfile.Type == core.SeccompProfileTypeRuntimeDefault,
			"no more rights":                  c != nil && isFalse(c.AllowPrivilegeEscalation) && !isTrue(c.Privileged),
			"a read-only file system":         isTrue(c.ReadOnlyRootFilesystem),
			"no capabilities":                 c.Capabilities != nil && slices.Equal(c.Capabilities.Drop, []core.Capability{"ALL"}) && len(c.Capabilities.Add) == 0,
			"no port of the host":             !slices.ContainsFunc(w.container().Ports, func(p core.ContainerPort) bool { return p.HostPort != 0 }),
			"secrets as files, not variables": !slices.ContainsFunc(w.container().Env, func(e core.EnvVar) bool { return e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil }),
		} {
			if !kept {
				t.Errorf("%s: the rule %q is broken", w.Name, rule)
			}
		}
	}
}

func isTrue(b *bool) bool { return b != nil && *b }

func isFalse(b *bool) bool { return b != nil && !*b }

func (o *objects) hasAccount(name string) bool {
	return slices.ContainsFunc(o.accounts, func(a core.ServiceAccount) bool {
		return a.Name == name && isFalse(a.AutomountServiceAccountToken)
	})
}

// checkResources holds that every process has requests and limits, and that Go knows of
// the limit before the kernel ends the process.
func checkResources(t *testing.T, o *objects) {
	for _, w := range o.workloads() {
		r := w.container().Resources
		for _, kind := range []core.ResourceName{core.ResourceCPU, core.ResourceMemory} {
			request, limit := r.Requests[kind], r.Limits[kind]
			if request.Sign() <= 0 || limit.Cmp(request) < 0 {
				t.Errorf("%s: %s is requested as %s and limited to %s", w.Name, kind, request.String(), limit.String())
			}
		}
		memory := r.Limits[core.ResourceMemory]
		soft, err := resource.ParseQuantity(strings.TrimSuffix(variable(w, "GOMEMLIMIT"), "B"))
		if err != nil {
			t.Errorf("%s: GOMEMLIMIT: %v", w.Name, err)
			continue
		}
		if part := soft.AsApproximateFloat64() / memory.AsApproximateFloat64(); part < 0.8 || part > 0.95 {
			t.Errorf("%s: GOMEMLIMIT %s is %.0f %% of the limit %s", w.Name, soft.String(), 100*part, memory.String())
		}
	}
}

func variable(w workload, name string) string {
	for _, e := range w.container().Env {
		if e.Name == name {
			return e.Value
		}
	}
	return ""
}

// patience is how long a process waits for something before /healthz is 503
// (health.Patience).
const patience = 30 * time.Second

// checkProbes holds decision 96: a process is ready when it does its work, which a sink
// does while it loads the history, and a rollout stops at one that does not.
func checkProbes(t *testing.T, o *objects) {
	for _, d := range o.deployments {
		c := d.Spec.Template.Spec.Containers[0]
		checkProbe(t, c, c.LivenessProbe, "/livez")
		isSink := strings.Contains(c.Name, "sink-")
		if isSink {
			checkProbe(t, c, c.ReadinessProbe, "/healthz")
		} else {
			checkProbe(t, c, c.ReadinessProbe, "/readyz")
		}
		ready := c.ReadinessProbe
		noticed := patience + time.Duration(ready.PeriodSeconds*ready.FailureThreshold)*time.Second
		if available := time.Duration(d.Spec.MinReadySeconds) * time.Second; isSink && available <= noticed {
			t.Errorf("%s: a sink that waits is noticed after %v, and counts as available after %v", c.Name, noticed, available)
		}
		if d.Spec.MinReadySeconds < 10 || *d.Spec.ProgressDeadlineSeconds <= d.Spec.MinReadySeconds {
			t.Errorf("%s: minReadySeconds %d, progressDeadlineSeconds %d", c.Name, d.Spec.MinReadySeconds, *d.Spec.ProgressDeadlineSeconds)
		}
	}
	for _, s := range o.sets {
		c := s.Spec.Template.Spec.Containers[0]
		checkProbe(t, c, c.StartupProbe, "/healthz")
		checkProbe(t, c, c.LivenessProbe, "/healthz?js-enabled-only=true")
		checkProbe(t, c, c.ReadinessProbe, "/healthz?js-server-only=true")
	}
}

func checkProbe(t *testing.T, c core.Container, p *core.Probe, path string) {
	t.Helper()
	switch {
	case p == nil || p.HTTPGet == nil:
		t.Errorf("%s has no probe of %s", c.Name, path)
	case p.HTTPGet.Path != path || !hasPort(c, p.HTTPGet.Port):
		t.Errorf("%s is asked for %s at port %s, want %s", c.Name, p.HTTPGet.Path, p.HTTPGet.Port.String(), path)
	case p.TimeoutSeconds < 2 || p.PeriodSeconds*p.FailureThreshold < 10:
		t.Errorf("%s: a slow answer or two of %s are taken for a failure", c.Name, path)
	}
}

func hasPort(c core.Container, port intstr.IntOrString) bool {
	return slices.ContainsFunc(c.Ports, func(p core.ContainerPort) bool {
		return p.Name == port.StrVal || strconv.Itoa(int(p.ContainerPort)) == port.String()
	})
}

// checkRollout holds that a stage never has fewer processes than it should during a
// rollout, and that a process has the time that it needs to stop.
func checkRollout(t *testing.T, o *objects) {
	const stops = 15 * time.Second // 10 s for what is being written, and for saying goodbye
	for _, d := range o.deployments {
		how := d.Spec.Strategy
		if how.Type != apps.RollingUpdateDeploymentStrategyType || how.RollingUpdate.MaxUnavailable.IntValue() != 0 || how.RollingUpdate.MaxSurge.IntValue() != 1 {
			t.Errorf("%s: strategy %+v", d.Name, how)
		}
		grace := time.Duration(*d.Spec.Template.Spec.TerminationGracePeriodSeconds) * time.Second
		if grace < stops {
			t.Errorf("%s is ended after %v, and may need %v", d.Name, grace, stops)
		}
	}
	for _, s := range o.sets {
		if *s.Spec.Template.Spec.TerminationGracePeriodSeconds < 60 || s.Spec.Template.Spec.Containers[0].Lifecycle.PreStop == nil {
			t.Errorf("%s has no time to move its clients away", s.Name)
		}
		if s.Spec.PodManagementPolicy != apps.ParallelPodManagement {
			t.Errorf("%s starts its servers one after the other, and the first waits for the second", s.Name)
		}
	}
}
