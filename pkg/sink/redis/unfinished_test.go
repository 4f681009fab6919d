package redis_test

import (
	"context"
	"fmt"
	"slices"
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

// unfinished interrupts the call of during after each of its commands, and has
// another writer go on from there.
func unfinished(t *testing.T, structure config.Structure, finality uint64, interrupt func(int) *interruption, before []sink.Change, during sink.Change,
	goOn func(*server, *redis.Writer)) {
	t.Helper()
	for n, interrupted := 0, true; interrupted; n++ {
		s := newCluster(t)
		cfg := s.config(structure, "{table}:{address}")
		cfg.Finality = finality
		first := opened(t, cfg, balanceTable(s))
		for _, c := range before {
			apply(t, first, c) // so that each has an index entry of its own
		}
		i := interrupt(n)
		if err := redis.Hook(first, i); err != nil {
			t.Fatal(err)
		}
		done := applying(first, during)
		select {
		case err := <-done:
			interrupted = err != nil
		case <-i.asleep:
		}
		w := opened(t, cfg, balanceTable(s))
		goOn(s, w)
		if i.asleep != nil {
			close(i.awake)
			if interrupted {
				if err := <-done; err != nil {
					t.Fatalf("after %d commands and a sleep: %v", n, err)
				}
				wantWhole(t, s, n)
			}
		}
		if err := first.Close(); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if t.Failed() {
			t.Fatalf("after %d commands", n)
		}
	}
}

func (s *server) list(address int) []string {
	return s.LRange(context.Background(), fmt.Sprintf("%s:0xab%02x", s.name, address), 0, -1).Val()
}

// Blocks that a slot has and the coordinator has not come again among others, and then a reorg
// cuts between them.
func TestUnfinishedBlocksAreUndone(t *testing.T) {
	t.Parallel()
	inside := entryOf(t, blocks(20, 25), balance{1, 22, 22}, balance{2, 23, 23})
	around := entryOf(t, blocks(10, 40), balance{1, 12, 12}, balance{1, 22, 22}, balance{2, 23, 23}, balance{1, 30, 30}, balance{2, 31, 31})
	unfinished(t, config.List, 0, crashAfter, nil, inside, func(s *server, w *redis.Writer) {
		apply(t, w, around)
		if one, two := len(s.list(1)), len(s.list(2)); one != 3 || two != 2 {
			t.Errorf("%d and %d rows, want 3 and 2", one, two)
		}
		apply(t, w, (&live{seq: 3}).undo(26, 39))
		kept := entryOf(t, blocks(10, 26), balance{1, 12, 12}, balance{1, 22, 22}, balance{2, 23, 23})
		sinktest.WantSameDigests(t, w, kept.Records...)
		if one, two := len(s.list(1)), len(s.list(2)); one != 2 || two != 1 {
			t.Errorf("%d and %d rows are left, want 2 and 1", one, two)
		}
	})
}

// What a call has dropped of the index is no more than the coordinator has said.
func TestUnfinishedFloorIsNotAhead(t *testing.T) {
	t.Parallel()
	l := &live{seq: 3}
	var before []sink.Change
	for n := block.Number(100); n < 120; n++ {
		before = append(before, l.next(entryOf(t, blocks(n, n+1), balance{1, n, int64(n)})))
	}
	at := *l
	during := l.next(entryOf(t, blocks(120, 130), balance{1, 129, 129}))
	unfinished(t, config.List, 10, crashAfter, before, during, func(s *server, w *redis.Writer) {
		if state, err := w.State(t.Context()); err != nil || state.Coverage.Has(129) {
			return // it was all there
		}
		undo := at
		_, err := w.Apply(t.Context(), []sink.Change{undo.undo(112, 119)})
		if err != nil && fault.Of(err) != fault.ClassPermanent {
			t.Errorf("the reorg is answered with %v", err)
		}
		got := len(s.list(1))
		if state, failed := w.State(t.Context()); failed != nil || err == nil && got != 12 || err != nil && state.Coverage.Has(120) == (got < 21) {
			t.Errorf("%d rows of %v, %v, %v", got, state.Coverage, err, failed)
		}
	})
}

// wantWhole checks that block 12 is of one reading.
func wantWhole(t *testing.T, s *server, n int) {
	t.Helper()
	var have []int
	for a := 1; a <= 7; a++ {
		if k := len(s.list(a)); k > 1 {
			t.Errorf("after %d commands there are %d rows of address %d", n, k, a)
		} else if k == 1 {
			have = append(have, a)
		}
	}
	if !slices.Equal(have, []int{1, 2, 3}) {
		t.Errorf("after %d commands the block holds the addresses %v", n, have)
	}
}

// A part of another reading comes while a whole entry is on its way: in the end all
// of the block is of the entry.
func TestPartsComeMeanwhile(t *testing.T) {
	t.Parallel()
	whole := entryOf(t, blocks(10, 16), balance{1, 12, 1}, balance{2, 12, 2}, balance{3, 12, 3})
	unfinished(t, config.List, 0, asleepAfter, nil, whole, func(s *server, w *redis.Writer) {
		part := entryOf(t, blocks(12, 13), balance{1, 12, 1}, balance{2, 12, 2}, balance{7, 12, 3})
		part.Part, part.Parts, part.Batch = 0, 2, "other"
		apply(t, w, part)
	})
}

// hole is a connection on which one command fails, and those after it do not.
type hole struct {
	interruption
	left int
}

func (h *hole) ProcessPipelineHook(next driver.ProcessPipelineHook) driver.ProcessPipelineHook {
	return func(ctx context.Context, cmds []driver.Cmder) error {
		h.mu.Lock()
		at := h.left
		h.left -= len(cmds)
		h.mu.Unlock()
		if at < 0 || at >= len(cmds) {
			return next(ctx, cmds)
		}
		if rest := slices.Delete(slices.Clone(cmds), at, at+1); len(rest) > 0 {
			if err := next(ctx, rest); err != nil {
				return err
			}
		}
		cmds[at].SetErr(errCrash)
		return errCrash
	}
}

// One of several slices for a slot fails: those after it wait for it, so that the
// list is in the order of the chain.
func TestSlicesKeepTheirOrder(t *testing.T) {
	t.Parallel()
	for name, perBlock := range map[string]int{"blocks": 100, "pieces": 500} {
		t.Run(name, func(t *testing.T) {
			var rows []balance
			for i := range 1500 {
				rows = append(rows, balance{1, block.Number(10 + i/perBlock), int64(i)})
			}
			for n := range 14 {
				s := newCluster(t)
				w := open(t, s.config(config.List, "{table}:{address}"), balanceTable(s))
				l := &live{seq: 3}
				c := l.next(entryOf(t, blocks(10, 30), rows...))
				if err := redis.Hook(w, &hole{interruption: *crashAfter(1 << 30), left: n}); err != nil {
					t.Fatal(err)
				}
				_, _ = w.Apply(t.Context(), []sink.Change{c}) // may have failed
				apply(t, w, c)
				got := s.list(1)
				if len(got) != len(rows) {
					t.Fatalf("%d rows, want %d", len(got), len(rows))
				}
				for i, row := range got {
					if !strings.Contains(row, fmt.Sprintf(`"balance":%d,`, i)) {
						t.Fatalf("with a hole at %d, row %d is %s", n, i, row)
					}
				}
			}
		})
	}
}
