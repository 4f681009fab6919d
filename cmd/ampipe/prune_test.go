package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/ampipe/ampipe/pkg/ops"
	"github.com/ampipe/ampipe/pkg/pipeline"
	"github.com/ampipe/ampipe/pkg/status"
)

// divided is a table with partitions and indexes, beside a lake of the same rows.
const divided = `
pipeline: blocks
source: { amp: $AMP, query: SELECT * FROM eth.blocks }
range: { partition_size: 500, reorg_buffer: 5 }
nats: { embedded: ./nats }
sinks:
  - { name: pg, postgres: { dsn: "$URL", table: blocks, partition_by: { column: _block_num, blocks: 1_000 }, indexes: [[hash], [timestamp, block_num]] } }
  - { name: lake, delta: { path: ./lake, max_commit_delay: 500ms } }
`

// TestPrune loads a divided table, whose indexes are built when its history is there, and
// drops old blocks of it: nobody misses them, also after a restart that knows nothing but the
// table.
func TestPrune(t *testing.T) {
	t.Parallel()
	s := &site{T: t, dir: t.TempDir(), amp: ampServer(t, "--blocks", "3300", "--live", "--block-time", "500ms"), vars: map[string]string{}}
	pg := newWarehouse(s)
	s.configure(divided)
	run := s.start("run")
	live := func(o status.Overview) bool {
		return o.Level == status.Healthy && strings.HasPrefix(o.Sentence, "live; ") && o.Pipelines[0].Sinks[0].Indexing == nil
	}
	s.overview("live, with indexes", live)
	if n := pg.numbers("SELECT count(*) FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_class x ON x.oid = i.indexrelid WHERE i.indisvalid AND c.relname LIKE 'blocks%' AND x.relname LIKE '%idx'"); n[0] < 2*5 {
		t.Errorf("the table and its partitions have %d indexes", n[0])
	}
	prune := func(exit int, says string, args ...string) string {
		t.Helper()
		code, out, complaints := ampipe(t, s.dir, append([]string{"prune"}, args...)...)
		if code != exit || !strings.Contains(out+complaints, says) {
			t.Fatalf("prune %q: exit code %d, want %d and %s\n%s%s", args, code, exit, says, out, complaints)
		}
		return out
	}
	prune(ops.ExitConfig, "name a sink and the first block that stays", "pg")
	prune(ops.ExitConfig, `has no sink "cellar"`, "cellar", "--before", "1k")
	prune(ops.ExitConfig, "only tables of PostgreSQL can be pruned", "lake", "--before", "1k")
	prune(ops.ExitConfig, "or may still be replaced by a reorg: prune those below", "pg", "--before", "1B")
	var dry pipeline.PrunedSink
	if err := json.Unmarshal([]byte(prune(ops.ExitDone, "", "blocks", "pg", "--before", "2.5k", "--dry-run", "--json")), &dry); err != nil {
		t.Fatal(err)
	}
	if !dry.DryRun || dry.Before != 2500 || dry.Rows != 500 || dry.Bytes == 0 || !slices.Equal(dry.Partitions, []string{"public.blocks_p0", "public.blocks_p1000"}) {
		t.Errorf("a dry run: %+v", dry)
	}
	if n := pg.numbers("SELECT min(block_num) FROM blocks"); n[0] != 0 {
		t.Errorf("the first block is %d after a dry run", n[0])
	}
	prune(ops.ExitDone, "what sink pg has of blocks below 2500 is pruned: 2 partitions dropped", "pg", "--before", "2_500")

	pruned := func() {
		t.Helper()
		if n := pg.numbers("SELECT min(block_num) FROM blocks"); n[0] != 2500 {
			t.Errorf("the first block is %d", n[0])
		}
		v := s.compared(ops.ExitDone)["pg"]
		if v.Result != "equal" || !slices.Contains(v.Notes, "blocks below 2500 were pruned, and are not compared") {
			t.Errorf("verify: %+v", v)
		}
	}
	s.overview("pruned", func(o status.Overview) bool { return live(o) && o.Pipelines[0].Sinks[0].Pruned == 2500 })
	pruned()
	code, out, _ := ampipe(t, s.dir, "replay", "pg", "1k:2k")
	if code != ops.ExitDone || !strings.Contains(out, "holds none of these blocks (those below block 2500 were pruned)") {
		t.Errorf("a replay: exit code %d\n%s", code, out)
	}
	code, out, _ = ampipe(t, s.dir, "replay", "pg", "2k:2600")
	if code != ops.ExitDone || !strings.Contains(out, "100 blocks of sink pg are removed and loaded again") {
		t.Errorf("a replay: exit code %d\n%s", code, out)
	}
	s.overview("live again", func(o status.Overview) bool { return live(o) && o.Pipelines[0].Sinks[0].Replay == nil })
	pruned()

	_ = run.Process.Signal(syscall.SIGTERM)
	_ = run.Wait() // it says that it was interrupted
	if err := os.RemoveAll(filepath.Join(s.dir, "nats")); err != nil {
		t.Fatal(err)
	}
	s.start("run")
	s.overview("live with a new plan", live)
	pruned()
}
