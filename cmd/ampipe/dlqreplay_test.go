package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/ampipe/ampipe/pkg/ops"
)

// refusedByAll has rows of block $BLOCK that each of three destinations refuses: PostgreSQL a
// NUL character, Redis a key without a value, Delta Lake an empty text by which it divides.
const refusedByAll = `
pipeline: logs
source:
  amp: $AMP
  query: >-
    SELECT block_num, log_index, CASE WHEN block_num = $BLOCK THEN 'a' || chr(0) ELSE 'c' END AS note,
    CASE WHEN block_num = $BLOCK THEN '' ELSE 'x' END AS part,
    CASE WHEN block_num = $BLOCK AND log_index > 1 THEN NULL ELSE log_index END AS place FROM eth.logs
range: { min_block: 0, max_block: 40, reorg_buffer: 5 }
nats: { embedded: ./nats }
sinks:
  - { name: pg, postgres: { dsn: "$WAREHOUSE", table: logs, on_bad_row: dead_letter } }
  - { name: cache, redis: { url: "$CACHE", table: log, key: [block_num, place], on_bad_row: dead_letter } }
  - { name: lake, delta: { path: ./lake, partition_by: [part], on_bad_row: dead_letter } }
`

// TestDeadLettersAreReplayed loads what three destinations refuse: while they still do, then
// once a constraint is dropped, then once the query is mended.
func TestDeadLettersAreReplayed(t *testing.T) {
	t.Parallel()
	s := &site{T: t, dir: t.TempDir(), amp: ampServer(t), vars: map[string]string{"BLOCK": "12"}}
	s.redisServer()
	s.vars["CACHE"] = s.vars["URL"]
	p := newWarehouse(s)
	s.vars["WAREHOUSE"] = s.vars["URL"]
	p.run("CREATE TABLE logs (block_num bigint, log_index bigint, note text, part text, place bigint, " +
		"CONSTRAINT odd CHECK (block_num <> 30 OR log_index % 2 = 0)); ALTER TABLE logs OWNER TO " + p.loader)
	s.configure(refusedByAll)
	command := func(exit int, says string, args ...string) string {
		t.Helper()
		code, out := s.command(2*firstMinute, "", args...)
		if code != exit || !strings.Contains(out, says) {
			t.Fatalf("ampipe %q: exit code %d, want %d and %q\n%s", args, code, exit, says, out)
		}
		return out
	}
	// letters returns the rows that are dead letters, and when each was stored.
	letters := func() (rows []string) {
		t.Helper()
		code, out, complaints := ampipe(t, s.dir, "dlq", "show", "--json")
		if code != ops.ExitDone {
			t.Fatalf("dlq show: exit code %d\n%s%s", code, out, complaints)
		}
		for line := range strings.Lines(out) {
			var l struct {
				Sink, ID string
				Block    json.Number
			}
			if err := json.Unmarshal([]byte(line), &l); err != nil {
				t.Fatalf("%v: %s", err, line)
			}
			rows = append(rows, l.Sink+" "+l.Block.String()+" "+l.ID)
		}
		slices.Sort(rows)
		return rows
	}
	command(ops.ExitDone, "", "run")
	refused := letters()
	if len(refused) != 4+2+4+2 { // of pg blocks 12 and 30, of lake and cache block 12
		t.Fatalf("dead letters are %q", refused)
	}

	// What is refused again is the same letter.
	out := command(ops.ExitDone, "2 blocks of sink pg are removed and loaded again, 2 from the log and 0 from Amp: [12, 13) [30, 31)", "dlq", "replay", "--all", "--dry-run")
	if strings.Contains(out, "the sink does it") {
		t.Errorf("a dry run asks for it\n%s", out)
	}
	command(ops.ExitConfig, "name either the blocks whose dead letters", "dlq", "replay")
	command(ops.ExitDone, "logs: no dead letters", "dlq", "replay", ":12")
	command(ops.ExitDone, "the sink does it when it is started", "dlq", "replay", "--all")
	command(ops.ExitConfig, "are being replayed already", "dlq", "replay", "--all", "--sink", "pg")
	command(ops.ExitDone, "", "run")
	if again := letters(); !slices.Equal(again, refused) {
		t.Errorf("dead letters are %q, and were %q", again, refused)
	}
	s.verified(ops.ExitDone, "pg: 6 rows of 2 blocks are dead letters")

	// A table that is mended takes them from the log.
	p.run("ALTER TABLE logs DROP CONSTRAINT odd")
	out = command(ops.ExitDone, "", "dlq", "replay", "30", "--json")
	if out != `{"pipeline":"logs","sink":"pg","rows":2,"blocks":[[30,31]],"dry_run":false}`+"\n" {
		t.Errorf("dlq replay --json prints %s", out)
	}
	command(ops.ExitDone, "", "run")
	left := slices.DeleteFunc(slices.Clone(refused), func(row string) bool { return strings.HasPrefix(row, "pg 30 ") })
	if now := letters(); !slices.Equal(now, left) {
		t.Errorf("dead letters are %q, want %q", now, left)
	}
	s.verified(ops.ExitDone, "pg: 4 rows of 1 block are dead letters")

	// A query that is mended is asked again.
	s.vars["BLOCK"] = "100"
	s.configure(refusedByAll)
	command(ops.ExitDone, "1 block of sink lake is removed and loaded again, 0 from the log and 1 from Amp: [12, 13)", "dlq", "replay", "--all", "--from-amp")
	command(ops.ExitDone, "", "run")
	if now := letters(); len(now) != 0 {
		t.Errorf("dead letters are %q", now)
	}
	command(ops.ExitDone, "logs: no dead letters", "dlq", "list")
	verified := s.verified(ops.ExitDone, "pg: 160 rows in 40 blocks", "cache: 160 rows in 40 blocks", "lake: 160 rows in 40 blocks")
	if strings.Contains(verified, "dead letters") {
		t.Errorf("verify speaks of dead letters\n%s", verified)
	}
}
