package sqlengine_test

import (
	"fmt"
	"strings"
	"testing"
)

// TestTypes holds the types and nullability of results against those of a real
// server (AP 5; DataFusion for expressions).
func TestTypes(t *testing.T) {
	tests := map[string]string{
		"SELECT hash, miner, difficulty, total_difficulty, timestamp, logs_bloom FROM ds.blocks WHERE nonce % 2 = 0": "hash fixed_size_binary[32]; " +
			"miner fixed_size_binary[20]; difficulty decimal(38, 0); total_difficulty decimal(38, 0)?; timestamp timestamp[ns, tz=+00:00]; logs_bloom binary",
		"SELECT b.hash AS h, l.log_index, l.topic0 FROM ds.blocks b LEFT JOIN ds.logs l ON b.hash = l.block_hash": "h fixed_size_binary[32]; " +
			"log_index uint32?; topic0 fixed_size_binary[32]?",
		"SELECT b.hash, l.log_index FROM ds.logs l RIGHT JOIN ds.blocks b USING (block_num)": "hash fixed_size_binary[32]; log_index uint32?",
		"SELECT access_list, blob_versioned_hashes FROM ds.transactions ORDER BY nonce": "access_list list<item: struct<address: fixed_size_binary[20], " +
			"storage_keys: list<item: fixed_size_binary[32]>>>?; blob_versioned_hashes list<item: fixed_size_binary[32]>?",
		"SELECT 1 AS a, 'x' AS b, x'00' AS c, 1.5 AS d, count(*) FROM ds.logs":                                   "a int64; b utf8; c binary; d float64; count(*) int64",
		"SELECT max(hash) AS h, min(_block_num) AS n, sum(gas_used) AS g FROM ds.blocks":                         "h fixed_size_binary[32]?; n uint64?; g uint64?",
		"SELECT _block_num, count(*) AS c FROM ds.logs GROUP BY _block_num":                                      "_block_num uint64; c int64",
		"SELECT q.h FROM (SELECT hash AS h FROM ds.blocks ORDER BY hash LIMIT 3) AS q":                           "h fixed_size_binary[32]",
		"WITH w AS (SELECT hash AS h, nonce FROM ds.blocks) SELECT w.h, nonce FROM w":                            "h fixed_size_binary[32]; nonce uint64",
		"SELECT hash FROM ds.blocks UNION ALL SELECT topic0 FROM ds.logs":                                        "hash fixed_size_binary[32]?",
		"SELECT log_index > 3 AS b, status FROM ds.logs, ds.transactions":                                        "b bool?; status bool",
		"SELECT CAST(value AS DECIMAL(38,0)) AS v, row_number() OVER (ORDER BY nonce) AS r FROM ds.transactions": "v decimal(38, 0)?; r uint64",
		"SELECT * EXCLUDE (logs_bloom) FROM (SELECT hash, logs_bloom, timestamp FROM ds.blocks)":                 "hash fixed_size_binary[32]?; timestamp timestamp[ns, tz=+00:00]?",
	}
	e := engine(t)
	for query, want := range tests {
		rows, schema, err := run(t, e, query)
		if err != nil {
			t.Errorf("%s: %v", query, err)
			continue
		}
		var fields []string
		for _, f := range schema.Fields() {
			text := fmt.Sprintf("%s %s", f.Name, f.Type)
			text = strings.ReplaceAll(text, ", nullable", "")
			if f.Nullable {
				text += "?"
			}
			fields = append(fields, text)
		}
		if got := strings.Join(fields, "; "); got != want {
			t.Errorf("%s:\n gives %s\n want  %s", query, got, want)
		}
		if len(rows) == 0 {
			t.Errorf("%s: no rows", query)
		}
	}
}

