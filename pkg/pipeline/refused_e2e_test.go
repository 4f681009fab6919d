package pipeline_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// endless returns a configuration without max_block, or with one.
func (e *commandEnv) endless(name, amp, query, bound string) string {
	e.t.Helper()
	return e.file(name+".yaml", fmt.Sprintf(`pipeline: %[1]s
source:
  amp: %[2]s
  query: %[3]s
range: { min_block: 0%[4]s }
nats: { embedded: ./nats-%[1]s }
sinks:
  - name: warehouse
    postgres: { dsn: "${DATABASE_URL}", schema: %[5]s, table: %[1]s }
`, name, amp, query, bound, e.schema))
}

// TestWhatCannotBeFollowedIsRefused: what a server does not stream is refused before
// anything starts, with its reason and what to do instead; the finite range of the
// same query is loaded.
func TestWhatCannotBeFollowedIsRefused(t *testing.T) {
	t.Parallel()
	e := newCommandEnv(t)
	amp, _ := e.devserver("--chain", "eth_rpc", "--blocks", "300", "--logs-per-block", "5", "--txs", "5")
	for name, c := range map[string]struct{ query, says string }{
		"left_join": {"SELECT t._block_num, t.tx_index, l.log_index FROM eth_rpc.transactions t LEFT JOIN eth_rpc.logs l " +
			"ON t._block_num = l._block_num AND t.tx_hash = l.tx_hash", "Join(Left)"},
		"aggregate": {"SELECT _block_num, count(*) AS n FROM eth_rpc.logs GROUP BY _block_num", "Aggregate"},
		"distinct":  {"SELECT DISTINCT _block_num, address FROM eth_rpc.logs", "Distinct"},
		"order":     {"SELECT _block_num, log_index FROM eth_rpc.logs ORDER BY log_index", "Sort"},
	} {
		t.Run(name, func(t *testing.T) {
			e.refusedAndLoaded(t, name, amp, c.query, ", max_block: 300", c.says)
		})
	}
}

// TestRealRowsWithoutBlocksTableAreNotFollowed: a dataset like Solana's, which has no
// blocks table, is loaded and cannot be followed.
func TestRealRowsWithoutBlocksTableAreNotFollowed(t *testing.T) {
	t.Parallel()
	root := os.Getenv("AMPIPE_REAL_DATA")
	if root == "" {
		t.Skip("AMPIPE_REAL_DATA is not set: no real rows")
	}
	tables, err := filepath.Glob(filepath.Join(root, "*", "*", "*.parquet"))
	if err != nil || len(tables) == 0 {
		t.Fatalf("no Parquet files in AMPIPE_REAL_DATA (%v)", err)
	}
	e := newCommandEnv(t)
	table := filepath.Dir(tables[0])
	for _, path := range tables {
		if name := filepath.Dir(path); filepath.Base(name) != "blocks" {
			table = name
		}
	}
	if err := os.CopyFS(filepath.Join(e.dir, "bare", "slots"), os.DirFS(table)); err != nil {
		t.Fatal(err)
	}
	file, err := filepath.Glob(filepath.Join(table, "*.parquet"))
	if err != nil || len(file) == 0 {
		t.Fatalf("no file in %s (%v)", table, err)
	}
	rows := readParquet(t, file[0])
	defer rows.Release()
	first, last := blockRange(t, rows)
	amp, _ := e.devserver("--parquet", "bare="+filepath.Join(e.dir, "bare"))
	e.refusedAndLoaded(t, "bare", amp, "SELECT * FROM bare.slots", fmt.Sprintf(", max_block: %d", last+1), "blocks", fmt.Sprintf("min_block: %d", first))
}

// refusedAndLoaded runs a query without an end, which has to be refused in these
// words, and with one.
func (e *commandEnv) refusedAndLoaded(t *testing.T, name, amp, query, bound, says string, more ...string) {
	t.Helper()
	min := "min_block: 0"
	if len(more) > 0 {
		min = more[0]
	}
	file := e.endless(name, amp, query, "")
	replace(t, file, "min_block: 0", min)
	code, out := e.run("ampipe", "run", "-c", file)
	if code != 2 || !strings.Contains(out, says) || !strings.Contains(out, "range.max_block") {
		t.Errorf("without an end: exit code %d\n%s", code, out)
	}
	if n := e.number("SELECT count(*) FROM pg_tables WHERE schemaname = '" + e.schema + "' AND tablename = '" + name + "'"); n != 0 {
		t.Error("the table was made")
	}
	file = e.endless(name, amp, query, bound)
	replace(t, file, "min_block: 0", min)
	e.must("ampipe", "run", "-c", file)
	if out := e.must("ampipe", "verify", "-c", file); !strings.Contains(out, "are equal") {
		t.Errorf("verify prints\n%s", out)
	}
	if n := e.number(fmt.Sprintf("SELECT count(*) FROM %s.%s", e.schema, name)); n == 0 {
		t.Error("the finite range gave no row")
	}
}

func replace(t *testing.T, file, old, now string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err == nil {
		err = os.WriteFile(file, []byte(strings.Replace(string(text), old, now, 1)), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}
