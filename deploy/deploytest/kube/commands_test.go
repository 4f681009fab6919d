package kube

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestCommands starts every process as the manifests say, with the files that its pod
// mounts and no other, while there is no NATS: it takes its arguments and the whole
// configuration, says that it lives, is not ready, and stops in time.
func TestCommands(t *testing.T) {
	t.Parallel()
	hidden := passwords(t, "nats-0.nats nats-1.nats nats-2.nats",
		"planner", "extractor", "sink-warehouse", "sink-cache", "sink-lake", "sink-my-rows", "sink-my-rows-too", "sink-files", "operator", "monitoring")
	n := 0
	for _, o := range []*objects{
		kustomized(t, "single-node"), kustomized(t, "production"),
		rendered(t, "chart, production", example(t, "examples/production.yaml")),
		rendered(t, "chart, other sinks", chartValues(t)["chart, other sinks"]),
		rendered(t, "chart, own NATS", chartValues(t)["chart, own NATS"]),
	} {
		for _, d := range o.deployments {
			n++
			address := host(1, n)
			t.Run(strings.ReplaceAll(o.name+" "+d.Name, " ", "_"), func(t *testing.T) {
				w := workload{d.ObjectMeta, d.Spec.Replicas, d.Spec.Selector, d.Spec.Template}
				c := w.container()
				p := o.start(t, w, d.Name, address, hidden, natsHosts(address)...)
				p.until(20*time.Second, "alive", func() bool {
					status, _ := p.probe(c, c.LivenessProbe)
					return status == http.StatusOK
				})
				if status, body := fetch("http://" + address + ":9090/readyz"); status != http.StatusServiceUnavailable {
					t.Errorf("without NATS it is ready: %d %s", status, body)
				}
				if status, body := fetch("http://" + address + ":9090/metrics"); status != http.StatusOK || !strings.Contains(body, "ampipe_waiting") {
					t.Errorf("metrics: %d %s", status, body)
				}
				// 130: stopped by a signal.
				if code := p.stop(time.Duration(*w.pod.Spec.TerminationGracePeriodSeconds) * time.Second); code != 130 {
					t.Errorf("it ended with %d:\n%s", code, p.out.String())
				}
			})
		}
	}
}

// natsHosts puts an address at which nobody listens in the place of every server.
func natsHosts(address string) []string {
	return []string{
		"//ampipe-nats-0.ampipe-nats:", "//" + address + ":",
		"//ampipe-nats-1.ampipe-nats:", "//" + address + ":",
		"//ampipe-nats-2.ampipe-nats:", "//" + address + ":",
		"//nats-0.nats:", "//" + address + ":", "//nats-1.nats:", "//" + address + ":", "//nats-2.nats:", "//" + address + ":",
		"//nats:", "//" + address + ":", "//nats.messaging:", "//" + address + ":",
	}
}
