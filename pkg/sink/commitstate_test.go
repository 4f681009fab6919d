package sink_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
)

// Package sinktest drives the CommitState through every destination; here are the
// steps as they are, and what must not reach a destination at all.

func TestCommitStateSteps(t *testing.T) {
	t.Parallel()
	var l sink.CommitState
	take := func(c sink.Change) sink.Step {
		t.Helper()
		step, err := l.Take(c, 1)
		if err != nil {
			t.Fatal(err)
		}
		return step
	}
	typ := arrow.PrimitiveTypes.Int32
	part := func(i, parts int, batch string) sink.Change {
		c := change(block.Range{Start: 5, End: 6}, record(t, typ, 5, 5))
		c.Part, c.Parts, c.Batch = i, parts, batch
		return c
	}

	if s := take(part(1, 3, "a")); len(s.Covered) != 0 || sink.CountRows(s.Write) != 2 {
		t.Errorf("first part: %+v", s)
	}
	before := l.Clone()
	if s := take(part(0, 2, "b")); !slices.Equal(s.Delete, []block.Range{{Start: 5, End: 6}}) {
		t.Errorf("part of another batch: %+v", s)
	}
	if p := before.Partial[5]; p.Batch != "a" || !slices.Equal(p.Have, []int{1}) {
		t.Errorf("the clone changed with the original: %+v", p)
	}
	whole := change(block.Range{Start: 0, End: 10}, record(t, typ, 1, 5, 5, 9))
	if s := take(whole); !slices.Equal(s.Delete, []block.Range{{Start: 5, End: 6}}) ||
		!slices.Equal(s.Covered, []block.Range{{Start: 0, End: 10}}) || len(l.Partial) != 0 {
		t.Errorf("whole entry over parts: %+v", s)
	}
	if s := take(change(block.Range{Start: 5, End: 12}, record(t, typ, 5, 9, 11))); s.Skipped != 2 || sink.CountRows(s.Write) != 1 || s.Write[0].Entry != 2 {
		t.Errorf("overlap: %+v", s)
	}

	live := change(block.Range{Start: 11, End: 13}, record(t, typ, 11, 12))
	live.Live, live.Seq = true, 9
	if s := take(live); !slices.Equal(s.Delete, []block.Range{{Start: 11, End: block.Max + 1}}) || sink.CountRows(s.Write) != 2 {
		t.Errorf("first live entry: %+v", s)
	}
	undo := sink.Change{Header: entry.Header{Kind: entry.Invalidate, Range: block.Range{Start: 8, End: 13}}, Live: true, Seq: 10, After: 9}
	if s := take(undo); !slices.Equal(s.Delete, []block.Range{{Start: 8, End: block.Max + 1}}) || l.Live.Start != 8 || l.Coverage.Has(8) {
		t.Errorf("invalidate: %+v, state %+v", s, l)
	}
	if s := take(undo); len(s.Delete) != 0 {
		t.Errorf("invalidate again: %+v", s)
	}
}

// TestTheFirstLiveEntryBeginsABlock: what continues with one, or closes a range, is of
// something that was given back after it was passed on.
func TestTheFirstLiveEntryBeginsABlock(t *testing.T) {
	t.Parallel()
	var l sink.CommitState
	later := change(block.Range{Start: 5, End: 6}, record(t, arrow.PrimitiveTypes.Int32, 5, 5))
	later.Live, later.Seq, later.After, later.Part, later.Parts, later.Batch = true, 9, 8, 1, 2, "a"
	mark := sink.Change{Header: entry.Header{Kind: entry.Watermark, Range: block.Range{Start: 5, End: 8}}, Live: true, Seq: 10, After: 9}
	for _, c := range []sink.Change{later, mark} {
		if _, err := l.Take(c, 1); !errors.Is(err, sink.ErrGap) || l.Live.Started {
			t.Errorf("entry %d: %v, state %+v", c.Seq, err, l)
		}
	}
	first := later
	first.Seq, first.After, first.Part = 8, 7, 0
	for _, c := range []sink.Change{first, later, mark} {
		if _, err := l.Take(c, 1); err != nil {
			t.Fatal(err)
		}
	}
	if l.Live.Start != 5 || l.Live.Seq != mark.Seq || !l.Coverage.Has(5) {
		t.Errorf("%+v", l)
	}
}

func TestCommitStateRefusesWhatIsNoEntryOfOurs(t *testing.T) {
	t.Parallel()
	header := func(kind entry.Kind, r block.Range, part, parts int) sink.Change {
		return sink.Change{Header: entry.Header{Kind: kind, Range: r, Part: part, Parts: parts}}
	}
	one, two := block.Range{Start: 5, End: 6}, block.Range{Start: 5, End: 7}
	unknown := header("compact", one, 0, 0)
	unknown.Live = true
	liveRemoval := sink.Removal(two) // a log cannot have one
	liveRemoval.Live = true
	livePart := header(entry.Data, block.Range{Start: 1, End: 4}, 0, 2) // would start the lane inside what is covered
	livePart.Live = true
	var covered sink.CommitState
	covered.Coverage.Add(block.Range{Start: 0, End: 3})
	for name, c := range map[string]sink.Change{
		"watermark of a partition":  header(entry.Watermark, one, 0, 0),
		"invalidate of a partition": header(entry.Invalidate, one, 0, 0),
		"part of two blocks":        header(entry.Data, two, 0, 2),
		"part above the last":       header(entry.Data, one, 2, 2),
		"part below the first":      header(entry.Data, one, -1, 2),
		"unknown kind":              unknown,
		"removal in the live lane":  liveRemoval,
		"live part of three blocks": livePart,
	} {
		l := covered.Clone()
		if _, err := l.Take(c, 1); fault.Of(err) != fault.ClassPermanent {
			t.Errorf("%s: %v is not a permanent error", name, err)
		}
		if !l.Coverage.Equal(covered.Coverage) || l.Live.Started || len(l.Partial) > 0 {
			t.Errorf("%s: the state changed to %+v", name, l)
		}
	}
}
