package main

import (
	"testing"
	"time"
)

// TestLimitsAreJudged: both ways, at their bounds, and not at all without one. What is known
// to miss its demand fails when it misses it by more.
func TestLimitsAreJudged(t *testing.T) {
	for _, c := range []struct {
		limit
		demand        string
		misses, fails bool
	}{
		{limit{value: 4, unit: "ms", most: 4}, "≤ 4.00 ms", false, false},
		{limit{value: 4.1, unit: "ms", most: 4}, "≤ 4.00 ms", true, true},
		{limit{value: 1000, unit: "blocks/s", least: 1000}, "≥ 1 000 blocks/s", false, false},
		{limit{value: 999, unit: "blocks/s", least: 1000}, "≥ 1 000 blocks/s", true, true},
		{limit{value: 1e9}, "", false, false},
		{limit{value: 4, unit: "ms", most: 4, worst: 5}, "≤ 4.00 (5.00) ms", false, false},
		{limit{value: 5, unit: "ms", most: 4, worst: 5}, "≤ 4.00 (5.00) ms", true, false},
		{limit{value: 5.1, unit: "ms", most: 4, worst: 5}, "≤ 4.00 (5.00) ms", true, true},
		{limit{value: 1000, unit: "blocks/s", least: 2000, worst: 1000}, "≥ 2 000 (1 000) blocks/s", true, false},
		{limit{value: 999, unit: "blocks/s", least: 2000, worst: 1000}, "≥ 2 000 (1 000) blocks/s", true, true},
	} {
		if c.missed() != c.misses || c.failed() != c.fails || c.limit.demand() != c.demand {
			t.Errorf("%+v: misses %t, fails %t, demand %q", c.limit, c.missed(), c.failed(), c.limit.demand())
		}
	}
	half := comparison{demand: 0.85, pairs: [][2]sample{{{1000, 2 * time.Second}, {1000, time.Second}}}}
	for _, c := range []struct {
		floor         float64
		misses, fails bool
	}{{0, true, true}, {0.5, true, false}, {0.51, true, true}} {
		half.floor = c.floor
		if half.missed() != c.misses || half.failed() != c.fails {
			t.Errorf("%.2f with the floor %.2f: misses %t, fails %t", half.ratio(), c.floor, half.missed(), half.failed())
		}
	}
	slow := delay{median: 4 * time.Millisecond, p99: 10 * time.Millisecond}
	slow.hops[committedHop] = times{5 * time.Millisecond, 9 * time.Millisecond}
	for _, c := range []struct {
		worst         [2]time.Duration
		misses, fails bool
	}{
		{[2]time.Duration{}, true, true},
		{[2]time.Duration{9 * time.Millisecond, 20 * time.Millisecond}, true, false},
		{[2]time.Duration{9 * time.Millisecond, 8 * time.Millisecond}, true, true},
	} {
		slow.worst = c.worst
		if slow.missed() != c.misses || slow.failed() != c.fails {
			t.Errorf("worst %v: misses %t, fails %t", c.worst, slow.missed(), slow.failed())
		}
	}
}
