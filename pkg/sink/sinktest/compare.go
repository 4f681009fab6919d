package sinktest

import (
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
	ranges := []block.Range{{Start: 0, End: 3}, {Start: 3, End: 7}, {Start: 7, End: block.Max + 1}}
	if !w.Windowed() {
		ranges = []block.Range{{Start: 0, End: block.Max + 1}}
	}
	source, stored := sourceDigests(t, w, recs...), storedDigests(t, w, ranges...)
	if other := differing(stored, source); len(other) > 0 {
		t.Errorf("%d blocks have other digests in the table than in the source: %v", len(other), other)
	}
}

func sourceDigests(t testing.TB, d sink.Digester, recs ...arrow.RecordBatch) sink.Digests {
	t.Helper()
	source := d.DigestSource()
	for i, rec := range recs {
		if err := source.Add(rec); err != nil {
			t.Fatalf("record %d: %v", i, err)
		}
	}
	return source.Digests()
}

func storedDigests(t testing.TB, d sink.Digester, ranges ...block.Range) sink.Digests {
	t.Helper()
	stored := sink.Digests{}
	for _, r := range ranges {
		if err := d.DigestStored(t.Context(), r, stored); err != nil {
			t.Fatal(err)
		}
	}
	return stored
}

// differing returns the blocks that are not the same in both.
func differing(a, b sink.Digests) []block.Number {
	var all []block.Number
	for n, d := range b {
		if a[n] != d {
			all = append(all, n)
		}
	}
	for n := range a {
		if _, both := b[n]; !both {
			all = append(all, n)
		}
	}
	return all
}
