package observe

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// decode reads a file of deploy/ and refuses what the test does not know.
func decode(t *testing.T, name string, into any) {
	t.Helper()
	d := yaml.NewDecoder(bytes.NewReader(read(t, name)))
	d.KnownFields(true)
	if err := d.Decode(into); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// TestScrapesEveryService by its name in docker-compose.yml, all replicas of it, under a
// job that the rules know.
func TestScrapesEveryService(t *testing.T) {
	var config struct {
		Global struct {
			Scrape   string `yaml:"scrape_interval"`
			Evaluate string `yaml:"evaluation_interval"`
		}
		Rules  []string `yaml:"rule_files"`
		Scrape []struct {
			Job string `yaml:"job_name"`
			DNS []struct {
				Names   []string
				Type    string
				Port    int
				Refresh string `yaml:"refresh_interval"`
			} `yaml:"dns_sd_configs"`
		} `yaml:"scrape_configs"`
	}
	decode(t, "prometheus/prometheus.yml", &config)
	if len(config.Rules) != 1 || config.Rules[0] != "ampipe.rules.yml" {
		t.Errorf("rule files are %q", config.Rules)
	}
	var down string
	for _, r := range loadRules(t).alerts() {
		if r.Alert == "AmpipeProcessDown" {
			down = regexp.MustCompile(`job=~"([^"]*)"`).FindStringSubmatch(r.Expr)[1]
		}
	}
	var jobs []string
	for _, s := range config.Scrape {
		jobs = append(jobs, s.Job)
		if got, want := fmt.Sprint(s.DNS), fmt.Sprintf("[{[%s] A 9090 15s}]", s.Job); got != want {
			t.Errorf("job %s is found by %s, want %s", s.Job, got, want)
		}
		if !regexp.MustCompile("^(?:" + down + ")$").MatchString(s.Job) {
			t.Errorf("AmpipeProcessDown does not look at job %s", s.Job)
		}
	}
	if got := strings.Join(jobs, " "); got != "planner extractor sink-postgres sink-redis sink-delta" {
		t.Errorf("jobs are %s", got)
	}
}

// TestGrafanaIsProvisioned with a data source that is the Prometheus of
// docker-compose.yml, and with the folder that the dashboard is mounted in.
func TestGrafanaIsProvisioned(t *testing.T) {
	var sources struct {
		Version int `yaml:"apiVersion"`
		Sources []struct {
			Name, UID, Type, Access, URL string
			Default                      bool              `yaml:"isDefault"`
			JSON                         map[string]string `yaml:"jsonData"`
		} `yaml:"datasources"`
	}
	decode(t, "grafana/provisioning/datasources/prometheus.yml", &sources)
	if s := sources.Sources; len(s) != 1 || s[0].Type != "prometheus" || s[0].URL != "http://prometheus:9090" || !s[0].Default {
		t.Errorf("data sources are %+v", s)
	}
	var providers struct {
		Version   int `yaml:"apiVersion"`
		Providers []struct {
			Name, Type string
			Updates    bool `yaml:"allowUiUpdates"`
			Options    struct{ Path string }
		}
	}
	decode(t, "grafana/provisioning/dashboards/ampipe.yml", &providers)
	if p := providers.Providers; len(p) != 1 || p[0].Type != "file" || p[0].Options.Path != "/var/lib/grafana/dashboards" {
		t.Errorf("providers are %+v", p)
	}
	if sources.Version != 1 || providers.Version != 1 {
		t.Error("Grafana reads apiVersion 1 only")
	}
}
