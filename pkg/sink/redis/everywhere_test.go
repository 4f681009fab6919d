package redis_test

import (
	"fmt"
	"strings"
	"testing"

	driver "github.com/redis/go-redis/v9"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/redis"
	"github.com/ampipe/ampipe/pkg/sink/sinktest"
)

// everywhere runs a test on a single server and in a Cluster.
func everywhere(t *testing.T, test func(*testing.T, *server)) {
	for place, server := range map[string]func(testing.TB) *server{"server": newServer, "cluster": newCluster} {
		t.Run(place, func(t *testing.T) {
			t.Parallel()
			test(t, server(t))
		})
	}
}

// The index is dropped below the floor, that of a slot of a Cluster below the floor that
// the coordinator has, and not before: a reorg is exact in all slots, or refused.
func TestFinalityBoundsTheIndex(t *testing.T) { everywhere(t, finalityBoundsTheIndex) }

func finalityBoundsTheIndex(t *testing.T, s *server) {
	cfg := s.config(config.Hash, "{table}:{address}")
	cfg.Finality = 10
	w := open(t, cfg, balanceTable(s))
	l := &live{seq: 3}
	for n := block.Number(100); n < 200; n++ {
		apply(t, w, l.next(entryOf(t, blocks(n, n+1), balance{1, n, int64(n)}, balance{byte(2 + n%5), n, int64(n)})))
	}
	state, most := "ampipe:{"+s.name+"}:s:", int64(13+5*3) // and those of five keys that every fifth block writes
	if cfg.Cluster {
		state, most = "ampipe:"+s.name+":s:{"+redis.TagOf(w, s.name+":0xab01")+"}:", 13
	}
	for name, n := range map[string]int64{"index": s.ZCard(t.Context(), state+"index").Val(), "replaced": s.HLen(t.Context(), state+"replaced").Val()} {
		if n < 10 || n > most || name == "index" && n > 13 {
			t.Errorf("%s holds %d blocks, want those of the last ten", name, n)
		}
	}
	apply(t, w, l.undo(192, 199))
	balanceOf := func(address int) string {
		return s.HGet(t.Context(), fmt.Sprintf("%s:0xab%02x", s.name, address), "balance").Val()
	}
	if got := balanceOf(1) + " " + balanceOf(4); got != "191 187" {
		t.Errorf("the rows of blocks %s are shown, want 191 187", got)
	}
	if _, err := w.Apply(t.Context(), []sink.Change{l.undo(150, 191)}); fault.Of(err) != fault.ClassPermanent || !strings.Contains(err.Error(), "finality: 10") {
		t.Errorf("a reorg below the index is answered with %v", err)
	}
	l.seq--
	if got := balanceOf(1) + " " + balanceOf(4); got != "191 187" {
		t.Errorf("the refused reorg left the rows of blocks %s", got)
	}
	apply(t, w, l.next(entryOf(t, blocks(192, 193), balance{1, 192, 5}))) // it continues
	if err := w.DigestStored(t.Context(), blocks(0, 300), sink.Digests{}); fault.Of(err) != fault.ClassPermanent {
		t.Errorf("verifying blocks without an index is answered with %v", err)
	}
}

// A key of somebody else's stops the sink and stays; when it is removed, the rest
// follows.
func TestForeignKeysAreRefused(t *testing.T) { everywhere(t, foreignKeysAreRefused) }

func foreignKeysAreRefused(t *testing.T, s *server) {
	w := open(t, s.config(config.Hash, "{table}:{address}"), balanceTable(s))
	s.LPush(t.Context(), s.name+":0xab02", "theirs")
	c := entryOf(t, blocks(0, 10), balance{1, 1, 5}, balance{2, 2, 6}, balance{3, 3, 6})
	_, err := w.Apply(t.Context(), []sink.Change{c})
	if fault.Of(err) != fault.ClassPermanent || !strings.Contains(err.Error(), "something else") {
		t.Errorf("answered with %v", err)
	}
	if state, err := w.State(t.Context()); err != nil || state.Coverage.Len() != 0 {
		t.Errorf("the state is %+v, %v", state, err)
	}
	s.Del(t.Context(), s.name+":0xab02")
	want := sink.Applied{Rows: 3} // a single server writes all, or nothing
	if _, clustered := s.UniversalClient.(*driver.ClusterClient); clustered {
		want = sink.Applied{Rows: 1, Skipped: 2}
	}
	if got := apply(t, w, c); got != want {
		t.Errorf("the repeat wrote %+v, want %+v", got, want)
	}
	sinktest.WantSameDigests(t, w, c.Records...)
}
