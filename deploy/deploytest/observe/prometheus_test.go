package observe

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
)

const (
	// stretch is how much faster time goes here than in reality: a scrape every quarter
	// of a second is one every 15 seconds, and "for: 5m" takes 5 seconds. What the
	// processes measure by the clock is stretched as well.
	stretch     = 60
	scrapeEvery = 15 * time.Second / stretch
)

// stretched are the metrics, beside timestamps, that tell how long something has taken
// so far. Counters and latencies are left as they are: no alert compares them.
var stretched = []string{"ampipe_sink_lag_seconds", "ampipe_longest_wait_seconds"}

// prometheus scrapes processes and evaluates rules as a Prometheus server does, in
// stretched time. It is safe for concurrent use.
type prometheus struct {
	t      *testing.T
	engine *promql.Engine
	memory *memory
	rules  *ruleFile
	began  time.Time

	mu      sync.Mutex
	targets []*target
	now     time.Time                    // stretched, of the last evaluation
	active  map[string]map[string]*alert // by name of the rule and labels
	fired   map[string][]*alert          // ever, by name of the rule
}

// target is a process that is scraped.
type target struct {
	job, address string
	last         map[uint64]labels.Labels // series of the last scrape
}

// alert is one that is pending, or fires.
type alert struct {
	labels labels.Labels
	value  float64
	since  time.Time
	fires  bool
}

var parse = parser.NewParser(parser.Options{})

func startPrometheus(t *testing.T, rules *ruleFile) *prometheus {
	p := &prometheus{
		t: t, memory: newMemory(), rules: rules, began: time.Now(),
		engine: promql.NewEngine(promql.EngineOpts{
			MaxSamples: 10_000_000, Timeout: time.Minute, EnableAtModifier: true, EnableNegativeOffset: true, Parser: parse,
		}),
		active: map[string]map[string]*alert{}, fired: map[string][]*alert{},
	}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		ticker := time.NewTicker(scrapeEvery)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			p.tick(ctx)
		}
	})
	t.Cleanup(func() {
		stop()
		running.Wait()
	})
	return p
}

// at returns a moment in stretched time.
func (p *prometheus) at(real time.Time) time.Time { return p.began.Add(real.Sub(p.began) * stretch) }

// scrapes adds processes, as soon as all of them answer.
func (p *prometheus) scrapes(processes ...*process) {
	p.t.Helper()
	var targets []*target
	for _, one := range processes {
		waitFor(p.t, one.job+" serves metrics", 30*time.Second, func() bool {
			_, err := metrics(p.t.Context(), one.address)
			return err == nil
		})
		targets = append(targets, &target{job: one.job, address: one.address})
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.targets = append(p.targets, targets...)
}

// tick scrapes every process and evaluates every rule, once.
func (p *prometheus) tick(ctx context.Context) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.at(time.Now())
	var scraping sync.WaitGroup
	for _, target := range p.targets {
		scraping.Go(func() { p.scrape(ctx, target, now) })
	}
	scraping.Wait()
	if ctx.Err() != nil {
		return
	}
	p.now = now
	for _, group := range p.rules.Groups {
		for _, r := range group.Rules {
			found, err := p.instant(ctx, r.Expr, now)
			switch {
			case ctx.Err() != nil:
				return
			case err != nil:
				p.t.Errorf("evaluate %s%s: %v", r.Record, r.Alert, err)
			case r.Record != "":
				for _, s := range found {
					p.memory.add(labels.NewBuilder(s.Metric).Set(model.MetricNameLabel, r.Record).Labels(), now, s.F)
				}
			default:
				p.judge(r.Alert, time.Duration(r.For), found, now)
			}
		}
	}
}

// judge makes the alerts of a rule those that were found.
func (p *prometheus) judge(name string, wait time.Duration, found promql.Vector, now time.Time) {
	before := p.active[name]
	active := map[string]*alert{}
	for _, s := range found {
		key := s.Metric.String()
		a := before[key]
		if a == nil {
			a = &alert{labels: s.Metric, since: now}
		}
		a.value = s.F
		active[key] = a
		if !a.fires && now.Sub(a.since) >= wait {
			a.fires = true
			p.fired[name] = append(p.fired[name], a)
		}
		if a.fires {
			p.memory.add(alerts(name, a), now, 1)
		}
	}
	for key, a := range before {
		if active[key] == nil && a.fires {
			p.memory.end(alerts(name, a), now)
		}
	}
	p.active[name] = active
}

