package redis_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/sink/sinktest"
)

// TestLatch: rows that go past the script are there exactly when the script has
// done its part.
func TestLatch(t *testing.T) {
	s := newServer(t)
	ctx := t.Context()
	w := open(t, s.config(config.String, "{table}:{block_num}:{address}"), balanceTable(s))
	latch := "ampipe:{" + s.name + "}:s:latch"
	shut := func(when string) {
		t.Helper()
		if got, err := s.Get(ctx, latch).Result(); got != "" || err != nil {
			t.Errorf("%s the latch is %q, %v", when, got, err)
		}
	}
	shut("opened,")

	// A server that has forgotten the script writes nothing; then it is told again.
	if err := s.ScriptFlush(ctx).Err(); err != nil {
		t.Fatal(err)
	}
	first := entryOf(t, blocks(0, 10), balance{1, 1, 5}, balance{2, 2, 6})
	if got := apply(t, w, first); got.Rows != 2 {
		t.Errorf("%+v, want two rows", got)
	}
	shut("after the first rows")

	// A key that somebody else has set is replaced, and keeps none of its slice out.
	if err := s.Set(ctx, s.name+":12:0xab02", "somebody else's", 0).Err(); err != nil {
		t.Fatal(err)
	}
	second := entryOf(t, blocks(10, 20), balance{1, 11, 5}, balance{2, 12, 6}, balance{3, 13, 7})
	if got := apply(t, w, second); got.Rows != 3 {
		t.Errorf("%+v, want three rows", got)
	}
	shut("after a key that was there")
	sinktest.WantSameDigests(t, w, append(first.Records, second.Records...)...)

	if state, err := w.State(ctx); err != nil || !state.Coverage.Covers(block.Range{End: 20}) {
		t.Errorf("the state is %+v, %v", state, err)
	}
}

// TestTheOtherBlockColumnIsWarnedAbout: a key with block_num, where the rows' block
// is _block_num, is one that blocks can share.
func TestTheOtherBlockColumnIsWarnedAbout(t *testing.T) {
	s := newServer(t)
	for key, warned := range map[string]bool{"{table}:{block_num}:{log_index}": true, "{table}:{_block_num}:{log_index}": false, "{table}:{address}": false} {
		table := sinktest.LogTable
		table.Pipeline, table.Sink = s.name, strconv.Itoa(len(key))
		w := open(t, s.config(config.Hash, key), table)
		got := w.Warnings(table)
		if said := len(got) == 1 && strings.Contains(got[0], "write {_block_num} in its place"); said != warned {
			t.Errorf("key %s: %q", key, got)
		}
	}
}
