package delta_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/delta"
	"github.com/ampipe/ampipe/pkg/sink/sinktest"
)

// rowsOf reads the newest version by the checker.
func rowsOf(t testing.TB, d *table) []sinktest.Row {
	t.Helper()
	rows, err := destination{d}.Rows(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return sorted(rows)
}

func versions(t testing.TB, d *table) int {
	t.Helper()
	n := 0
	for {
		if _, err := d.store.Read(context.Background(), fmt.Sprintf("_delta_log/%020d.json", n)); err != nil {
			return n
		}
		n++
	}
}

// newStaging returns a staging that is discarded at the end of the test.
func newStaging(t testing.TB, w *delta.Writer) sink.Staging {
	g := w.NewStaging()
	t.Cleanup(g.Discard)
	return g
}

func stage(t testing.TB, w sink.Staging, changes ...sink.Change) sink.Staged {
	t.Helper()
	staged, err := w.Stage(context.Background(), changes)
	if err != nil {
		t.Fatal(err)
	}
	return staged
}

func commit(t testing.TB, w sink.Staging) sink.Applied {
	t.Helper()
	applied, err := w.Commit(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return applied
}

func TestManyCallsAreOneVersion(t *testing.T) {
	t.Parallel()
	d := inFolder(t)
	writer := d.open(t, suiteTable())
	w := newStaging(t, writer)
	for n := block.Number(0); n < 100; n += 5 {
		stage(t, w, history(n, n+5))
	}
	if n := versions(t, d); n != 1 {
		t.Errorf("%d versions before the commit", n)
	}
	if state, err := writer.State(t.Context()); err != nil || state.Coverage.Len() != 0 {
		t.Errorf("what is staged counts as committed: %+v, %v", state, err)
	}
	if applied := commit(t, w); applied.Rows != 300 {
		t.Errorf("the commit says %+v", applied)
	}
	if n := versions(t, d); n != 2 {
		t.Errorf("%d versions, want one for the table and one for the rows", n)
	}
	if files, err := delta.Replay(t.Context(), d.store, -1); err != nil || len(files) != 1 {
		t.Errorf("%d files, %v", len(files), err)
	}
	if got := rowsOf(t, d); !slices.Equal(got, sorted(blockRows(block.Range{End: 100}, 0))) {
		t.Errorf("%d rows", len(got))
	}
	if applied := commit(t, w); applied != (sink.Applied{}) || versions(t, d) != 2 {
		t.Errorf("a commit of nothing did %+v", applied)
	}
	stage(t, w, history(50, 60))
	if applied := commit(t, w); applied.Skipped != 30 || versions(t, d) != 2 {
		t.Errorf("a commit of what is there did %+v and made version %d", applied, versions(t, d)-1)
	}
}

// TestAReorgOfStagedRows takes blocks back before they were committed, with and
// without blocks that were.
func TestAReorgOfStagedRows(t *testing.T) {
	t.Parallel()
	d := inFolder(t)
	w := newStaging(t, d.open(t, suiteTable()))
	live := func(seq uint64, h entry.Header, rows ...sinktest.Row) sink.Change {
		h.Epoch, h.Network, h.Rows = 1, "suitenet", len(rows)
		c := sink.Change{Header: h, Live: true, Seq: seq, After: seq - 1}
		if len(rows) > 0 {
			c.Records = append(c.Records, record(rows))
		}
		return c
	}
	data := func(seq uint64, from, to block.Number, fork int) sink.Change {
		r := block.Range{Start: from, End: to}
		return live(seq, entry.Header{Kind: entry.Data, Range: r}, blockRows(r, fork)...)
	}
	void := func(seq uint64, n, last block.Number) sink.Change {
		return live(seq, entry.Header{Kind: entry.Invalidate, Range: block.Closed(n, last)})
	}
	stage(t, w, history(0, 10), data(1, 10, 20, 1))
	stage(t, w, void(2, 15, 19), data(3, 15, 22, 2))
	if applied := commit(t, w); applied.Deleted != 15 {
		t.Errorf("the commit says %+v", applied)
	}
	want := slices.Concat(blockRows(block.Range{End: 10}, 0), blockRows(block.Range{Start: 10, End: 15}, 1), blockRows(block.Range{Start: 15, End: 22}, 2))
	if got := rowsOf(t, d); !slices.Equal(got, sorted(want)) {
		t.Errorf("%d rows, want %d", len(got), len(want))
	}
	stage(t, w, data(4, 22, 25, 2), void(5, 8, 24), data(6, 8, 30, 3))
	if applied := commit(t, w); applied.Deleted != 2*3+12*3+3*3 {
		t.Errorf("the commit says %+v", applied)
	}
	want = append(blockRows(block.Range{End: 8}, 0), blockRows(block.Range{Start: 8, End: 30}, 3)...)
	if got := rowsOf(t, d); !slices.Equal(got, sorted(want)) {
		t.Errorf("%d rows, want %d", len(got), len(want))
	}
}

// TestTakeOver has two processes of a sink that stage at the same time. What both
// staged is written by one; the other has to stage again, and then skips it.
func TestTakeOver(t *testing.T) {
	places(t, func(t *testing.T, d *table) {
		one, two := newStaging(t, d.open(t, suiteTable())), newStaging(t, d.open(t, suiteTable()))
		stage(t, one, history(0, 10))
		stage(t, two, history(5, 15))
		stage(t, one, history(20, 30))
		commit(t, one)
		if _, err := two.Commit(t.Context()); !errors.Is(err, sink.ErrRestage) || fault.Of(err) == fault.ClassPermanent {
			t.Errorf("the second commit of the same blocks: %v", err)
		}
		stage(t, two, history(5, 15))
		stage(t, one, history(30, 40)) // of other blocks: both can be right
		stage(t, two, history(50, 60))
		if applied := commit(t, one); applied.Rows != 30 {
			t.Errorf("the first did %+v", applied)
		}
		if applied := commit(t, two); applied.Rows != 45 || applied.Skipped != 15 {
			t.Errorf("the second did %+v", applied)
		}
		want := slices.Concat(blockRows(block.Range{End: 15}, 0), blockRows(block.Range{Start: 20, End: 40}, 0), blockRows(block.Range{Start: 50, End: 60}, 0))
		if got := rowsOf(t, d); !slices.Equal(got, sorted(want)) {
			t.Errorf("%d rows, want %d", len(got), len(want))
		}
	})
}

// TestTwoStagingsOfOneWriter has the live lane and the history, in parts, stage
// at the same time: none is in the way of the other.
func TestTwoStagingsOfOneWriter(t *testing.T) {
	t.Parallel()
	d := inFolder(t)
	w := d.open(t, suiteTable())
	past, live := newStaging(t, w), newStaging(t, w)
	part := func(i int) sink.Change {
		rows := blockRows(block.Range{Start: 5, End: 6}, 0)[i : i+1]
		c := sink.Change{Header: entry.Header{Kind: entry.Data, Epoch: 1, Range: block.Closed(5, 5), Rows: 1, End: 10, Part: i, Parts: 3, Batch: "b"}}
		c.Records = append(c.Records, record(rows))
		return c
	}
	var want []sinktest.Row
	for i := range 3 {
		stage(t, past, part(i))
		r := block.Range{Start: 100 + block.Number(i), End: 101 + block.Number(i)}
		c := sink.Change{Header: entry.Header{Kind: entry.Data, Epoch: 1, Range: r, Rows: 3}, Live: true, Seq: uint64(i) + 1, After: uint64(i)}
		c.Records = append(c.Records, record(blockRows(r, 1)))
		stage(t, live, c)
		commit(t, live)
		if applied := commit(t, past); applied.Rows != 1 {
			t.Errorf("part %d: %+v", i, applied)
		}
		want = append(want, blockRows(r, 1)...)
	}
	// What one staging has written the other does not write again.
	stage(t, past, part(0), history(0, 4))
	stage(t, live, history(0, 4))
	commit(t, live)
	if _, err := past.Commit(t.Context()); !errors.Is(err, sink.ErrRestage) {
		t.Errorf("the same blocks by two stagings: %v", err)
	}
	want = append(append(want, blockRows(block.Range{Start: 5, End: 6}, 0)...), blockRows(block.Range{End: 4}, 0)...)
	if got := rowsOf(t, d); !slices.Equal(got, sorted(want)) {
		t.Errorf("%d rows, want %d", len(got), len(want))
	}
}

// TestARefusedChangeLeavesTheStage refuses a change in the middle of a staging.
func TestARefusedChangeLeavesTheStage(t *testing.T) {
	t.Parallel()
	d := inFolder(t)
	w := newStaging(t, d.open(t, suiteTable()))
	stage(t, w, history(0, 10))
	bad := blockRows(block.Range{Start: 10, End: 12}, 0)
	bad[4].Key = "\xff"
	r := block.Range{Start: 10, End: 12}
	c := sink.Change{Header: entry.Header{Kind: entry.Data, Epoch: 1, Range: r, Rows: len(bad), End: r.End}}
	c.Records = append(c.Records, record(bad))
	_, err := w.Stage(t.Context(), []sink.Change{history(12, 20), c})
	if at, ok := errors.AsType[*sink.BadRowError](err); !ok || at.Block != 11 || errors.Is(err, sink.ErrRestage) {
		t.Errorf("the bad row is refused as %v", err)
	}
	stage(t, w, history(12, 20))
	commit(t, w)
	want := append(blockRows(block.Range{End: 10}, 0), blockRows(block.Range{Start: 12, End: 20}, 0)...)
	if got := rowsOf(t, d); !slices.Equal(got, sorted(want)) {
		t.Errorf("%d rows, want %d", len(got), len(want))
	}
}

// TestFilesHaveTheTargetSize stages more than a file.
func TestFilesHaveTheTargetSize(t *testing.T) {
	t.Parallel()
	d := inFolder(t)
	d.cfg.TargetFileSize, d.cfg.Compression = 1<<20, "none"
	w := newStaging(t, d.open(t, suiteTable()))
	full := 0
	for n := block.Number(0); n < 40_000; n += 2_000 {
		if stage(t, w, history(n, n+2_000)).Full {
			full++
		}
	}
	if full == 0 {
		t.Error("the stage was never full")
	}
	commit(t, w)
	files, err := delta.Replay(t.Context(), d.store, -1)
	if err != nil || len(files) < 3 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	large := 0
	for _, f := range files {
		if f.Size > 1<<20+1<<19 {
			t.Errorf("a file has %d bytes", f.Size)
		}
		if f.Size > 1<<19 {
			large++
		}
	}
	if large < len(files)-1 {
		t.Errorf("%d of %d files are large", large, len(files))
	}
	if got := len(rowsOf(t, d)); got != 120_000 {
		t.Errorf("%d rows", got)
	}
}
