package config_test

import (
	"strings"
	"testing"

	"github.com/ampipe/ampipe/pkg/config"
)

// TestSourceTable reads a table in place of a query.
func TestSourceTable(t *testing.T) {
	t.Parallel()
	const query = "query: SELECT a.x FROM eth.logs a JOIN \"my_ns/eth@1.0.0\".blocks b ON a._block_num = b._block_num"
	for _, c := range []struct{ keys, query, want string }{
		{keys: "table: eth_rpc.logs", query: "SELECT * FROM eth_rpc.logs"},
		{keys: "table: ' eth_rpc.logs '", query: "SELECT * FROM eth_rpc.logs"},
		{keys: "table: ${TABLE}", query: "SELECT * FROM eth_rpc.blocks"},
		{keys: `table: '"my_ns/eth@1.0.0".logs'`, query: `SELECT * FROM "my_ns/eth@1.0.0".logs`},
		{keys: `table: 'eth."from"'`, query: `SELECT * FROM eth."from"`},
		{keys: query + "\n  table: eth.logs"},
		{keys: query + "\n  table: '\"my_ns/eth@1.0.0\".blocks'"},
		{keys: query + "\n  table: eth.blocks", want: `5:3: source.table (eth.blocks) is not read by source.query; keep one of the two`},
		{keys: query + "\n  table: ${TABLE}", want: `5:3: source.table (${TABLE}) is not read by source.query; keep one of the two`},
		{keys: "table: my_ns/eth@1.0.0.logs", want: `4:3: source.table: "my_ns/eth@1.0.0.logs" is not a table; write dataset.table, with a dataset that has "/", "@" or "." in double quotes`},
		{keys: "table: SELECT 1", want: `4:3: source.table: "SELECT 1" is not a table`},
		{keys: "table: a.b; DROP", want: `4:3: source.table: "a.b; DROP" is not a table`},
		{keys: "table: [a.b]", want: `4:3: source.table must be a single value, not a list`},
		{keys: "table:", want: `2:1: source.query is missing; give the SELECT whose rows are wanted, or the table if they are all of its rows`},
	} {
		text := strings.Replace(valid, "  query: SELECT 1", "  "+c.keys, 1)
		got, err := config.Parse("f.yaml", []byte(text), env("TABLE", "eth_rpc.blocks"))
		switch {
		case c.want != "":
			checkComplaints(t, c.keys, err, c.want)
		case err != nil:
			t.Errorf("%s: %v", c.keys, err)
		case c.query != "" && got[0].Source.Query != c.query:
			t.Errorf("%s is the query %q, want %q", c.keys, got[0].Source.Query, c.query)
		}
	}
}

// TestOneCauseIsSaidOnce has values that are refused: the same key is not missing as well.
func TestOneCauseIsSaidOnce(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ line, with, want string }{
		{"  query: SELECT 1", "  query: [a]", `4:3: source.query must be a single value, not a list`},
		{"      dsn: postgres://u:hunter2@h/d", "      dsn_file: ${NOPE}", `17:7: sinks[0].postgres.dsn_file: environment variable NOPE is not set`},
		{"  - name: w", "  - name: { a: b }", `15:5: sinks[0].name must be a single value, not a group of keys`},
		{"      key: [a, b]", "      key: [[a]]", `20:13: sinks[0].postgres.key[0] must be a single value, not a list`},
		{"  workers: 2", "  give_up_after: soon", `11:3: extract.give_up_after: "soon" is not a duration; write a number and a unit, such as 90s, 72h or 7d`},
		{"  amp: grpc://h:1602", "  amp: grpc://h:1602\n  keep_alive: soon", `4:3: source.keep_alive: "soon" is not a duration`},
		{"      mode: upsert", "      mode: ${UNSET:-}", `19:7: sinks[0].postgres.mode must be append or upsert, not "${UNSET:-}"`},
		{"      table: t", "      table: t\n      on_bad_row: ${UNSET:-}", `19:7: sinks[0].postgres.on_bad_row must be stop or dead_letter, not "${UNSET:-}"`},
		{"  workers: 2", "  workers: 1.5", `11:3: extract.workers must be a whole number from 1 to 1024, not "1.5"`},
	} {
		_, err := config.Parse("f.yaml", []byte(change(t, c.line, c.with)), env())
		checkComplaints(t, c.with, err, c.want)
	}
}
