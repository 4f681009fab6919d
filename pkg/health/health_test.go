package health_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ampipe/ampipe/pkg/health"
)

var now = time.Date(2026, 3, 1, 3, 0, 0, 0, time.UTC)

func ago(d time.Duration) time.Time { return now.Add(-d) }

// states returns the answer as "PIPELINE/PART STATE".
func states(a health.Answer) []string {
	all := make([]string, len(a.Parts))
	for i, p := range a.Parts {
		all[i] = p.Pipeline + "/" + p.Part + " " + string(p.State)
	}
	return all
}

// TestWaits holds the rule for each kind of wait: what it is at first, and from when on
// the process is not healthy.
func TestWaits(t *testing.T) {
	const delay = 10 * time.Second // for which a sink may gather
	for name, c := range map[string]struct {
		kind  health.Kind
		since time.Duration
		moved time.Duration // ago; 0: never
		want  health.State
		ok    bool
	}{
		"a short fault":                {health.Fault, health.Patience - 1, 0, health.StateWaiting, true},
		"a long one":                   {health.Fault, health.Patience, 0, health.StateFailing, false},
		"a long one, and others move":  {health.Fault, time.Hour, time.Second, health.StateFailing, false},
		"NATS is away":                 {health.NATSAway, health.Patience, 0, health.StateFailing, false},
		"Amp is away":                  {health.AmpAway, health.Patience, 0, health.StateFailing, false},
		"the planner cannot look":      {health.PlannerFails, health.Patience, 0, health.StateFailing, false},
		"a chain that is awaited":      {health.Expected, 30 * 24 * time.Hour, 0, health.StateExpected, true},
		"a full log that moves":        {health.BackPressure, 24 * time.Hour, 10 * time.Second, health.StateBackPressure, true},
		"a full log since now":         {health.BackPressure, health.Standstill + delay - 1, 24 * time.Hour, health.StateBackPressure, true},
		"a full log that stands still": {health.BackPressure, 24 * time.Hour, health.Standstill + delay, health.StateFailing, false},
		"one that has never moved":     {health.BackPressure, health.Standstill + delay, 0, health.StateFailing, false},
		"a sink that waits its turn":   {health.InTurn, health.Standstill + delay - 1, 0, health.StateBackPressure, true},
		"one that waits too long":      {health.InTurn, health.Standstill + delay, time.Second, health.StateFailing, false},
	} {
		p := health.Pipeline{
			Name: "p", CommitDelay: delay, Stages: []health.Stage{{Name: "sink"}},
			Waits: []health.Wait{{Part: "part", Reason: "because", Kind: c.kind, Since: ago(c.since)}},
		}
		if c.moved > 0 {
			p.Moved = ago(c.moved)
		}
		a := health.Healthy(now, []health.Pipeline{p})
		if want := []string{"p/part " + string(c.want)}; a.OK != c.ok || !slices.Equal(states(a), want) {
			t.Errorf("%s: %v %q, want %v %q", name, a.OK, states(a), c.ok, want)
		}
		if a := health.Ready(now, []health.Pipeline{p}); !a.OK {
			t.Errorf("%s makes a stage that does not need it unready: %q", name, states(a))
		}
		if a := health.Live(now, []health.Pipeline{p}); !a.OK {
			t.Errorf("%s asks for a restart: %q", name, states(a))
		}
	}
}

