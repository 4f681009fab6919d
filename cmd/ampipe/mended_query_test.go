package main

import (
	"os"
	"strings"
	"testing"

	"github.com/ampipe/ampipe/pkg/ops"
)

// TestMendedQueryTakesOver loads with a query that fails at one block, mends the query,
// and expects that only what was not loaded is read with the new one.
func TestMendedQueryTakesOver(t *testing.T) {
	t.Parallel()
	const text = `
pipeline: mended
source: { amp: $AMP, query: "SELECT block_num, tx_index, CAST($VALUE AS INTEGER) AS v FROM eth.transactions" }
range: { max_block: 40, partition_size: 5, reorg_buffer: $BUFFER }
nats: { embedded: ./nats }
extract: { give_up_after: 1s }
sinks:
  - { name: lake, delta: { path: ./lake } }
`
	const broken = `CASE WHEN block_num = 17 THEN CAST(value AS TINYINT) WHEN block_num < 15 THEN 1 ELSE 3 END`
	const mended = `CASE WHEN block_num = 17 THEN 2 ELSE 3 END`
	for name, c := range map[string]struct {
		flags  []string
		buffer string // 5: all is history; 64: all is live
		until  string // what the run with the broken query says and then waits; empty: it ends
		exit   int    // of it
	}{
		"history":               {nil, "5", "", ops.ExitIncomplete},
		"history, retry-failed": {[]string{"--retry-failed"}, "5", "", ops.ExitIncomplete},
		"live":                  {nil, "64", "block 17 of the live chain cannot be read", ops.ExitInterrupted},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &site{T: t, dir: t.TempDir(), amp: ampServer(t), vars: map[string]string{}}
			config := strings.ReplaceAll(text, "$BUFFER", c.buffer)
			if os.Getenv("AMPIPE_TEST_POSTGRES") != "" {
				table := "mended_" + strings.NewReplacer(" ", "", ",", "", "-", "").Replace(name)
				config += "  - { name: warehouse, postgres: { dsn: \"$DSN\", table: " + table + " } }\n"
				t.Cleanup(func() { s.sql("DROP TABLE IF EXISTS " + table) })
			}
			set := func(value string) { s.configure(strings.ReplaceAll(config, "$VALUE", value)) }
			run := append([]string{"run"}, c.flags...)

			set(broken)
			if code, out := s.command(firstMinute, c.until, "run"); code != c.exit {
				t.Fatalf("with the broken query: exit code %d\n%s", code, out)
			}
			set(mended)
			if code, out := s.command(firstMinute, "", run...); code != ops.ExitDone || lineWith(out, "the query has changed and yields the same columns") == "" {
				t.Fatalf("with the mended query: exit code %d\n%s", code, out)
			}
			code, out := s.command(firstMinute, "", "verify")
			if code != ops.ExitDone || (c.buffer == "5" && lineWith(out, "version 0 of the query") == "") {
				t.Errorf("verify: exit code %d\n%s", code, out)
			}
			s.configure(strings.ReplaceAll(strings.ReplaceAll(config, "AS INTEGER", "AS DOUBLE"), "$VALUE", "1"))
			code, out = s.command(firstMinute, "", run...)
			if code != ops.ExitConfig || lineWith(out, "its columns were block_num uint64, tx_index uint32, v int32 and are now block_num uint64, tx_index uint32, v float64") == "" {
				t.Errorf("with other columns: exit code %d\n%s", code, out)
			}
		})
	}
}
