package kube

import (
	"fmt"
	"math"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"
)

// TestAutoscaling runs the overlay production-keda as processes: three servers with the
// shipped configuration, the planner, the sink of Delta and extractors, whose number is
// what KEDA and Kubernetes would make of the servers' figures. It ends when everything is
// loaded and one extractor is left.
func TestAutoscaling(t *testing.T) {
	t.Parallel()
	const blocks = 3000
	o := kustomized(t, "production-keda")
	o.change(t, func(p map[string]any) {
		p["source"].(map[string]any)["amp"] = "grpc://" + host(2, 10) + ":1602"
		p["range"] = map[string]any{"min_block": 0, "max_block": blocks}
		var lake map[string]any
		for _, s := range p["sinks"].([]any) {
			if s := s.(map[string]any); s["delta"] != nil {
				lake = s
			}
		}
		lake["delta"] = map[string]any{"path": t.TempDir(), "max_commit_delay": "1s"}
		p["sinks"] = []any{lake}
	})
	var hosts, names, replace []string
	for i := range 3 {
		hosts = append(hosts, host(2, i+1))
		names = append(names, fmt.Sprintf("nats-%d", i))
		replace = append(replace, fmt.Sprintf("//nats-%d.nats:", i), "//"+hosts[i]+":")
	}
	hidden := passwords(t, strings.Join(hosts, " "))
	amp := exec.Command(binary(t, "devserver"), "--listen", host(2, 10)+":1602", "--chain", "eth_rpc",
		"--blocks", fmt.Sprint(blocks+300), "--logs-per-block", "50", "--bandwidth", "400000")
	if err := amp.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = amp.Process.Kill()
		_ = amp.Wait()
	})
	nats := o.named(t, "nats")
	var servers []*pod
	for i, name := range names {
		servers = append(servers, o.start(t, nats, name, hosts[i], hidden, append([]string{"store_dir: /data", "store_dir: " + t.TempDir()}, replace...)...))
	}
	for _, s := range servers {
		c := nats.container()
		s.until(60*time.Second, "ready", func() bool {
			started, _ := s.probe(c, c.StartupProbe)
			lives, _ := s.probe(c, c.LivenessProbe)
			ready, _ := s.probe(c, c.ReadinessProbe)
			return started == 200 && lives == 200 && ready == 200
		})
	}
	planner := o.start(t, o.named(t, "planner"), "planner", host(2, 20), hidden, replace...)
	sink := o.start(t, o.named(t, "sink-lake"), "sink-lake", host(2, 21), hidden, replace...)
	extractors := &stage{o: o, w: o.named(t, "extractor"), hidden: hidden, replace: replace}
	extractors.set(t, 1)
	trigger := o.scaled[0].Spec.Triggers[0].Metadata
	scaler := &scaler{least: int(o.scaled[0].Spec.MinReplicaCount), most: 3, threshold: number(t, trigger.Threshold), patience: 4}
	c := o.named(t, "sink-lake").container()
	sink.until(30*time.Second, "ready while it loads the history", func() bool {
		ready, _ := sink.probe(c, c.ReadinessProbe)
		complete, _ := fetch("http://" + sink.address + ":9090/readyz")
		return ready == 200 && complete == 503 && strings.Contains(planner.out.String(), `"partitions"`)
	})
	most := 1
	for done, deadline := false, time.Now().Add(3*time.Minute); !done; {
		select {
		case <-planner.exited:
			done = len(extractors.pods) == 1
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d extractors after 3 minutes; planner:\n%s\nsink:\n%s", len(extractors.pods), planner.out.String(), sink.out.String())
		}
		lag, err := trigger.lag(hosts[0])
		if err != nil { // no consumer yet, or it has just got another leader
			pause(t, 100*time.Millisecond)
			continue
		}
		want := scaler.want(len(extractors.pods), lag)
		most = max(most, want)
		t.Logf("%d extractors, %d partitions wait or are worked on, so %d", len(extractors.pods), lag, want)
		extractors.set(t, want)
		pause(t, 500*time.Millisecond)
	}
	if most != scaler.most {
		t.Errorf("there were %d extractors at most, with a queue for %d", most, scaler.most)
	}
	if code := planner.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("the planner ended with %d", code)
	}
	// Every server leads KEDA to the figures of the sink as well.
	log := natsTrigger{Account: trigger.Account, Stream: "AMPIPE_LOG_eth-logs", Consumer: "history-lake"}
	for _, server := range hosts {
		for _, n := range []natsTrigger{trigger, log} {
			if lag, err := n.lag(server); err != nil || lag != 0 {
				t.Errorf("%s: %d entries of %s at the end, %v", server, lag, n.Consumer, err)
			}
		}
	}
	if status, body := sink.probe(c, c.ReadinessProbe); status != 200 {
		t.Errorf("the sink has everything and is not ready: %d %s", status, body)
	}
	for _, p := range append(extractors.pods, sink) {
		if code := p.stop(30 * time.Second); code != 130 {
			t.Errorf("%s ended with %d", p.name, code)
		}
	}
}

// scaler does what Kubernetes does with a target of type AverageValue: one for each
// threshold of what there is, unless that is about what runs; down by one at a time, and
// when it has wanted that for a while (in looks, not in minutes).
type scaler struct{ least, most, threshold, patience, lower int }

func (s *scaler) want(now, lag int) int {
	if math.Abs(float64(lag)/float64(s.threshold*now)-1) <= 0.1 {
		s.lower = 0
		return now
	}
	want := min(max((lag+s.threshold-1)/s.threshold, s.least), s.most)
	if want >= now {
		s.lower = 0
		return want
	}
	s.lower++
	if s.lower < s.patience {
		return now
	}
	return now - 1
}

// stage is the processes of a Deployment.
type stage struct {
	o       *objects
	w       workload
	hidden  secrets
	replace []string
	pods    []*pod
	started int
}

// set starts or stops processes until there are n.
func (s *stage) set(t *testing.T, n int) {
	t.Helper()
	for len(s.pods) < n {
		s.started++
		name := fmt.Sprintf("%s-%d", s.w.Name, s.started)
		s.pods = append(s.pods, s.o.start(t, s.w, name, host(2, 100+s.started), s.hidden, s.replace...))
	}
	for len(s.pods) > n {
		last := s.pods[len(s.pods)-1]
		if code := last.stop(30 * time.Second); code != 130 {
			t.Errorf("%s ended with %d:\n%s", last.name, code, last.out.End(1000))
		}
		s.pods = s.pods[:len(s.pods)-1]
	}
}

// change changes the pipeline.yaml that the processes get.
func (o *objects) change(t *testing.T, by func(map[string]any)) {
	t.Helper()
	p := o.pipeline(t)
	by(p)
	text, err := yaml.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range o.configs {
		if _, there := c.Data["pipeline.yaml"]; there {
			c.Data["pipeline.yaml"] = string(text)
		}
	}
}

func (o *objects) named(t *testing.T, name string) workload {
	t.Helper()
	for _, w := range o.workloads() {
		if w.Name == name {
			return w
		}
	}
	t.Fatalf("%s has no %s", o.name, name)
	return workload{}
}

func number(t *testing.T, text string) int {
	t.Helper()
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// pause waits between two looks, as an autoscaler does.
func pause(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-t.Context().Done():
		t.Fatal("the test is over")
	case <-time.After(d):
	}
}