// TestRefusals holds texts that clients recognise (AP 6.2) where the recordings
// have no example, and those that must not depend on having recordings.
func TestRefusals(t *testing.T) {
	tests := []struct{ query, text string }{
		{"", "string cannot be empty"},
		{" \n", "string cannot be empty"},
		{"-- nothing", "found 0"},
		{"SELECT 'a", "SQL parse error | Caused by: Invalid SQL syntax -> SQL error: ParserError(\"Unterminated string literal at Line: 1, Column: 8\")"},
		{"SELECT\n \"a", "Unterminated string literal at Line: 2, Column: 2"},
		{"SELECT /* a", "Unexpected EOF while in a multi-line comment"},
		{"SELECT /* /* */ */ 1 AS a", "SQL parse error"}, // versions of a real server differ
		{"SELECT (1 AS a", "SQL parse error"},
		{"SELECT x'0'", "SQL parse error"},
		{"SELECT 1; DROP TABLE x", "found 2"},
		{"INSERT INTO ds.logs VALUES (1)", "read-only"},
		{"EXPLAIN SELECT 1", "not offered"},
		{"SELECT * FROM a.b.c", "Catalog-qualified"},
		{"SELECT * FROM \"x/ds@latest\".logs", "not found"},
		{"SELECT * FROM \"_/ds@2.0.0\".logs", "not found"},
		{"SELECT * FROM ds.nope", "table 'amp.ds.nope' not found"},
		{"SELECT * FROM logs", "table 'amp.public.logs' not found"},
		{"SELECT * FROM (SELECT hash AS _h FROM ds.blocks)", "underscore-prefixed"},
		{"WITH w AS (SELECT hash AS _h FROM ds.blocks) SELECT 1", "underscore-prefixed"},
		{"SELECT * FROM (SELECT hash FROM ds.blocks) AS q WHERE q._block_num >= 1", "No field named q._block_num. Valid fields are q.hash"},
		{"SELECT hash FROM ds.blocks ORDER BY nope", "No field named nope"},
		{"SELECT hash FROM ds.blocks b WHERE EXISTS (SELECT 1 FROM ds.logs WHERE nope = b.hash)", "No field named nope"},
		{"SELECT nofunc(hash) AS a FROM ds.blocks", "Invalid function 'nofunc'"},
		{"SELECT hash, hash FROM ds.blocks", "Projections require unique expression names"},
		{"SELECT a.hash, b.hash FROM ds.blocks a, ds.blocks b", "Duplicate field names detected in plan schema: [a.hash and b.hash]"},
		{"SELECT * FROM ds.logs WHERE address = '0xaa'", "FixedSizeBinary(20) = Utf8"},
		{"SELECT * FROM ds.logs WHERE '0xaa' <> data", "Binary = Utf8"},
		{"SELECT * FROM ds.logs WHERE topic0 IN ('0xaa', '0xbb')", "FixedSizeBinary(32) = Utf8"},
		{"SELECT * FROM (SELECT topic0 AS t FROM ds.logs) q WHERE q.t = '0xaa'", "FixedSizeBinary(32) = Utf8"},
		{"SELECT block_num() AS n FROM ds.logs", "only supported in streaming queries"},
		{"SELECT _block_num / 0 AS n FROM ds.logs", "Divide by zero"},
		{"SELECT CAST('x' AS INT) AS n", "simplify_expressions"},
		{"SELECT CAST(value AS TINYINT) AS n FROM ds.transactions", "query execution error"},
		{"SELECT * FROM read_csv('/etc/hostname')", "failed to infer SQL output schema"},
	}
	e := engine(t)
	for _, test := range tests {
		_, _, err := run(t, e, test.query)
		if err == nil {
			t.Errorf("%s: was answered", test.query)
		} else if !strings.Contains(err.Error(), test.text) {
			t.Errorf("%s: refused with %q, want %q", test.query, err, test.text)
		}
	}
}

func TestSettings(t *testing.T) {
	tests := map[string]bool{
		"SELECT 1 AS a SETTINGS stream = true":                                   true,
		"SELECT 1 AS a settings STREAM=TRUE;":                                    true,
		"SELECT 1 AS a SETTINGS other = 3, stream = true":                        true,
		"SELECT 1 AS a SETTINGS stream = false":                                  false,
		"SELECT 1 AS a SETTINGS stream = 1":                                      false,
		"SELECT 1 AS a SETTINGS stream = 'true'":                                 false,
		"SELECT 1 AS a -- SETTINGS stream = true":                                false,
		"SELECT ' SETTINGS stream = true' AS a":                                  false,
		"SELECT * FROM (SELECT 1 AS a SETTINGS stream = true)":                   false,
		"SELECT * FROM ds.logs WHERE log_index < 5 LIMIT 3 SETTINGS stream=true": true,
	}
	e := engine(t)
	for query, want := range tests {
		plan, err := e.Plan(t.Context(), query)
		if err != nil {
			t.Errorf("%s: %v", query, err)
		} else if plan.Streaming != want {
			t.Errorf("%s: streaming is %v", query, plan.Streaming)
		}
	}
}

func TestIncremental(t *testing.T) {
	tests := map[string]string{
		"SELECT * FROM ds.logs WHERE log_index < 5":                                                     "",
		"WITH w AS (SELECT hash FROM ds.blocks) SELECT * FROM w":                                        "",
		"SELECT hash FROM ds.blocks UNION ALL SELECT tx_hash FROM ds.logs":                              "",
		"SELECT l.data FROM ds.logs l JOIN ds.blocks b ON l.block_hash = b.hash":                        "",
		"SELECT block_num(), count(*) FROM ds.logs GROUP BY block_num()":                                "",
		"SELECT DISTINCT ON (block_num()) address FROM ds.logs":                                         "",
		"SELECT _block_num, count(*) FROM ds.logs GROUP BY _block_num":                                  "Aggregate",
		"SELECT max(_block_num) FROM ds.logs":                                                           "Aggregate",
		"SELECT * FROM (SELECT * FROM ds.logs ORDER BY _block_num) LIMIT 2":                             "Limit",
		"SELECT * FROM (SELECT * FROM ds.logs ORDER BY _block_num)":                                     "Sort",
		"SELECT hash FROM ds.blocks UNION SELECT tx_hash FROM ds.logs":                                  "Distinct",
		"SELECT DISTINCT address FROM ds.logs":                                                          "Distinct",
		"SELECT sum(log_index) OVER (PARTITION BY address) AS s FROM ds.logs":                           "Window",
		"SELECT l.data FROM ds.logs l FULL JOIN ds.blocks b ON l.block_hash = b.hash":                   "Join(Full)",
		"SELECT a.data FROM ds.logs a JOIN ds.logs b USING (data) JOIN ds.logs c USING (data)":          "StackedJoins",
		"WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 3) SELECT * FROM r": "RecursiveQuery",
	}
	e := engine(t)
	for query, want := range tests {
		plan, err := e.Plan(t.Context(), query)
		if err != nil {
			t.Errorf("%s: %v", query, err)
			continue
		}
		err = plan.Incremental()
		if (want == "" && err != nil) || (want != "" && (err == nil || !strings.HasSuffix(err.Error(), ": "+want))) {
			t.Errorf("%s: %v, want %q", query, err, want)
		}
	}
}
