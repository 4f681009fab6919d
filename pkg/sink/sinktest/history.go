package sinktest

import (
	"slices"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
)

var historyCases = []testCase{
	{"a new destination is empty", newIsEmpty},
	{"an entry is applied once", appliedOnce},
	{"another writer sees and skips what is there", anotherWriter},
	{"overlapping entries", overlaps},
	{"entries in any order", anyOrder},
	{"entries without rows", withoutRows},
	{"ranges that touch are one", touching},
	{"a call without changes", noChanges},
	{"many rows in one call", manyRows},
	{"another table is refused", otherTable},
	{"goroutines and writers at the same time", concurrent},
}

func newIsEmpty(b *env, w sink.Writer) {
	if s := b.state(w); s.Coverage.Len() != 0 || s.Live != (sink.LiveState{}) {
		b.Errorf("state is %+v", s)
	}
	b.wantRows(nil)
}

func appliedOnce(b *env, w sink.Writer) {
	it := data(span(10, 20), 0)
	if got := b.apply(w, it); got.Rows != uint64(len(it.rows)) || got.Deleted != 0 {
		b.Errorf("%d rows: %+v", len(it.rows), got)
	}
	b.wantRows(it.rows)
	b.wantCoverage(w, it.Range)
	for range 2 {
		if got := b.apply(w, it); got.Rows != 0 || got.Skipped != uint64(len(it.rows)) {
			b.Errorf("repeated %d rows: %+v", len(it.rows), got)
		}
	}
	next := data(span(20, 30), 0)
	b.apply(w, it, next, next, it)
	b.wantRows(chain(span(10, 30), 0))
	b.wantCoverage(w, span(10, 30))
}

func anotherWriter(b *env, w sink.Writer) {
	it := data(span(0, 15), 0)
	b.apply(w, it)
	second := b.writer()
	b.wantCoverage(second, it.Range)
	if got := b.apply(second, it); got.Rows != 0 {
		b.Errorf("the second writer wrote %d rows again", got.Rows)
	}
	b.wantRows(it.rows)
}

func overlaps(b *env, w sink.Writer) {
	for _, r := range []block.Range{
		span(20, 30), span(40, 50), // two islands
		span(22, 28), // inside
		span(25, 35), // over the end
		span(38, 41), // over the start
		span(10, 60), // over both, and what is between
		span(55, 70), span(0, 80),
	} {
		b.apply(w, data(r, 0))
		b.wantConsistent(w, 0)
	}
	b.wantRows(chain(span(0, 80), 0))
	b.wantCoverage(w, span(0, 80))
	b.apply(w, data(span(90, 100), 0), data(span(85, 95), 0), data(span(70, 110), 0), data(span(92, 93), 0))
	b.wantRows(chain(span(0, 110), 0))
	b.wantCoverage(w, span(0, 110))
}

func anyOrder(b *env, w sink.Writer) {
	items := cut(span(0, 100), 7)
	slices.Reverse(items)
	for _, it := range items {
		b.apply(w, it)
	}
	b.wantRows(chain(span(0, 100), 0))
	b.apply(w, shuffled(b.random(), cut(span(100, 200), 3))...)
	b.wantRows(chain(span(0, 200), 0))
	b.wantCoverage(w, span(0, 200))
}

func withoutRows(b *env, w sink.Writer) {
	empty := dataOf(span(5, 9), nil)
	b.apply(w, empty)
	b.wantCoverage(w, span(5, 9))
	b.apply(w, empty, dataOf(span(0, 5), nil))
	b.wantCoverage(w, span(0, 9))
	b.wantRows(nil)
	sparse := bigRows(500, 0, 2)
	b.apply(w, dataOf(span(9, 1_000_000), sparse))
	b.wantCoverage(w, span(0, 1_000_000))
	b.wantRows(sparse)
	// The very first and the very last block are blocks like any other.
	top := dataOf(span(block.Max, block.Max+1), nil)
	b.apply(w, top, top)
	b.wantCoverage(w, span(0, 1_000_000), top.Range)
}

func touching(b *env, w sink.Writer) {
	for start := block.Number(0); start < 50; start += 10 {
		b.apply(w, data(span(start, start+5), 0))
	}
	if n := len(b.state(w).Coverage.Ranges()); n != 5 {
		b.Errorf("five islands are %d ranges", n)
	}
	for start := block.Number(0); start < 50; start += 10 {
		b.apply(w, data(span(start+5, start+10), 0))
	}
	b.wantCoverage(w, span(0, 50))
	b.wantRows(chain(span(0, 50), 0))
}

func noChanges(b *env, w sink.Writer) {
	b.apply(w, data(span(0, 5), 0))
	b.wantSame(w, func() { b.apply(w) })
}

func manyRows(b *env, w sink.Writer) {
	var items []item
	var want []Row
	for n := block.Number(0); n < 20; n++ {
		rows := bigRows(n, 0, 2500)
		want = append(want, rows...)
		items = append(items, dataOf(span(n, n+1), rows))
	}
	b.apply(w, items...)
	b.apply(w, items[3:9]...)
	b.wantRows(want)
	b.wantCoverage(w, span(0, 20))
}

func otherTable(b *env, w sink.Writer) {
	b.apply(w, data(span(0, 5), 0))
	b.wantSame(w, func() {
		fields := slices.Clone(Schema.Fields())
		fields[3].Type = arrow.BinaryTypes.String
		other := table()
		other.Schema = arrow.NewSchema(fields, nil)
		second := b.dest.Writer(b)
		if err := second.Open(b.Context(), other); fault.Of(err) != fault.ClassPermanent {
			b.Errorf("a table whose column %q is of another type: %v is not a permanent error", fields[3].Name, err)
		}
		if err := second.Close(); err != nil {
			b.Errorf("close after a refused open: %v", err)
		}
	})
}

// concurrent lets eight goroutines on two writers apply the same entries, each
// in its own order and with its own cuts.
func concurrent(b *env, w sink.Writer) {
	rnd := b.random()
	writers := []sink.Writer{w, b.writer()}
	whole := span(0, 300)
	var work [8][]item
	for i := range work {
		work[i] = shuffled(rnd, cut(whole, block.Number(5+i)))
	}
	b.each(len(work), func(i int) error { return b.retryAll(writers[i%2], work[i], 1+i) })
	b.wantRows(chain(whole, 0))
	b.wantCoverage(writers[0], whole)
}

// cut makes entries of size blocks each that cover r together.
func cut(r block.Range, size block.Number) []item {
	var items []item
	for start := r.Start; start < r.End; start += size {
		items = append(items, data(span(start, min(start+size, r.End)), 0))
	}
	return items
}
