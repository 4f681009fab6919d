package extract_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/state"
)

// TestTheLaneBeginsVoid: what a destination has at or above the beginning may be of
// another fork.
func TestTheLaneBeginsVoid(t *testing.T) {
	t.Parallel()
	s := newScriptedChain(t, 0, 10, one, grow(2), grow(1))
	st := newLiveEnv(t, nil, "test", s, 10, nil)
	p := st.runScript()
	want(t, "entries", st.settled(), []string{
		"invalidate 10", "complete 10-11", "complete 12-12",
	})
	first, mark := p.entries[0], p.entries[1]
	if first.Epoch != 1 || first.Network != "test" || first.Prev != s.at(9).Hash || first.Seen.IsZero() {
		t.Errorf("the first entry is %+v", first)
	}
	if mark.Hash != s.at(11).Hash || mark.Prev != s.at(9).Hash || mark.Range != block.Closed(10, 11) {
		t.Errorf("the watermark is %+v", mark)
	}
	if since := time.Since(mark.Seen); since < 0 || since > time.Minute {
		t.Errorf("the blocks of the watermark were seen %s ago", since)
	}
	o := s.options()
	if len(o) != 1 || !slices.Equal(o[0].Resume, []block.Cursor{s.at(9)}) || o[0].Network != "test" || *o[0].Beginning != 10 {
		t.Errorf("followed with %+v", o)
	}
	l := st.position(func(state.LivePosition) bool { return true })
	if l.Epoch != 1 || l.Phase != state.LiveRunning || l.Reorgs != 0 {
		t.Errorf("position %+v", l)
	}
}

// TestAReorgAfterARestartCountsItsBlocks: what the lane has published is known to a process
// that has published none of it, too.
func TestAReorgAfterARestartCountsItsBlocks(t *testing.T) {
	t.Parallel()
	s := newScriptedChain(t, 0, 10, one, grow(4))
	st := newLiveEnv(t, nil, "test", s, 10, nil)
	st.runScript()
	s.add(reorg(12, 1))
	st.queue()
	p := st.process()
	var log bytes.Buffer
	p.x.Logger = zerolog.New(zerolog.SyncWriter(&log))
	p.start()
	p.until(s.finished)
	p.end()
	if want := `"from":12,"blocks":2,"message":"reorg"`; !strings.Contains(log.String(), want) || !slices.Equal(p.reorgs, []block.Number{12}) {
		t.Errorf("reorgs from %v, want 12, and %s in\n%s", p.reorgs, want, &log)
	}
}

// TestTheLaneCatchesUpWithItsWorkers: with one worker there is one stream.
func TestTheLaneCatchesUpWithItsWorkers(t *testing.T) {
	t.Parallel()
	for _, workers := range []int{1, 3} {
		s := newScriptedChain(t, 0, 10, one, grow(2))
		st := newLiveEnv(t, nil, "test", s, 10, nil)
		p := st.process()
		p.x.Workers = workers
		p.start()
		p.until(s.finished)
		p.end()
		split := s.options()[0].Split
		if workers == 1 {
			if split != nil {
				t.Errorf("one worker reads with %+v", split)
			}
			continue
		}
		if split == nil || split.Streams != workers {
			t.Fatalf("%d workers read with %+v", workers, split)
		}
		query := split.Query(block.Range{Start: 10, End: 12})
		if !strings.Contains(query, "_block_num >= 10") || !strings.HasSuffix(query, "ORDER BY q._block_num") {
			t.Error(query)
		}
	}
}

func TestALaneFromTheFirstBlockHasNoCursor(t *testing.T) {
	t.Parallel()
	s := newScriptedChain(t, 5, 5, one, grow(3), reorg(5, 1))
	st := newLiveEnv(t, nil, "test", s, 5, nil)
	p := st.runScript()
	want(t, "entries", st.settled(), []string{
		"invalidate 5", "complete 5-7", "invalidate 5", "complete 5-8",
	})
	for _, h := range p.entries {
		if h.Kind == entry.Invalidate && !h.Prev.IsZero() {
			t.Errorf("%+v names a block before the first", h)
		}
	}
	if o := s.options()[0]; len(o.Resume) != 0 || o.Beginning == nil || *o.Beginning != 5 {
		t.Errorf("followed with %+v", o)
	}
	// The next holder, too, may go back to the beginning.
	s.add(reorg(5, 1))
	st.queue()
	st.runScript()
	st.settled()
	o := s.options()[1]
	if n := len(o.Resume); n != 1 || o.Resume[0].Number != 8 || o.Beginning == nil || *o.Beginning != 5 {
		t.Errorf("followed with %+v", o)
	}
}

