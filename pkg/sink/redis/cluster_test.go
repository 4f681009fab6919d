package redis_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	driver "github.com/redis/go-redis/v9"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/redis"
	"github.com/ampipe/ampipe/pkg/sink/sinktest"
)

// Rows are on all nodes, each slot has its state, and that of a slot which is
// written now and then does not grow with the number of entries.
func TestKeysSpreadInACluster(t *testing.T) {
	t.Parallel()
	s := newCluster(t)
	w := open(t, s.config(config.Hash, "{table}:{address}:{balance}"), balanceTable(s))
	var entries []sink.Change
	for n := block.Number(0); n < 400; n += 2 {
		entries = append(entries, entryOf(t, blocks(n, n+2), balance{1, n, int64(n)}, balance{2, n, int64(n)}, balance{3, n + 1, int64(n % 4)}, balance{4, n + 1, int64(n)}))
	}
	rand.Shuffle(len(entries), func(i, j int) { entries[i], entries[j] = entries[j], entries[i] })
	for _, e := range entries {
		apply(t, w, e)
	}
	states, coverages := make(map[string]bool), 0
	err := s.nodes(func(node *driver.Client) error {
		rows, err := keysOf(node, s.name+":*")
		if err != nil {
			return err
		}
		if len(rows) < 100 {
			t.Errorf("%v holds %d of about 600 rows", node, len(rows))
		}
		keys, err := keysOf(node, "ampipe:"+s.name+":s:*:coverage")
		for _, key := range keys {
			states[key] = true
			coverages = max(coverages, int(node.ZCard(t.Context(), key).Val()))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(states) < 400 {
		t.Errorf("rows are in %d slots", len(states))
	}
	state, err := w.State(t.Context())
	if err != nil || !state.Coverage.Equal(block.NewSet(blocks(0, 400))) {
		t.Errorf("the state is %+v, %v", state, err)
	}
	// All entries with blocks of this key came in no order; the last one joins them.
	last := entryOf(t, blocks(400, 402), balance{3, 401, 0})
	apply(t, w, last)
	busy := s.ZRange(t.Context(), "ampipe:"+s.name+":s:{"+redis.TagOf(w, s.name+":0xab03:0")+"}:coverage", 0, -1).Val()
	if len(busy) != 1 {
		t.Errorf("a slot notes %d ranges of blocks, and home has one: %v", len(busy), busy)
	}
	t.Logf("%d slots, up to %d ranges in one of them", len(states), coverages)
	source, stored := w.DigestSource(), sink.Digests{}
	for _, e := range append(entries, last) {
		if err := source.Add(e.Records[0]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.DigestStored(t.Context(), blocks(0, 402), stored); err != nil {
		t.Fatal(err)
	}
	if want := source.Digests(); len(want) == 0 || len(want) != len(stored) {
		t.Errorf("%d blocks are stored, of %d in the source", len(stored), len(want))
	}
}

// A slot that is on its way to another node takes nothing, rather than a part, and
// is waited for.
func TestASlotMoves(t *testing.T) {
	t.Parallel()
	s, members := privateCluster(t, 0)
	address, slot := slotIn(t, s, 1, 1)
	other, _ := slotIn(t, s, 2, 1)
	fresh, freshSlot := slotIn(t, s, 1, address+1) // has nothing yet when it moves
	w := open(t, s.config(config.Hash, "{table}:{address}"), balanceTable(s))
	old := entryOf(t, blocks(0, 10), balance{address, 1, 1}, balance{other, 2, 2})
	apply(t, w, old)
	from, to := members[1], members[2]
	wants := func(e sink.Change) {
		t.Helper()
		if _, err := w.Apply(t.Context(), []sink.Change{e}); fault.Of(err) != fault.ClassLater || !strings.Contains(err.Error(), "moving keys") {
			t.Fatalf("rows of a slot on its way are answered with %v", err)
		}
	}
	for _, moving := range []int64{slot, freshSlot} {
		to.must(t, "CLUSTER", "SETSLOT", moving, "IMPORTING", from.id)
		from.must(t, "CLUSTER", "SETSLOT", moving, "MIGRATING", to.id)
	}
	next := entryOf(t, blocks(10, 12), balance{address, 10, 3}, balance{other, 11, 4}, balance{fresh, 11, 5})
	wants(next)
	if got := s.HGet(t.Context(), fmt.Sprintf("%s:0xab%02x", s.name, address), "balance").Val(); got != "1" {
		t.Errorf("the row is %s", got)
	}
	keys := from.Do(t.Context(), "CLUSTER", "GETKEYSINSLOT", slot, 100).Val().([]any)
	if len(keys) < 4 {
		t.Fatalf("the slot has the keys %v", keys)
	}
	_, port, _ := net.SplitHostPort(to.addr)
	from.must(t, append([]any{"MIGRATE", "127.0.0.1", port, "", 0, 5000, "KEYS"}, keys[:2]...)...)
	wants(next)
	l := &live{seq: 3}
	undo := l.undo(10, 11) // of what may be in the slots by now; it is finished later
	wants(undo)
	from.must(t, append([]any{"MIGRATE", "127.0.0.1", port, "", 0, 5000, "KEYS"}, keys[2:]...)...)
	for _, moving := range []int64{slot, freshSlot} {
		to.must(t, "CLUSTER", "SETSLOT", moving, "NODE", to.id)
		from.must(t, "CLUSTER", "SETSLOT", moving, "NODE", to.id)
	}
	apply(t, w, undo, next) // which the live lane has now
	sinktest.WantSameDigests(t, w, old.Records...)
	next = l.next(next)
	apply(t, w, next)
	sinktest.WantSameDigests(t, w, old.Records[0], next.Records[0])
}

// A node that has forgotten what it was sent is noticed, and so is what an earlier
// life has left.
func TestANodeForgets(t *testing.T) {
	t.Parallel()
	s, members := privateCluster(t, 0)
	for _, m := range members {
		m.must(t, "ACL", "SETUSER", "loader", "on", ">secret", "+@read", "+@write", "+@scripting", "+info", "+command", "+cluster|slots",
			"~"+s.name+":*", "~ampipe:{"+s.name+"}:*", "~ampipe:"+s.name+":*")
	}
	cfg := s.config(config.Stream, "{table}:{address}")
	cfg.URL = config.Secret(strings.Replace(s.url, "redis://", "redis://loader:secret@", 1)) // the rights of docs/redis.md
	w := open(t, cfg, balanceTable(s))
	home := int(s.ClusterKeySlot(t.Context(), "{"+s.name+"}").Val()) * 3 / 16384
	first, _ := slotIn(t, s, (home+1)%3, 1)
	second, _ := slotIn(t, s, (home+2)%3, 1)
	c := entryOf(t, blocks(0, 10), balance{first, 1, 5}, balance{second, 2, 6})
	apply(t, w, c)
	sinktest.WantSameDigests(t, w, c.Records...)
	if err := s.nodes(func(n *driver.Client) error { return n.ScriptFlush(t.Context()).Err() }); err != nil {
		t.Fatal(err)
	}
	apply(t, w, entryOf(t, blocks(10, 20), balance{first, 11, 5}, balance{second, 12, 6})) // the scripts are loaded again

	members[(home+1)%3].must(t, "FLUSHALL")
	apply(t, w, entryOf(t, blocks(20, 30), balance{second, 21, 5}))
	if _, err := w.Apply(t.Context(), []sink.Change{entryOf(t, blocks(30, 40), balance{first, 31, 5})}); fault.Of(err) != fault.ClassPermanent || !strings.Contains(err.Error(), "a node of the cluster has lost") {
		t.Errorf("rows for a node that was flushed are answered with %v", err)
	}
	l := &live{seq: 3}
	if _, err := w.Apply(t.Context(), []sink.Change{l.undo(25, 29)}); fault.Of(err) != fault.ClassPermanent || !strings.Contains(err.Error(), "a node of the cluster has lost") {
		t.Errorf("a reorg over a node that was flushed is answered with %v", err)
	}

	members[home].must(t, "FLUSHALL")
	if _, err := w.Apply(t.Context(), []sink.Change{c}); fault.Of(err) != fault.ClassPermanent || !strings.Contains(err.Error(), "start this sink again") {
		t.Errorf("without its own state it answers %v", err)
	}
	again := open(t, cfg, balanceTable(s))
	if _, err := again.Apply(t.Context(), []sink.Change{c}); fault.Of(err) != fault.ClassPermanent || !strings.Contains(err.Error(), "earlier life") {
		t.Errorf("rows beside those of an earlier life are answered with %v", err)
	}
}

// A master dies, and its replica takes over.
func TestAMasterDies(t *testing.T) {
	t.Parallel()
	s, members := privateCluster(t, 1)
	address, _ := slotIn(t, s, 0, 1)
	other, _ := slotIn(t, s, 1, 1)
	w := open(t, s.config(config.List, "{table}:{address}"), balanceTable(s))
	l := &live{seq: 3}
	var all []sink.Change
	next := func(n block.Number) sink.Change {
		e := l.next(entryOf(t, blocks(n, n+1), balance{address, n, int64(n)}, balance{other, n, int64(n)}))
		all = append(all, e)
		return e
	}
	insist := func(c sink.Change) {
		t.Helper()
		err := fault.Retry(t.Context(), soon, func(ctx context.Context) error {
			_, err := w.Apply(ctx, []sink.Change{c})
			return err
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
	}
	for n := block.Number(0); n < 20; n++ {
		insist(next(n))
	}
	replica := members[3]
	if err := fault.Retry(t.Context(), soon, func(ctx context.Context) error {
		info := replica.InfoMap(ctx, "replication").Val()["Replication"]
		master := members[0].InfoMap(ctx, "replication").Val()["Replication"]
		if info["master_link_status"] != "up" || info["slave_repl_offset"] != master["master_repl_offset"] {
			return errors.New("the replica is behind")
		}
		return nil
	}, nil); err != nil {
		t.Fatal(err)
	}
	members[0].stop()
	killed := time.Now()
	for n := block.Number(20); n < 40; n++ {
		insist(next(n))
	}
	if took := time.Since(killed); took > 30*time.Second {
		t.Errorf("it went on after %v", took)
	}
	insist(l.undo(30, 39))
	if n := replica.LLen(t.Context(), fmt.Sprintf("%s:0xab%02x", s.name, address)).Val(); n != 30 {
		t.Errorf("%d elements, want 30", n)
	}
	s.UniversalClient.(*driver.ClusterClient).ReloadState(t.Context()) // for the end of the test
	wantDigests(t, w, all[:30])
}

// An entry that was not finished leaves nothing to the epoch that begins after it.
func TestALaterEpochInACluster(t *testing.T) {
	t.Parallel()
	for n, interrupted := 0, true; interrupted; n++ {
		s := newCluster(t)
		cfg, table := s.config(config.Stream, "{table}:{address}"), balanceTable(s)
		first := redis.New(cfg)
		if err := first.Open(t.Context(), table); err != nil {
			t.Fatal(err)
		}
		l := &live{seq: 3}
		begin := l.next(entryOf(t, blocks(10, 12), balance{1, 10, 1}, balance{2, 11, 1}))
		apply(t, first, begin, l.next(sink.Change{Header: entry.Header{Kind: entry.Watermark, Network: "n", Range: block.Closed(11, 11), Hash: block.Hash{11}}}))
		if err := redis.Hook(first, crashAfter(n)); err != nil {
			t.Fatal(err)
		}
		_, err := first.Apply(t.Context(), []sink.Change{l.next(entryOf(t, blocks(12, 14), balance{1, 12, 2}, balance{3, 13, 2}, balance{4, 13, 2}))})
		interrupted = err != nil
		if err := first.Close(); err != nil {
			t.Fatal(err)
		}
		if !interrupted {
			break
		}
		w := open(t, cfg, table)
		later := entryOf(t, blocks(12, 14), balance{1, 13, 3}, balance{2, 13, 3})
		later.Live, later.Epoch, later.Seq = true, 2, 9
		apply(t, w, later)
		sinktest.WantSameDigests(t, w, begin.Records[0], later.Records[0])
		for a, want := range map[byte]int64{1: 2, 2: 2, 3: 0, 4: 0} {
			if got := s.XLen(t.Context(), s.name+":0xab0"+strconv.Itoa(int(a))).Val(); got != want {
				t.Fatalf("after %d commands: %d entries of %d, want %d", n, got, a, want)
			}
		}
	}
}
