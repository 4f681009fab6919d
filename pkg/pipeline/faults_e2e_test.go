package pipeline_test

import (
	"fmt"
	"strings"
	"testing"
)

// TestBadInputIsRefusedBeforeAnythingStarts goes through what users get wrong.
// Each is one clear message and exit code 2, and nothing is written anywhere.
func TestBadInputIsRefusedBeforeAnythingStarts(t *testing.T) {
	t.Parallel()
	e := newCommandEnv(t)
	amp, _ := e.devserver("--chain", "eth_rpc", "--blocks", "20", "--start", "100")
	config := func(edit func(map[string]string)) string {
		v := map[string]string{
			"query": logs, "range": "{ min_block: 100, max_block: 120 }", "dsn": "${DATABASE_URL}",
			"options": "", "more": "", "amp": amp,
		}
		edit(v)
		return fmt.Sprintf(`pipeline: e2e
source:
  amp: %s
  query: %s
range: %s
nats: { embedded: ./nats }
sinks:
  - name: warehouse
    postgres: { dsn: "%s", schema: %s, table: rows%s }
%s`, v["amp"], v["query"], v["range"], v["dsn"], e.schema, v["options"], v["more"])
	}
	set := func(key, value string) func(map[string]string) {
		return func(v map[string]string) { v[key] = value }
	}
	for name, c := range map[string]struct {
		edit func(map[string]string)
		want []string // all of them are in the message
	}{
		"mistyped key":         {set("more", "extrakt: { workers: 4 }"), []string{"pipeline.yaml:10", "extrakt", "extract"}},
		"min above max":        {set("range", "{ min_block: 120, max_block: 110 }"), []string{"pipeline.yaml:5", "min_block", "max_block"}},
		"no workers":           {set("more", "extract: { workers: 0 }"), []string{"pipeline.yaml:10", "workers"}},
		"duplicate key column": {set("options", ", mode: upsert, key: [log_index, log_index]"), []string{"log_index", "twice"}},
		"upsert without key":   {set("options", ", mode: upsert"), []string{"key"}},
		"unknown table":        {set("query", "SELECT * FROM eth_rpc.nope"), []string{"eth_rpc.nope", "not found"}},
		"unknown dataset":      {set("query", "SELECT * FROM nope.logs"), []string{"nope"}},
		"unknown column":       {set("query", "SELECT _block_num, nope FROM eth_rpc.logs"), []string{"No field named nope"}},
		"no block column":      {set("query", "SELECT address FROM eth_rpc.logs"), []string{"block column", "_block_num", "address"}},
		"LIMIT":                {set("query", "SELECT * FROM eth_rpc.logs LIMIT 10"), []string{"LIMIT"}},
		"OFFSET":               {set("query", "SELECT * FROM eth_rpc.logs OFFSET 10"), []string{"OFFSET"}},
		"aggregate":            {set("query", "SELECT address, max(block_num) AS block_num FROM eth_rpc.logs GROUP BY address"), []string{"GROUP BY"}},
		"two SETTINGS":         {set("query", "SELECT * FROM eth_rpc.logs SETTINGS stream = true SETTINGS stream = true"), []string{"SETTINGS"}},
		"hex text": {set("query", "SELECT * FROM eth_rpc.logs WHERE address = '0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed'"),
			[]string{"address", "x'5aaeb6053f3e94c9b9a09f33669435e7ef1beaed'"}},
		"range below the data":    {set("range", "{ min_block: 0, max_block: 110 }"), []string{"min_block", "100"}},
		"key column missing":      {set("options", ", mode: upsert, key: [nope]"), []string{"nope"}},
		"type for missing column": {set("options", ", types: { nope: bigint }"), []string{"nope"}},
	} {
		t.Run(name, func(t *testing.T) {
			file := e.file("pipeline.yaml", config(c.edit))
			code, out := e.run("ampipe", "run", "-c", file)
			if code != 2 {
				t.Errorf("exit code %d, want 2", code)
			}
			for _, want := range c.want {
				if !strings.Contains(out, want) {
					t.Errorf("the message does not say %q:\n%s", want, out)
				}
			}
			if n := e.number("SELECT count(*) FROM pg_tables WHERE schemaname = '" + e.schema + "'"); n != 0 {
				t.Errorf("%d tables were made", n)
			}
		})
	}
}
