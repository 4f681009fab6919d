package config_test

import (
	"strings"
	"testing"

	"github.com/ampipe/ampipe/pkg/config"
)

// TestTraces reads where traces go, from the file or else from the variables that
// OpenTelemetry has for that, and how many there are.
func TestTraces(t *testing.T) {
	t.Parallel()
	const (
		base, whole = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
		bad         = ` must be a URL such as http://localhost:4318, or off, not `
		fraction    = `14:11: traces.sample must be a number from 0 to 1, such as 0.01, not `
	)
	for _, c := range []struct {
		traces   string
		env      []string
		endpoint string
		sample   float64
		want     string
	}{
		{traces: ""},
		{traces: "traces:"},
		{traces: "traces: off", env: []string{base, "http://c:4318"}},
		{traces: "traces: { endpoint: off }", env: []string{whole, "http://c:4318"}},
		{traces: "traces: http://c:4318", endpoint: "http://c:4318"},
		{traces: "traces: { endpoint: https://c/otlp/v1/traces, sample: 1 }", endpoint: "https://c/otlp/v1/traces", sample: 1},
		{traces: "traces: ${C}", env: []string{"C", "http://c", base, "http://d"}, endpoint: "http://c"},
		{traces: "", env: []string{base, "http://c:4318/"}, endpoint: "http://c:4318/v1/traces"},
		{traces: "traces: { sample: 1e-6 }", env: []string{base, "http://c:4318"}, endpoint: "http://c:4318/v1/traces", sample: 1e-6},
		{traces: "", env: []string{base, "http://c:4318", whole, "http://d/x"}, endpoint: "http://d/x"},
		{traces: "", env: []string{base, "http://c:4318", "OTEL_SDK_DISABLED", "true"}},
		{traces: "", env: []string{base, "http://c:4318", "OTEL_TRACES_EXPORTER", "none"}},
		{traces: "traces: localhost:4318", want: `14:1: traces.endpoint` + bad + `"localhost:4318"`},
		{traces: "traces: grpc://c:4317", want: `14:1: traces.endpoint` + bad + `"grpc://c:4317"`},
		{traces: "traces: http://u:hunter2@c:4318", want: `14:1: traces.endpoint must hold no user or password; put what the collector asks for into OTEL_EXPORTER_OTLP_HEADERS`},
		{traces: "traces: { sample: 1.5 }", want: fraction + `"1.5"`},
		{traces: "traces: { sample: -1 }", want: fraction + `"-1"`},
		{traces: "traces: { sample: NaN }", want: fraction + `"NaN"`},
		{traces: "traces: { sample: all }", want: fraction + `"all"`},
	} {
		text := strings.Replace(valid, "  max_bytes: 1GiB\n", "  max_bytes: 1GiB\n"+c.traces+"\n", 1)
		got, err := config.Parse("f.yaml", []byte(text), env(c.env...))
		if c.want != "" {
			checkComplaints(t, c.traces, err, c.want)
			continue
		}
		want := config.Traces{Endpoint: c.endpoint, Sample: 0.01}
		if c.sample != 0 {
			want.Sample = c.sample
		}
		if err != nil || got[0].Traces != want {
			t.Errorf("%s with %q: got %+v, want %+v; %v", c.traces, c.env, got, want, err)
		}
	}
}