// TestWhatHasStopped is not healthy, is named first, and asks for no restart.
func TestWhatHasStopped(t *testing.T) {
	all := []health.Pipeline{
		{Name: "b", Waits: []health.Wait{{Part: "log", Kind: health.Expected}}},
		{
			Name:  "a",
			Waits: []health.Wait{{Part: "amp", Since: ago(time.Second)}, {Part: "live", Since: ago(time.Hour)}},
			Stops: []health.Stop{{Part: "sink lake", Reason: "block 7: too large", Since: ago(time.Hour)}},
		},
	}
	a := health.Healthy(now, all)
	want := []string{"a/sink lake stopped", "a/live failing", "a/amp waiting", "b/log expected"}
	if a.OK || !slices.Equal(states(a), want) {
		t.Errorf("%v %q, want %q", a.OK, states(a), want)
	}
	if a.Parts[0].Reason != "block 7: too large" {
		t.Errorf("the reason is %q", a.Parts[0].Reason)
	}
	if a := health.Live(now, all); !a.OK || len(a.Parts) > 0 {
		t.Errorf("it asks for a restart: %q", states(a))
	}
	if a := health.Ready(now, all); !a.OK || len(a.Parts) > 0 {
		t.Errorf("no stage of this process is concerned, and it is not ready: %q", states(a))
	}
}

func TestReady(t *testing.T) {
	lacks := health.Stage{Name: "sink lake", Unready: "10 of 20 blocks of the history are missing", Missing: 10, Since: ago(time.Minute)}
	extractor := health.Stage{Name: "extractor", Needs: []health.Kind{health.NATSAway, health.AmpAway}}
	wait := func(kind health.Kind, since time.Duration) []health.Wait {
		return []health.Wait{{Part: "partition 0.0", Reason: "is Amp running?", Kind: kind, Since: ago(since)}}
	}
	for name, c := range map[string]struct {
		p    health.Pipeline
		want []string
	}{
		"all are ready":              {health.Pipeline{Stages: []health.Stage{extractor, {Name: "planner"}}}, nil},
		"blocks are missing":         {health.Pipeline{Stages: []health.Stage{extractor, lacks}}, []string{"/sink lake not ready"}},
		"and somebody waits":         {health.Pipeline{Stages: []health.Stage{lacks}, Waits: wait(health.Fault, 1)}, []string{"/sink lake not ready", "/partition 0.0 waiting"}},
		"it has stopped":             {health.Pipeline{Stages: []health.Stage{lacks}, Stops: []health.Stop{{Part: "sink lake"}, {Part: "sink cache"}}}, []string{"/sink lake not ready", "/sink cache stopped"}},
		"it needs what is away":      {health.Pipeline{Stages: []health.Stage{extractor}, Waits: wait(health.AmpAway, time.Minute)}, []string{"/extractor not ready", "/partition 0.0 failing"}},
		"which was away for moments": {health.Pipeline{Stages: []health.Stage{extractor}, Waits: wait(health.AmpAway, time.Second)}, nil},
		"it needs something else":    {health.Pipeline{Stages: []health.Stage{extractor}, Waits: wait(health.Fault, time.Hour)}, nil},
	} {
		a := health.Ready(now, []health.Pipeline{c.p})
		if a.OK != (c.want == nil) || !slices.Equal(states(a), c.want) {
			t.Errorf("%s: %v %q, want %q", name, a.OK, states(a), c.want)
		}
	}
	a := health.Ready(now, []health.Pipeline{{Name: "p"}, {Name: "q", Stages: []health.Stage{lacks}}})
	text, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"ok":false,"parts":[{"pipeline":"q","part":"sink lake","state":"not ready",` +
		`"reason":"10 of 20 blocks of the history are missing","since":"2026-03-01T02:59:00Z","blocks_missing":10}]}`
	if string(text) != want {
		t.Errorf("as JSON %s, want %s", text, want)
	}
}

func TestLive(t *testing.T) {
	p := health.Pipeline{Name: "p", Loops: []health.Loop{{"planner", ago(health.HungAfter - 1)}, {"sink lake", ago(time.Second)}}}
	if a := health.Live(now, []health.Pipeline{p}); !a.OK || a.Parts == nil {
		t.Errorf("%v %q", a.OK, states(a))
	}
	p.Loops[0].Last = ago(health.HungAfter)
	a := health.Live(now, []health.Pipeline{p})
	if a.OK || !slices.Equal(states(a), []string{"p/planner hung"}) || !strings.Contains(a.Parts[0].Reason, "15m0s") {
		t.Errorf("%v %+v", a.OK, a.Parts)
	}
}
