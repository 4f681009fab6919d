package redis_test

import (
	"strings"
	"testing"
	"time"

	"github.com/ampipe/ampipe/pkg/config"
)

// A row with a time to live is one command, as RESTORE sets it, and each block that writes
// it again renews it: whether the key belongs to one block or is shared by several.
func TestHashesComeWithTheirTimeToLive(t *testing.T) {
	t.Parallel()
	for name, key := range map[string]string{"of one block": "{table}:{block_num}:{address}", "shared": "{table}:{address}"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, s := t.Context(), serverAt(t, private(t))
			cfg := s.config(config.Hash, key)
			cfg.TTL = time.Hour
			w := open(t, cfg, balanceTable(s))
			apply(t, w, entryOf(t, blocks(0, 2), balance{1, 1, 5}, balance{2, 1, 6}))
			shown := strings.NewReplacer("{table}", s.name, "{block_num}", "1", "{address}", "0xab01").Replace(key)
			lives := func(when string) {
				t.Helper()
				if ttl := s.TTL(ctx, shown).Val(); ttl < 50*time.Minute || ttl > time.Hour {
					t.Errorf("%s, %s lives for %v", when, shown, ttl)
				}
			}
			lives("written")
			s.Persist(ctx, shown)
			if name == "shared" {
				apply(t, w, entryOf(t, blocks(2, 3), balance{1, 2, 7}))
			} else { // a row that something else has left there
				s.HSet(ctx, s.name+":3:0xab01", "balance", 1)
				shown = s.name + ":3:0xab01"
				apply(t, w, entryOf(t, blocks(3, 4), balance{1, 3, 7}))
			}
			lives("replaced")
			if stats := s.Info(ctx, "commandstats").Val(); strings.Contains(stats, "cmdstat_pexpire:") {
				t.Errorf("it took commands of its own: %s", stats)
			}
		})
	}
}