// TestRowsAreCutIntoEntries: between blocks only, and blocks without rows are covered,
// too.
func TestRowsAreCutIntoEntries(t *testing.T) {
	t.Parallel()
	few := func(n block.Number) int { return map[block.Number]int{3: 10, 5: 40, 6: 10, 30: 1}[n] }
	s := newScriptedChain(t, 0, 2, few, step{grow: 8, messages: 3}, grow(10), grow(20))
	st := newLiveEnv(t, nil, "test", s, 2, nil)
	st.runScript()
	entries := st.settled()
	var at block.Number = 2
	for _, e := range entries {
		var from, to block.Number
		if n, _ := fmt.Sscanf(strings.Replace(e, "complete", "data", 1), "data %d-%d", &from, &to); n == 2 {
			if from != at {
				t.Errorf("%s, and the blocks from %d on have no entry: %q", e, at, entries)
			}
			at = to + 1
		}
	}
	if at != 40 || len(entries) < 7 {
		t.Errorf("entries %q", entries)
	}
	if !slices.Contains(entries, "complete 10-19") {
		t.Errorf("blocks 10 to 19 have no rows and no entry: %q", entries)
	}
}

// TestUndo is everything that a stream may take back.
func TestUndo(t *testing.T) {
	t.Parallel()
	rows := func(n block.Number) int { return int(n % 3) }
	for name, c := range map[string]struct {
		steps   []step
		entries []string
		reorgs  []block.Number
	}{
		"unfinished rows": {
			[]step{{grow: 4, messages: 4, cut: true}},
			[]string{"invalidate 10", "data 10-12", "invalidate 10", "data 10-13", "watermark 13"}, nil,
		},
		"a whole range": {
			[]step{grow(3), grow(2), reorg(13, 1)},
			[]string{"invalidate 10", "data 10-12", "watermark 12", "data 13-14", "watermark 14", "invalidate 13", "data 13-15", "watermark 15"},
			[]block.Number{13},
		},
		"a part of a range": {
			[]step{grow(3), grow(2), reorg(11, 1)},
			[]string{"invalidate 10", "data 10-12", "watermark 12", "data 13-14", "watermark 14", "invalidate 11", "data 11-15", "watermark 15"},
			[]block.Number{11},
		},
		"below the beginning": {
			[]step{grow(3), reorg(6, 1)},
			[]string{"invalidate 10", "data 10-12", "watermark 12", "invalidate 6", "data 6-13", "watermark 13"},
			[]block.Number{6},
		},
		"below the beginning before anything came": {
			[]step{reorg(6, 1)},
			[]string{"invalidate 10", "invalidate 6", "data 6-10", "watermark 10"},
			[]block.Number{6},
		},
		"a reorg of a reorg": {
			[]step{grow(5), reorg(13, 1), reorg(12, 1), reorg(12, 0), reorg(14, 2)},
			nil, []block.Number{13, 12, 12, 14},
		},
		"rows of a fork that is gone before they are complete": {
			[]step{grow(3), {grow: 4, messages: 2, open: true}, reorg(13, 1)},
			nil, []block.Number{13},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScriptedChain(t, 0, 10, rows, c.steps...)
			st := newLiveEnv(t, nil, "test", s, 10, nil)
			p := st.process()
			p.x.EntryBytes = 50
			p.start()
			p.until(s.finished)
			p.end()
			entries := st.settled()
			if c.entries != nil {
				want(t, "entries", slim(entries), slim(c.entries))
			}
			if !slices.Equal(p.reorgs, c.reorgs) {
				t.Errorf("reorgs from %v, want %v", p.reorgs, c.reorgs)
			}
			l := st.position(func(state.LivePosition) bool { return true })
			if l.Reorgs > uint64(len(c.reorgs)) {
				t.Errorf("the position counts %d reorgs", l.Reorgs)
			}
			for _, h := range p.entries {
				if h.Kind == entry.Invalidate && h.Prev.IsZero() {
					t.Errorf("%s does not name the block before it", summary(h))
				}
			}
		})
	}
}

// slim joins data entries that touch: where they are cut is not what is asked.
func slim(entries []string) (out []string) {
	for _, e := range entries {
		var from, to, begin, end block.Number
		if n, _ := fmt.Sscanf(e, "data %d-%d", &from, &to); n == 2 && len(out) > 0 {
			if n, _ := fmt.Sscanf(out[len(out)-1], "data %d-%d", &begin, &end); n == 2 && end+1 == from {
				out[len(out)-1] = fmt.Sprintf("data %d-%d", begin, to)
				continue
			}
		}
		out = append(out, e)
	}
	return out
}

// TestUndoOfNothingIsNoEntry: rows that only the extractor had, because they did not
// fill an entry, need no invalidation.
func TestUndoOfNothingIsNoEntry(t *testing.T) {
	t.Parallel()
	s := newScriptedChain(t, 0, 10, one, step{grow: 2, cut: true}, step{grow: 2, cut: true}, step{grow: 2, open: true}, reorg(14, 0))
	st := newLiveEnv(t, nil, "test", s, 10, nil)
	p := st.process()
	p.x.EntryBytes = 1 << 20
	p.start()
	p.until(s.finished)
	p.end()
	want(t, "entries", st.settled(), []string{
		"invalidate 10", "complete 10-11", "complete 12-13", "complete 14-15",
	})
}
