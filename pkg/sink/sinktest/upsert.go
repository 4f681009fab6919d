package sinktest

import (
	"fmt"
	"maps"
	"slices"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/sink"
)

// upsertCases have rows of different blocks with the same key.
var upsertCases = []testCase{
	{"a higher block replaces", higherReplaces},
	{"a lower block is ignored", lowerIgnored},
	{"the last row of an entry wins", lastWins},
	{"fresh and known keys in one call", freshAndKnown},
	{"a random table of keys", randomKeys},
}

func keyed(n block.Number, index int32, key string) Row {
	return Row{Key: key, Block: n, Index: index, Value: int64(n)*1000 + int64(index)}
}

func higherReplaces(b *env, w sink.Writer) {
	b.apply(w, dataOf(span(0, 10), []Row{keyed(1, 0, "a"), keyed(2, 0, "b")}))
	b.apply(w, dataOf(span(10, 20), []Row{keyed(11, 3, "a")}))
	b.wantRows([]Row{keyed(11, 3, "a"), keyed(2, 0, "b")})
	b.wantCoverage(w, span(0, 20))
}

func lowerIgnored(b *env, w sink.Writer) {
	b.apply(w, dataOf(span(10, 20), []Row{keyed(11, 3, "a")}))
	b.apply(w, dataOf(span(0, 10), []Row{keyed(1, 0, "a"), keyed(2, 0, "b")}))
	b.wantRows([]Row{keyed(11, 3, "a"), keyed(2, 0, "b")})
	b.wantCoverage(w, span(0, 20))
	b.apply(w, dataOf(span(5, 12), []Row{keyed(8, 0, "a"), keyed(9, 0, "c"), keyed(11, 3, "a")}))
	b.wantRows([]Row{keyed(11, 3, "a"), keyed(2, 0, "b")})
}

func lastWins(b *env, w sink.Writer) {
	rows := []Row{keyed(1, 0, "a"), keyed(1, 1, "a"), keyed(1, 2, "b"), keyed(3, 0, "a"), keyed(3, 1, "a"), keyed(3, 2, "b"), keyed(3, 3, "b")}
	b.apply(w, dataOf(span(0, 5), rows))
	b.wantRows([]Row{keyed(3, 1, "a"), keyed(3, 3, "b")})
	// The same with entries of one call in both orders.
	b.apply(w,
		dataOf(span(20, 25), []Row{keyed(21, 0, "a"), keyed(21, 1, "a")}),
		dataOf(span(10, 15), []Row{keyed(12, 0, "a"), keyed(12, 1, "b"), keyed(12, 2, "b")}),
		dataOf(span(25, 30), []Row{keyed(25, 0, "c"), keyed(26, 0, "c")}))
	b.wantRows([]Row{keyed(21, 1, "a"), keyed(12, 2, "b"), keyed(26, 0, "c")})
}

func freshAndKnown(b *env, w sink.Writer) {
	var first, second, want []Row
	for i := range int32(3000) {
		first = append(first, keyed(5, i, fmt.Sprintf("key %d", i)))
	}
	for i := range int32(6000) {
		second = append(second, keyed(6, i, fmt.Sprintf("key %d", 2000+i)))
	}
	want = append(want, first[:2000]...)
	want = append(want, second...)
	b.apply(w, dataOf(span(5, 6), first))
	b.apply(w, dataOf(span(6, 7), second), dataOf(span(0, 5), nil))
	b.wantRows(want)
	b.apply(w, dataOf(span(5, 7), append(slices.Clone(first), second...)))
	b.wantRows(want)
}

// randomKeys lets goroutines on two writers apply entries with few keys.
func randomKeys(b *env, w sink.Writer) {
	rnd := b.random()
	model := make(map[string]Row)
	blocks := make(map[block.Number][]Row)
	for n := range block.Number(200) {
		for i := range int32(rnd.IntN(6)) {
			row := keyed(n, i, fmt.Sprintf("key %d", rnd.IntN(60)))
			blocks[n] = append(blocks[n], row)
			model[row.Key] = row
		}
	}
	entries := func(size int) []item {
		var items []item
		for start := block.Number(0); start < 200; {
			end := min(200, start+1+block.Number(rnd.IntN(size)))
			var rows []Row
			for n := start; n < end; n++ {
				rows = append(rows, blocks[n]...)
			}
			items = append(items, dataOf(span(start, end), rows))
			start = end
		}
		return items
	}
	writers := []sink.Writer{w, b.writer()}
	var orders [4][]item
	for i := range orders {
		orders[i] = shuffled(rnd, entries(5+5*i))
	}
	b.each(len(orders), func(i int) error { return b.retryAll(writers[i%2], orders[i], 1+i) })
	b.wantRows(slices.Collect(maps.Values(model)))
	b.wantCoverage(writers[0], span(0, 200))
}
