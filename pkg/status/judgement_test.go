package status_test

import (
	"strings"
	"testing"

	"github.com/ampipe/ampipe/pkg/progress"
	"github.com/ampipe/ampipe/pkg/status"
)

// judgedAlike fails unless the progress line and the metrics of a process that has the
// judgement of a pipeline say what the pipeline says.
func judgedAlike(t *testing.T, p status.Pipeline) {
	t.Helper()
	m := progress.NewMeter()
	m.Judge(p.Judgement())
	if line := m.Line(); !strings.HasPrefix(line, p.Sentence) {
		t.Errorf("the progress line is %q, and the sentence %q", line, p.Sentence)
	}
	registry, err := progress.Gather(map[string]*progress.Meter{p.Name: m})
	if err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	level, sinks := "", map[string]string{}
	for _, f := range families {
		for _, metric := range f.GetMetric() {
			labels := map[string]string{}
			for _, l := range metric.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			if metric.GetGauge().GetValue() != 1 {
				continue
			}
			switch f.GetName() {
			case "ampipe_state":
				level += labels["state"]
			case "ampipe_sink_state":
				sinks[labels["sink"]] += labels["state"]
			}
		}
	}
	if level != string(p.Level) {
		t.Errorf("the metrics say %q of a pipeline that is %s", level, p.Level)
	}
	for _, s := range p.Sinks {
		if sinks[s.Name] != string(s.State) {
			t.Errorf("the metrics say %q of sink %s, which is %s", sinks[s.Name], s.Name, s.State)
		}
	}
}
