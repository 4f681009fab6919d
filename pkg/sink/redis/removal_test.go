package redis_test

import (
	"testing"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/redis"
)

// A removal of live blocks moves the live start and leaves the sequence of the lane. If it
// is committed between the reading and the writing of another call, or the other way round,
// the result is that of one call after the other. So it is if the other call does not read what
// is committed, since it remembers.
func TestRemovalsBesideTheLiveLane(t *testing.T) {
	t.Parallel()
	for place, of := range map[string]struct {
		server   func(testing.TB) *server
		remember bool
	}{"server": {newServer, false}, "server, remembered": {newServer, true}, "cluster": {newCluster, false}} {
		t.Run(place, func(t *testing.T) {
			t.Parallel()
			c, server := newLaneAndRemovals(t, of.remember), of.server
			for name, other := range c.others {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					t.Run("is on its way", func(t *testing.T) { c.try(t, server, other, c.removal) })
					t.Run("comes meanwhile", func(t *testing.T) { c.try(t, server, c.removal, other) })
				})
			}
		})
	}
}

// laneAndRemovals is a sink with history and a live lane, a removal of live blocks, and
// what may come beside it.
type laneAndRemovals struct {
	before  []sink.Change
	removal sink.Change
	others  map[string]sink.Change
}

// newLaneAndRemovals has a lane that ends with a watermark or, for a writer to remember it, with
// an entry that has the rows, too.
func newLaneAndRemovals(t testing.TB, remember bool) *laneAndRemovals {
	rows := func(r block.Range) sink.Change {
		var all []balance
		for n := r.Start; n < r.End; n++ {
			all = append(all, balance{1, n, int64(n)})
		}
		return entryOf(t, r, all...)
	}
	watermark := func(n block.Number) sink.Change {
		return sink.Change{Header: entry.Header{Kind: entry.Watermark, Network: "n", Range: block.Closed(n, n), Hash: block.Hash{byte(n)}}}
	}
	l := &live{seq: 7}
	before := []sink.Change{rows(blocks(0, 10)), l.next(rows(blocks(10, 12))), l.next(watermark(11))}
	if remember {
		closing := rows(blocks(11, 12))
		closing.Complete, closing.Network, closing.Hash = true, "n", block.Hash{11}
		l = &live{seq: 7}
		before = []sink.Change{rows(blocks(0, 10)), l.next(rows(blocks(10, 11))), l.next(closing)}
	}
	at := *l
	next := func(c sink.Change) sink.Change { // each of them is the next one
		l := at
		return l.next(c)
	}
	part := rows(blocks(12, 13))
	part.Part, part.Parts, part.Batch = 0, 2, "b"
	epoch := rows(blocks(12, 13))
	epoch.Live, epoch.Epoch, epoch.Seq, epoch.Prev = true, 2, 1, block.Hash{11}
	cursor := func(n block.Number) block.Cursor {
		return block.Cursor{Network: "n", Number: n, Hash: block.Hash{byte(n)}}
	}
	from := sink.LiveState{Started: true, Epoch: 1, Seq: at.seq, Start: 10, Cursor: cursor(11)}
	to := sink.LiveState{Started: true, Epoch: 1, Seq: at.seq + 9, Start: 20, Cursor: cursor(19)}
	return &laneAndRemovals{before, sink.Removal(blocks(5, 11)), map[string]sink.Change{
		"an entry":             next(rows(blocks(12, 13))),
		"a part":               next(part),
		"a watermark":          next(watermark(11)),
		"a reorg":              l.undo(11, 11),
		"an epoch":             epoch,
		"a rejoining":          sink.Rejoin(sink.RejoinRequest{From: from, Keep: 12, To: to}),
		"a larger removal":     sink.Removal(blocks(8, 12)),
		"a removal below":      sink.Removal(blocks(2, 6)),
		"a removal of history": sink.Removal(blocks(0, 10)),
	}}
}

// try holds up a call after each of its commands until another one is answered.
func (c *laneAndRemovals) try(t *testing.T, server func(testing.TB) *server, during, meanwhile sink.Change) {
	orders := []sink.State{c.inOrder(t, during, meanwhile), c.inOrder(t, meanwhile, during)}
	for n, held := 0, true; held; n++ {
		s := server(t)
		cfg := s.config(config.List, "{table}:{address}")
		first, second := open(t, cfg, balanceTable(s)), open(t, cfg, balanceTable(s))
		for _, change := range c.before {
			apply(t, first, change)
		}
		i := asleepAfter(n)
		if err := redis.Hook(first, i); err != nil {
			t.Fatal(err)
		}
		done := applying(first, during)
		select {
		case err := <-done:
			held = false
			if err != nil {
				t.Fatal(err)
			}
		case <-i.asleep:
		}
		apply(t, second, meanwhile)
		close(i.awake)
		if held {
			if err := <-done; err != nil {
				t.Fatalf("held up after %d commands: %v", n, err)
			}
		}
		got, err := second.State(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !sameState(got, orders[0]) && !sameState(got, orders[1]) {
			t.Errorf("held up after %d commands it is %+v, want %+v or %+v", n, got, orders[0], orders[1])
		}
		covered := 0
		for _, r := range got.Coverage.Ranges() {
			covered += int(r.Len())
		}
		if rows := len(s.list(1)); rows != covered && during.Parts+meanwhile.Parts == 0 {
			t.Errorf("held up after %d commands there are %d rows of %d blocks", n, rows, covered)
		}
	}
}

// inOrder returns what is committed when one change comes after the other.
func (c *laneAndRemovals) inOrder(t *testing.T, changes ...sink.Change) sink.State {
	t.Helper()
	var l sink.CommitState
	for _, change := range append(c.before[:len(c.before):len(c.before)], changes...) {
		if _, err := l.Take(change, 1); err != nil {
			t.Fatal(err)
		}
	}
	return l.State
}

func sameState(a, b sink.State) bool { return a.Coverage.Equal(b.Coverage) && a.Live == b.Live }
