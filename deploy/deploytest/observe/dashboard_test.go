package observe

import (
	"encoding/json"
	"math"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/promql"
)

// dashboard is what is read of the dashboard's file.
type dashboard struct {
	UID           string
	Title         string
	SchemaVersion int
	Panels        []panel
	Templating    struct {
		List []struct{ Name, Type, Definition string }
	}
}

type panel struct {
	ID          int
	Type        string
	Title       string
	Description string
	GridPos     struct{ X, Y, W, H int }
	Datasource  struct{ Type, UID string }
	Targets     []struct {
		RefID        string
		Expr         string
		LegendFormat string
	}
}

func loadDashboard(t *testing.T) dashboard {
	t.Helper()
	var d dashboard
	if err := json.Unmarshal(read(t, "grafana/dashboards/ampipe.json"), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// expression returns what Grafana asks Prometheus for a pipeline.
func expression(expr, pipeline string) string {
	return strings.NewReplacer("$pipeline", pipeline, "$__rate_interval", "5m").Replace(expr)
}

// TestDashboardIsWellFormed: panels have what they need and do not overlap.
func TestDashboardIsWellFormed(t *testing.T) {
	d := loadDashboard(t)
	if d.UID == "" || d.Title == "" || d.SchemaVersion < 41 || len(d.Panels) == 0 {
		t.Errorf("dashboard %q %q of schema %d has %d panels", d.UID, d.Title, d.SchemaVersion, len(d.Panels))
	}
	variables := map[string]bool{}
	for _, v := range d.Templating.List {
		variables[v.Name] = true
		if v.Type == "query" && v.Definition != "label_values(ampipe_waiting,pipeline)" {
			t.Errorf("variable %s is %q", v.Name, v.Definition)
		}
	}
	ids, cells := map[int]bool{}, map[[2]int]string{}
	for _, p := range d.Panels {
		if ids[p.ID] || p.Title == "" || p.Description == "" || len(p.Targets) == 0 {
			t.Errorf("panel %d %q lacks a number of its own, a title, a description or a query", p.ID, p.Title)
		}
		ids[p.ID] = true
		if p.Datasource.Type != "prometheus" || p.Datasource.UID != "${datasource}" {
			t.Errorf("panel %q asks %+v", p.Title, p.Datasource)
		}
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := cells[[2]int{x, y}]; other != "" || x >= 24 {
					t.Fatalf("panel %q lies on %q or beyond the edge", p.Title, other)
				}
				cells[[2]int{x, y}] = p.Title
			}
		}
		for _, target := range p.Targets {
			for _, used := range regexp.MustCompile(`\$\{?(\w+)`).FindAllStringSubmatch(target.Expr, -1) {
				if !variables[used[1]] && used[1] != "__rate_interval" {
					t.Errorf("panel %q uses variable %s, which is not there", p.Title, used[1])
				}
			}
		}
	}
}

var legendLabel = regexp.MustCompile(`\{\{(\w+)\}\}`)

// checkDashboard evaluates every query of the dashboard for a pipeline that is well and
// follows the chain: each returns data, with the labels that its legend names.
func (p *prometheus) checkDashboard(pipeline string) {
	p.t.Helper()
	for _, panel := range loadDashboard(p.t).Panels {
		for _, target := range panel.Targets {
			found := p.query(expression(target.Expr, pipeline))
			if !hasNumber(found) {
				p.t.Errorf("panel %q shows nothing: %s returns %v", panel.Title, target.Expr, found)
			}
			for _, label := range legendLabel.FindAllStringSubmatch(target.LegendFormat, -1) {
				for _, s := range found {
					if s.Metric.Get(label[1]) == "" {
						p.t.Errorf("panel %q: the legend names label %s, and %s lacks it", panel.Title, label[1], s.Metric)
					}
				}
			}
		}
	}
}

func hasNumber(v promql.Vector) bool {
	for _, s := range v {
		if !math.IsNaN(s.F) {
			return true
		}
	}
	return false
}
