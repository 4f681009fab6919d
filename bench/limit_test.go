package main

import "testing"

// TestLimitsAreJudged: both ways, at their bounds, and not at all without one.
func TestLimitsAreJudged(t *testing.T) {
	for _, c := range []struct {
		limit
		demand string
		fails  bool
	}{
		{limit{value: 4, unit: "ms", most: 4}, "≤ 4.00 ms", false},
		{limit{value: 4.1, unit: "ms", most: 4}, "≤ 4.00 ms", true},
		{limit{value: 1000, unit: "blocks/s", least: 1000}, "≥ 1 000 blocks/s", false},
		{limit{value: 999, unit: "blocks/s", least: 1000}, "≥ 1 000 blocks/s", true},
		{limit{value: 1e9}, "", false},
	} {
		if c.failed() != c.fails || c.limit.demand() != c.demand {
			t.Errorf("%+v: fails %t, demand %q", c.limit, c.failed(), c.limit.demand())
		}
	}
}
