package sinktest

import (
	"slices"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/sink"
)

var partCases = []testCase{
	{"parts make a block", partsMakeBlock},
	{"parts come again and in any order", partsAgain},
	{"parts of another batch replace", anotherBatch},
	{"a whole entry replaces parts", wholeReplacesParts},
	{"a part without rows", partWithoutRows},
	{"parts among other blocks at the same time", partsConcurrent},
}

func partsMakeBlock(b *env, w sink.Writer) {
	rows := bigRows(7, 0, 10)
	parts := partsOf(7, "a", rows, 3)
	b.apply(w, data(span(0, 7), 0), parts[0])
	b.wantCoverage(w, span(0, 7))
	b.apply(w, parts[1])
	b.wantCoverage(w, span(0, 7))
	b.apply(w, parts[2], data(span(8, 10), 0))
	b.wantCoverage(w, span(0, 10))
	b.wantRows(slices.Concat(chain(span(0, 7), 0), rows, chain(span(8, 10), 0)))
	if got := b.apply(w, parts...); got.Rows != 0 {
		b.Errorf("parts of a block that is whole were written again: %+v", got)
	}
}

func partsAgain(b *env, w sink.Writer) {
	writers := []sink.Writer{w, b.writer()}
	rows := bigRows(1<<40, 0, 30)
	parts := partsOf(1<<40, "a", rows, 5)
	for i, p := range []int{4, 4, 0, 2, 0, 4, 3, 2} {
		b.apply(writers[i%2], parts[p])
		b.wantCoverage(writers[1-i%2])
	}
	b.apply(writers[0], parts[3], parts[1], parts[1], parts[0])
	b.wantCoverage(writers[1], span(1<<40, 1<<40+1))
	b.wantRows(rows)
}

func anotherBatch(b *env, w sink.Writer) {
	rows := bigRows(3, 0, 20)
	first, second := partsOf(3, "a", rows, 3), partsOf(3, "b", rows, 4)
	b.apply(w, data(span(2, 3), 0), first[0], first[2])
	b.apply(w, second[1])
	b.apply(w, second[0], second[3])
	b.wantCoverage(w, span(2, 3))
	// What was there of the first batch is gone, so its missing part does not
	// make it whole; it begins again.
	b.apply(w, first[1])
	b.wantCoverage(w, span(2, 3))
	b.apply(w, second[2], second[3], second[0], second[1])
	b.wantCoverage(w, span(2, 4))
	if got := b.apply(w, first...); got.Rows != 0 {
		b.Errorf("parts of another batch were written to a block that is whole: %+v", got)
	}
	b.wantRows(append(chain(span(2, 3), 0), rows...))
}

func wholeReplacesParts(b *env, w sink.Writer) {
	rows := bigRows(5, 0, 12)
	parts := partsOf(5, "a", rows, 4)
	b.apply(w, parts[0], parts[2])
	whole := dataOf(span(4, 7), slices.Concat(rowsOf(4, 0), rows, rowsOf(6, 0)))
	b.apply(w, whole)
	b.wantCoverage(w, whole.Range)
	b.wantRows(whole.rows)
	b.apply(w, parts...)
	b.apply(w, partsOf(9, "x", bigRows(9, 0, 4), 2)[1], dataOf(span(7, 12), bigRows(9, 0, 4)))
	b.wantCoverage(w, span(4, 12))
	b.wantRows(append(whole.rows, bigRows(9, 0, 4)...))
}

func partWithoutRows(b *env, w sink.Writer) {
	rows := bigRows(0, 0, 1)
	parts := partsOf(0, "a", rows, 2)
	b.apply(w, parts[0], parts[0])
	b.wantCoverage(w)
	b.apply(w, parts[1])
	b.wantCoverage(w, span(0, 1))
	b.wantRows(rows)
}

func partsConcurrent(b *env, w sink.Writer) {
	rnd := b.random()
	writers := []sink.Writer{w, b.writer()}
	var items []item
	var want []Row
	for n := block.Number(0); n < 40; n += 2 {
		rows := bigRows(n, 0, 9)
		want = append(append(want, rows...), rowsOf(n+1, 0)...)
		items = append(append(items, partsOf(n, "a", rows, 3)...), data(span(n+1, n+2), 0))
	}
	orders := [4][]item{shuffled(rnd, items), shuffled(rnd, items), shuffled(rnd, items), shuffled(rnd, items)}
	b.each(len(orders), func(i int) error { return b.retryAll(writers[i%2], orders[i], 1+2*i) })
	b.wantCoverage(writers[1], span(0, 40))
	b.wantRows(want)
}
