package observe

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/template"
)

const deploy = "../../"

type ruleFile struct{ *rulefmt.RuleGroups }

// loadRules reads the rules as Prometheus does.
func loadRules(t *testing.T) *ruleFile {
	t.Helper()
	groups, errs := rulefmt.ParseFile(deploy+"prometheus/ampipe.rules.yml", false, model.UTF8Validation, parse, slog.New(slog.DiscardHandler))
	for _, err := range errs {
		t.Error(err)
	}
	if t.Failed() {
		t.FailNow()
	}
	return &ruleFile{groups}
}

// alerts returns the rules that alert.
func (f *ruleFile) alerts() (all []rulefmt.Rule) {
	for _, g := range f.Groups {
		for _, r := range g.Rules {
			if r.Alert != "" {
				all = append(all, r)
			}
		}
	}
	return all
}

// TestAlertsSayWhatToDo in a summary, a description and a sentence for the runbook,
// with a severity that a router knows.
func TestAlertsSayWhatToDo(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range loadRules(t).alerts() {
		if seen[r.Alert] {
			t.Errorf("%s is there twice", r.Alert)
		}
		seen[r.Alert] = true
		if !slices.Contains([]string{"critical", "warning"}, r.Labels["severity"]) {
			t.Errorf("%s: severity is %q", r.Alert, r.Labels["severity"])
		}
		for _, name := range []string{"summary", "description", "runbook"} {
			if r.Annotations[name] == "" {
				t.Errorf("%s has no %s", r.Alert, name)
			}
		}
		if strings.Contains(r.Annotations["runbook"], "://") {
			t.Errorf("%s: the runbook is a link", r.Alert)
		}
		if !strings.HasSuffix(r.Annotations["description"], ".") || strings.Contains(r.Annotations["summary"], "\n") {
			t.Errorf("%s: %q, %q", r.Alert, r.Annotations["summary"], r.Annotations["description"])
		}
	}
}

// expand expands the annotations of an alert as Prometheus does before it sends it.
func (p *prometheus) expand(r rulefmt.Rule, a *alert) map[string]string {
	p.t.Helper()
	const head = "{{$labels := .Labels}}{{$externalLabels := .ExternalLabels}}{{$externalURL := .ExternalURL}}{{$value := .Value}}"
	data := template.AlertTemplateData(a.labels.Map(), nil, "", promql.Sample{F: a.value, Metric: a.labels})
	query := func(ctx context.Context, q string, at time.Time) (promql.Vector, error) { return p.instant(ctx, q, at) }
	expanded := map[string]string{}
	for name, text := range r.Annotations {
		out, err := template.NewTemplateExpander(p.t.Context(), head+text, r.Alert, data, model.TimeFromUnixNano(p.now.UnixNano()), query, &url.URL{}, []string{"missingkey=error"}).Expand()
		if err != nil {
			p.t.Errorf("%s: expand %s: %v", r.Alert, name, err)
		}
		if strings.Contains(out, "<no value>") || strings.Contains(out, "%!") || strings.Contains(out, "{{") {
			p.t.Errorf("%s: %s expands to %q", r.Alert, name, out)
		}
		expanded[name] = out
	}
	return expanded
}

// selectors returns the metrics that an expression names.
func selectors(t *testing.T, expr string) (names []string) {
	t.Helper()
	tree, err := parse.ParseExpr(expr)
	if err != nil {
		t.Errorf("parse %s: %v", expr, err)
		return nil
	}
	parser.Inspect(tree, func(node parser.Node, _ []parser.Node) error {
		if s, is := node.(*parser.VectorSelector); is {
			i := slices.IndexFunc(s.LabelMatchers, func(m *labels.Matcher) bool { return m.Name == model.MetricNameLabel })
			if i < 0 {
				t.Errorf("%s selects without a name", expr)
				return nil
			}
			names = append(names, s.LabelMatchers[i].Value)
		}
		return nil
	})
	return names
}

// read reads a file of deploy/.
func read(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(deploy + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// docs returns who serves each metric, as docs/metrics.md has it.
func docs(t *testing.T) map[string][]string {
	t.Helper()
	served := map[string][]string{}
	for line := range strings.Lines(string(read(t, "../docs/metrics.md"))) {
		cells := strings.Split(line, "|")
		if len(cells) == 7 && strings.HasPrefix(cells[1], " `ampipe_") {
			served[strings.Trim(cells[1], " `")] = strings.Split(strings.TrimSpace(cells[4]), ", ")
		}
	}
	if len(served) == 0 {
		t.Fatal("docs/metrics.md has no table of metrics")
	}
	return served
}

var documentedExpr = regexp.MustCompile("(?m)`((?:max|sum) by [^`…]+)`")

// checkDocs evaluates the expressions that docs/metrics.md recommends.
func (p *prometheus) checkDocs() {
	p.t.Helper()
	found := documentedExpr.FindAllSubmatch(read(p.t, "../docs/metrics.md"), -1)
	if len(found) == 0 {
		p.t.Error("docs/metrics.md recommends nothing to scale by")
	}
	for _, expr := range found {
		if result := p.query(string(expr[1])); !hasNumber(result) {
			p.t.Errorf("%s, which docs/metrics.md recommends, returns %v", expr[1], result)
		}
	}
}

// family returns the name under which a series is documented.
func family(name string) string {
	for _, suffix := range []string{"_bucket", "_sum", "_count"} {
		name = strings.TrimSuffix(name, suffix)
	}
	return name
}

// checkServers compares who serves what with what docs/metrics.md says. roles are the
// kinds of process that were scraped, by job.
func (p *prometheus) checkServers(roles map[string]string) {
	p.t.Helper()
	documented := docs(p.t)
	served := map[string]bool{} // "metric role"
	for _, s := range p.query(`{__name__=~"ampipe_.+"}`) {
		role := roles[s.Metric.Get("job")]
		name := family(s.Metric.Get(model.MetricNameLabel))
		served[name+" "+role] = true
		if by := documented[name]; !slices.Contains(by, role) && !slices.Contains(by, "all") {
			p.t.Errorf("%s serves %s, which docs/metrics.md says of %q only", role, name, by)
		}
	}
	for name, by := range documented {
		if slices.Contains(by, "all") {
			by = []string{"planner", "extractor", "sink"}
		}
		for _, role := range by {
			if !served[name+" "+role] {
				p.t.Errorf("%s does not serve %s, and docs/metrics.md says so", role, name)
			}
		}
	}
}

// explain logs for a failed test what is known.
func (p *prometheus) explain() {
	if p.t.Failed() {
		for _, s := range p.query(`{__name__=~"ampipe_.+",__name__!~".+_bucket"}`) {
			p.t.Log(fmt.Sprint(s))
		}
		p.t.Log(strings.Join(p.everFired("", ""), "\n"))
	}
}
