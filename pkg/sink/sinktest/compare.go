package sinktest

import (
	"context"
	"slices"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/sink"
)

// ChangeOf returns an entry of history whose records hold all rows of the blocks of r.
func ChangeOf(r block.Range, recs ...arrow.RecordBatch) sink.Change {
	c := sink.Change{Header: entry.Header{Kind: entry.Data, Epoch: 1, Range: r, End: r.End}, Records: recs}
	for _, rec := range recs {
		c.Rows += int(rec.NumRows())
	}
	return c
}

// WantSameRows compares rows that were written out, in any order.
func WantSameRows(t testing.TB, got, want []string) {
	t.Helper()
	got, want = slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))
	if len(got) != len(want) {
		t.Fatalf("%d rows are in the table, want %d", len(got), len(want))
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("a row is\n%s\nwant\n%s", got[i], want[i])
		}
	}
}

// WantSameDigests compares the digests of records with those of the table.
func WantSameDigests(t testing.TB, w sink.Digester, recs ...arrow.RecordBatch) {
	t.Helper()
	source, stored := w.DigestSource(), make(sink.Digests)
	for _, rec := range recs {
		if err := source.Add(rec); err != nil {
			t.Fatal(err)
		}
	}
	ranges := []block.Range{{Start: 0, End: 3}, {Start: 3, End: 7}, {Start: 7, End: block.Max + 1}}
	if !w.Windowed() {
		ranges = []block.Range{{Start: 0, End: block.Max + 1}}
	}
	for _, r := range ranges {
		if err := w.DigestStored(context.Background(), r, stored); err != nil {
			t.Fatal(err)
		}
	}
	want := source.Digests()
	if len(want) != len(stored) {
		t.Errorf("the source has %d blocks with rows, the table %d", len(want), len(stored))
	}
	for n, d := range want {
		if stored[n] != d {
			t.Errorf("block %d: the source's digest is %+v, the table's %+v", n, d, stored[n])
		}
	}
}
