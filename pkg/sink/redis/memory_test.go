package redis_test

import (
	"strings"
	"testing"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/sink/sinktest"
)

// The index is to be small beside the rows; docs/redis.md has the figures.
func TestIndexIsSmall(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	admin := connected(t, private(t))
	cfg := s.config(config.Hash, "{table}:{_block_num}:{log_index}")
	cfg.URL = config.Secret("redis://" + admin.Options().Addr)
	w := open(t, cfg, sinktest.LogTable)
	const rows = 20_000
	before := admin.InfoMap(t.Context(), "memory").Val()["Memory"]["used_memory"]
	apply(t, w, sinktest.Logs(block.Range{Start: 0, End: 100}, rows/100))
	after := admin.InfoMap(t.Context(), "memory").Val()["Memory"]["used_memory"]
	keys := admin.Keys(t.Context(), "ampipe:*index").Val()
	if len(keys) != 1 {
		t.Fatalf("the keys %q are indexes", strings.Join(keys, ", "))
	}
	index := float64(admin.MemoryUsage(t.Context(), keys[0], 0).Val()) / rows
	t.Logf("index: %.1f bytes a row; used memory went from %s to %s for %d rows", index, before, after, rows)
	if index > 80 {
		t.Errorf("the index takes %.1f bytes a row", index)
	}
}

// The rights that docs/redis.md lists are enough.
func TestRightsAreEnough(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	admin := connected(t, private(t))
	err := admin.ACLSetUser(t.Context(), "loader", "on", ">secret", "+@read", "+@write", "+@scripting", "+info", "+command",
		"~"+s.name+":*", "~ampipe:{"+s.name+"}:*").Err()
	if err != nil {
		t.Fatal(err)
	}
	cfg := s.config(config.Hash, "{table}:{address}")
	cfg.URL = config.Secret("redis://loader:secret@" + admin.Options().Addr)
	w := open(t, cfg, balanceTable(s))
	l := &live{seq: 1}
	c := entryOf(t, blocks(0, 10), balance{1, 1, 5}, balance{2, 2, 6})
	apply(t, w, c, l.next(entryOf(t, blocks(10, 12), balance{2, 11, 1})), l.undo(10, 11))
	sinktest.WantSameDigests(t, w, c.Records...)
}