// alerts returns the labels of the series in which Prometheus shows an alert that fires.
func alerts(name string, a *alert) labels.Labels {
	return labels.NewBuilder(a.labels).Set(model.MetricNameLabel, "ALERTS").Set("alertname", name).Set("alertstate", "firing").Labels()
}

// scrape reads the metrics of one process.
func (p *prometheus) scrape(ctx context.Context, target *target, now time.Time) {
	up := 1.0
	samples, err := metrics(ctx, target.address)
	if err != nil {
		up = 0
	}
	common := func(b *labels.Builder) labels.Labels {
		return b.Set("job", target.job).Set("instance", target.address).Labels()
	}
	p.memory.add(common(labels.NewBuilder(labels.FromStrings(model.MetricNameLabel, "up"))), now, up)
	seen := map[uint64]labels.Labels{}
	for _, s := range samples {
		b := labels.NewBuilder(labels.EmptyLabels())
		for name, v := range s.Metric {
			b.Set(string(name), string(v))
		}
		l := common(b)
		seen[l.Hash()] = l
		p.memory.add(l, now, p.stretch(string(s.Metric[model.MetricNameLabel]), float64(s.Value)))
	}
	for hash, l := range target.last {
		if _, still := seen[hash]; !still {
			p.memory.end(l, now)
		}
	}
	target.last = seen
}

// stretch returns a value as it would be if time went faster.
func (p *prometheus) stretch(name string, v float64) float64 {
	switch {
	case strings.HasSuffix(name, "_timestamp_seconds"), name == "process_start_time_seconds":
		began := float64(p.began.UnixMilli()) / 1000
		return began + (v-began)*stretch
	case slices.Contains(stretched, name):
		return v * stretch
	default:
		return v
	}
}

// metrics reads what a process serves.
func metrics(ctx context.Context, address string) (model.Vector, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }() // it is read
	textParser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := textParser.TextToMetricFamilies(answer.Body)
	if err != nil {
		return nil, fmt.Errorf("read the metrics of %s: %w", address, err)
	}
	return expfmt.ExtractSamples(&expfmt.DecodeOptions{}, slices.Collect(maps.Values(families))...)
}

// instant evaluates an expression at one moment.
func (p *prometheus) instant(ctx context.Context, expr string, at time.Time) (promql.Vector, error) {
	q, err := p.engine.NewInstantQuery(ctx, p.memory, nil, expr, at)
	if err != nil {
		return nil, err
	}
	defer q.Close()
	result := q.Exec(ctx)
	if result.Err != nil {
		return nil, result.Err
	}
	found, err := result.Vector()
	return slices.Clone(found), err
}

// query evaluates an expression as of the last scrape.
func (p *prometheus) query(expr string) promql.Vector {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	found, err := p.instant(p.t.Context(), expr, p.now)
	if err != nil {
		p.t.Fatalf("evaluate %s: %v", expr, err)
	}
	return found
}

// firing returns an alert that fires now and has the labels given as name=value.
func (p *prometheus) firing(name string, want ...string) *alert {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, a := range p.active[name] {
		if a.fires && !slices.ContainsFunc(want, func(pair string) bool {
			label, v, _ := strings.Cut(pair, "=")
			return a.labels.Get(label) != v
		}) {
			return a
		}
	}
	return nil
}

// everFired returns the alerts that have fired so far with a value of a label, as text;
// an empty label stands for all.
func (p *prometheus) everFired(label, v string) (all []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for name, fired := range p.fired {
		for _, a := range fired {
			if label == "" || a.labels.Get(label) == v {
				all = append(all, fmt.Sprintf("%s%s at %v: %v", name, a.labels, a.since.Sub(p.began), a.value))
			}
		}
	}
	return all
}

// waitFor waits until a condition holds.
func waitFor(t *testing.T, what string, limit time.Duration, holds func() bool) {
	t.Helper()
	deadline := time.After(limit)
	poll := time.NewTicker(50 * time.Millisecond)
	defer poll.Stop()
	for !holds() {
		select {
		case <-deadline:
			t.Fatalf("%s: not within %v", what, limit)
		case <-poll.C:
		}
	}
}

// waitFiring waits until an alert fires.
func (p *prometheus) waitFiring(name string, want ...string) {
	p.t.Helper()
	began := time.Now()
	waitFor(p.t, fmt.Sprintf("alert %s %v", name, want), time.Minute, func() bool { return p.firing(name, want...) != nil })
	p.t.Logf("%s %v fires after %.1f s", name, want, time.Since(began).Seconds())
}
