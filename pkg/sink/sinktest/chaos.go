package sinktest

import "testing"

// RunRandom is the random cases of [Run] alone, with the same demands: for Writers
// that are made to fail on the way, which other cases would count as wrong.
func RunRandom(t *testing.T, open Open) {
	for _, s := range setups {
		t.Run(s.name, func(t *testing.T) {
			cases := randomCases
			if len(s.setup.Key) == 1 {
				cases = randomKeyCases
			}
			for _, c := range cases {
				c.run(newEnv(t, open, s.setup))
			}
		})
	}
}
