package main

import (
	"strings"
	"testing"

	"github.com/ampipe/ampipe/pkg/ops"
)

// TestEnvironmentsOfAPause: what somebody has paused is said, and is no error.
func TestEnvironmentsOfAPause(t *testing.T) {
	t.Parallel()
	const config = `
pipeline: logs
source: { amp: $AMP, query: "SELECT block_num, log_index FROM eth.logs" }
range: { max_block: 40, reorg_buffer: 5 }
nats: { embedded: ./nats }
sinks: [ { name: lake, delta: { path: ./lake } }, { name: copy, delta: { path: ./copy } } ]
`
	steer := func(command string) func(s *site) {
		return func(s *site) {
			s.Helper()
			if code, out := s.command(firstMinute, "", command, "copy"); code != ops.ExitDone {
				s.Fatalf("%s: exit code %d\n%s", command, code, out)
			}
		}
	}
	try(t, []environment{{
		name: "a paused sink",
		breaks: func(s *site) {
			loaded(strings.Replace(config, "max_block: 40", "max_block: 20", 1))(s)
			steer("pause")(s)
		},
		config: config,
		says:   "paused by ampipe pause since ",
		warns:  true,
		waits:  true,
		mends:  steer("resume"),
	}})
}
