package main

import (
	"strings"
	"testing"

	"github.com/ampipe/ampipe/pkg/ops"
)

// loaded runs the pipeline of a configuration to its end, so that the query that follows
// finds it planned.
func loaded(config string) func(*site) {
	return func(s *site) {
		s.Helper()
		s.configure(config)
		if code, out := s.command(firstMinute, "", "run"); code != ops.ExitDone {
			s.Fatalf("the first run: exit code %d\n%s", code, out)
		}
	}
}

func TestEnvironmentsOfAMendedQuery(t *testing.T) {
	t.Parallel()
	const first = `
pipeline: logs
source: { amp: $AMP, query: "SELECT block_num, log_index FROM eth.logs" }
range: { max_block: 40, reorg_buffer: 5 }
nats: { embedded: ./nats }
sinks: [ { name: lake, delta: { path: ./lake } } ]
`
	as := func(query string) string {
		return strings.Replace(first, "SELECT block_num, log_index FROM eth.logs", query, 1)
	}
	anew := func(query string) string {
		return strings.NewReplacer("pipeline: logs", "pipeline: logs2", "./lake", "./lake2").Replace(as(query))
	}
	try(t, []environment{{
		name:   "another column",
		breaks: loaded(first),
		config: as("SELECT block_num, log_index, tx_index FROM eth.logs"),
		says:   "its columns were block_num uint64, log_index uint32 and are now block_num uint64, log_index uint32, tx_index uint32. Give the new pipeline another name and another table",
		mended: anew("SELECT block_num, log_index, tx_index FROM eth.logs"),
	}, {
		name:   "columns in another order",
		breaks: loaded(first),
		config: as("SELECT log_index, block_num FROM eth.logs"),
		says:   "and are now log_index uint32, block_num uint64",
		mended: as("SELECT block_num, log_index FROM eth.logs WHERE log_index >= 0"),
	}, {
		name:   "a cast to another type",
		breaks: loaded(first),
		config: as("SELECT block_num, CAST(log_index AS BIGINT) AS log_index FROM eth.logs"),
		says:   "log_index uint32 and are now block_num uint64, log_index int64",
		mended: first,
	}})
}
