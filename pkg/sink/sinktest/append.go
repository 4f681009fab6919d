package sinktest

import (
	"testing"

	"github.com/ampipe/ampipe/pkg/config"
)

// RunAppend is [Run] for a destination that has no keys: all of its cases in
// append mode, with the same demands.
func RunAppend(t *testing.T, open Open) {
	for _, s := range setups {
		if s.setup.Mode != config.Append {
			continue
		}
		for _, cases := range s.cases {
			for _, c := range cases {
				t.Run(c.name, func(t *testing.T) { c.run(newEnv(t, open, s.setup)) })
			}
		}
	}
}
