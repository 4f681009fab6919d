package progress_test

import (
	"math"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/progress"
)

func wantLine(t *testing.T, m *progress.Meter, want string) {
	t.Helper()
	if got := m.Line(); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// TestLiveLine follows the chain with two sinks, one of which falls behind.
func TestLiveLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := progress.NewMeter("cache", "warehouse")
		if got := m.Live(); got != "" {
			t.Errorf("before the chain is followed: %q", got)
		}
		m.Seen(19_876_542, time.Now())
		wantLine(t, m, "live 19,876,542 in the log")

		seen := time.Now()
		time.Sleep(800 * time.Millisecond)
		m.Reached("cache", 19_876_542, seen)
		m.Reached("warehouse", 19_876_542, seen)
		wantLine(t, m, "live 19,876,542 (0.8 s behind head)")
		time.Sleep(time.Minute) // the chain stands still
		wantLine(t, m, "live 19,876,542 (at head)")

		m.Reorged()
		m.Reorgs(3) // as the planner counts, since the pipeline began
		m.Reorgs(2) // as it counted before
		m.Seen(19_876_550, time.Now())
		m.Reached("cache", 19_876_550, time.Now())
		time.Sleep(12 * time.Second)
		wantLine(t, m, "live 19,876,542 (12 s behind head) | reorgs 3")
		if got, want := m.Live(), "up to block 19,876,542, 3 reorgs"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		m.Reached("warehouse", 19_876_550, time.Time{}) // not known when it was seen
		m.Waiting("live", "the server is away")
		wantLine(t, m, "live 19,876,550 (0.8 s behind head) | reorgs 3 | live waits: the server is away")
	})
}

// TestASinkThatIsBehind tells since when it lacks the block after its last.
func TestASinkThatIsBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := progress.NewMeter("warehouse")
		m.Seen(100, time.Now())
		m.Reached("warehouse", 100, time.Now())
		time.Sleep(time.Hour) // no block comes
		m.Seen(101, time.Now())
		time.Sleep(2 * time.Second)
		wantLine(t, m, "live 100 (2.0 s behind head)")
		m.Seen(102, time.Now())
		time.Sleep(3 * time.Second)
		wantLine(t, m, "live 100 (5.0 s behind head)")
		seen := time.Now().Add(-5 * time.Second)
		m.Reached("warehouse", 101, seen) // and still lacks 102
		wantLine(t, m, "live 101 (5.0 s behind head)")
		m.Reached("warehouse", 102, seen.Add(2*time.Second))
		wantLine(t, m, "live 102 (3.0 s behind head)")
	})
}

// TestASinkAlone does not know the head.
func TestASinkAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := progress.NewMeter("warehouse")
		m.Reached("warehouse", 100, time.Now().Add(-time.Second))
		wantLine(t, m, "live 100 (1.0 s behind head)")
		time.Sleep(time.Hour)
		wantLine(t, m, "live 100")
	})
}

func TestLineOfHistoryAndLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := progress.NewMeter("warehouse")
		m.Planned(block.Range{Start: 0, End: 1000}, block.NewSet(block.Range{Start: 0, End: 1000}))
		m.Covered("warehouse", 1000)
		m.Seen(1001, time.Now())
		m.Reached("warehouse", 1001, time.Now())
		m.Reorged()
		wantLine(t, m, "history 1k/1k blocks 100 % | live 1,001 (0.0 s behind head) | reorgs 1")
	})
}

// scrape returns the figures that a server would read, by their names and labels.
func scrape(t *testing.T, m *progress.Meter) map[string]float64 {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(m); err != nil {
		t.Fatal(err)
	}
	answer := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(answer, httptest.NewRequest("GET", "/metrics", nil))
	figures := map[string]float64{}
	for line := range strings.Lines(answer.Body.String()) {
		name, value, found := strings.Cut(strings.TrimSpace(line), " ")
		if !found || strings.HasPrefix(line, "#") {
			continue
		}
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		figures[name] = v
	}
	return figures
}

func TestLiveMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := progress.NewMeter("warehouse", "cache")
		for name := range scrape(t, m) {
			if strings.Contains(name, "live") {
				t.Errorf("a pipeline that follows nothing tells %s", name)
			}
		}
		m.Seen(500, time.Now())
		for _, late := range []time.Duration{0, 5 * time.Millisecond, 30 * time.Millisecond, 200 * time.Millisecond, time.Hour, -time.Second} {
			m.Reached("warehouse", 499, time.Now().Add(-late))
		}
		m.Reached("warehouse", 500, time.Time{})
		m.Reorgs(4)
		got := scrape(t, m)
		const latency = "ampipe_live_latency_seconds"
		for name, want := range map[string]float64{
			"ampipe_live_block":                              500,
			"ampipe_reorgs_total":                            4,
			`ampipe_sink_live_block{sink="warehouse"}`:       500,
			latency + `_bucket{sink="warehouse",le="0.005"}`: 3, // one clock may be ahead of the other
			latency + `_bucket{sink="warehouse",le="0.025"}`: 3,
			latency + `_bucket{sink="warehouse",le="0.05"}`:  4,
			latency + `_bucket{sink="warehouse",le="0.1"}`:   4,
			latency + `_bucket{sink="warehouse",le="0.25"}`:  5,
			latency + `_bucket{sink="warehouse",le="300"}`:   5,
			latency + `_bucket{sink="warehouse",le="+Inf"}`:  6,
			latency + `_count{sink="warehouse"}`:             6,
			latency + `_sum{sink="warehouse"}`:               3600.235,
		} {
			if v, found := got[name]; !found || math.Abs(v-want) > 1e-6 {
				t.Errorf("%s is %v (%v), want %v", name, v, found, want)
			}
		}
		for name := range got {
			if strings.Contains(name, "live") && strings.Contains(name, "cache") {
				t.Errorf("a sink that has nothing of the chain tells %s", name)
			}
		}
	})
}
