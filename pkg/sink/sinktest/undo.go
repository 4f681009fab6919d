package sinktest

import (
	"fmt"
	"maps"
	"slices"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
)

// undoCases take back rows that have replaced others.
var undoCases = []testCase{
	{"a replaced row comes back", replacedComesBack},
	{"what came back was replaced before", undoneStepwise},
	{"rows replaced in one call come back", replacedInOneCall},
	{"replaced and taken back in one call", undoneInOneCall},
	{"a key that only void blocks have vanishes", keyVanishes},
	{"history that comes late is remembered", lateHistory},
	{"a void row does not come back", voidStaysAway},
	{"a reorg of a reorg", reorgOfReorg},
	{"the last row of a block comes back", lastComesBack},
	{"many keys, some of them replaced", manyKeysUndone},
	{"parts that replaced rows are void", replacingParts},
	{"parts of another batch among replaced rows", replacingBatch},
	{"another writer takes back", undoneByAnother},
	{"a reorg below the live start is exact or refused", undoneBelowStart},
	{"a live start inside the history is exact or refused", startInsideHistory},
	{"digests after a reorg", digestsAfterUndo},
}

// latest returns the table that rows of ascending blocks give.
func latest(rows ...Row) []Row {
	last := make(map[string]Row)
	for _, r := range rows {
		last[r.Key] = r
	}
	return slices.Collect(maps.Values(last))
}

func replacedComesBack(b *env, w sink.Writer) {
	l := newLane()
	a, other := keyed(1, 0, "a"), keyed(2, 0, "b")
	b.apply(w, l.next(dataOf(span(10, 11), nil)), dataOf(span(0, 10), []Row{a, other}))
	b.apply(w, l.next(dataOf(span(11, 12), []Row{keyed(11, 0, "a"), keyed(11, 1, "c")})), l.watermark(11, 1))
	b.wantRows([]Row{keyed(11, 0, "a"), other, keyed(11, 1, "c")})
	if got := b.apply(w, l.invalidate(11, 11)); got.Deleted != 2 || got.Rows != 0 {
		b.Errorf("two rows of the table are void: %+v", got)
	}
	b.wantRows([]Row{a, other})
	b.wantCoverage(w, span(0, 11))
	b.apply(w, l.next(dataOf(span(11, 12), []Row{keyed(11, 5, "b")})))
	b.wantRows([]Row{a, keyed(11, 5, "b")})
}

func undoneStepwise(b *env, w sink.Writer) {
	l := newLane()
	b.apply(w, l.next(dataOf(span(10, 11), nil)), dataOf(span(0, 10), []Row{keyed(1, 0, "a")}))
	for n := block.Number(11); n < 16; n++ {
		b.apply(w, l.next(dataOf(span(n, n+1), []Row{keyed(n, 0, "a")})), l.watermark(n, 1))
	}
	for _, undo := range []struct{ from, shown block.Number }{{15, 14}, {13, 12}, {12, 11}, {11, 1}} {
		b.apply(w, l.invalidate(undo.from, 15))
		b.wantRows([]Row{keyed(undo.shown, 0, "a")})
	}
}

func replacedInOneCall(b *env, w sink.Writer) {
	l := newLane()
	var rows []Row
	for n := block.Number(11); n < 20; n++ {
		rows = append(rows, keyed(n, 0, "a"), keyed(n, 1, fmt.Sprint("b", n%2)))
	}
	b.apply(w, dataOf(span(0, 10), []Row{keyed(3, 0, "a"), keyed(4, 0, "a")}),
		l.next(dataOf(span(10, 15), rows[:8])), l.next(dataOf(span(15, 20), rows[8:])))
	b.wantRows([]Row{keyed(19, 0, "a"), keyed(19, 1, "b1"), keyed(18, 1, "b0")})
	b.apply(w, l.invalidate(18, 19))
	b.wantRows([]Row{keyed(17, 0, "a"), keyed(17, 1, "b1"), keyed(16, 1, "b0")})
	b.apply(w, l.invalidate(12, 19))
	b.wantRows([]Row{keyed(11, 0, "a"), keyed(11, 1, "b1")})
	b.apply(w, l.invalidate(10, 11))
	b.wantRows([]Row{keyed(4, 0, "a")})
}

func undoneInOneCall(b *env, w sink.Writer) {
	l := newLane()
	entry := func(n block.Number, index int32) item {
		return l.next(dataOf(span(n, n+1), []Row{keyed(n, index, "a"), keyed(n, index+1, fmt.Sprint(n))}))
	}
	b.apply(w, dataOf(span(0, 10), []Row{keyed(1, 0, "a")}),
		entry(10, 0), l.watermark(10, 1), entry(11, 0), entry(12, 0),
		l.invalidate(11, 12), entry(11, 4), l.invalidate(11, 11), entry(11, 6), entry(12, 6), l.invalidate(12, 12))
	b.wantRows([]Row{keyed(11, 6, "a"), keyed(10, 1, "10"), keyed(11, 7, "11")})
	b.apply(w, l.invalidate(10, 12), entry(10, 8), l.invalidate(10, 10))
	b.wantRows([]Row{keyed(1, 0, "a")})
}

func keyVanishes(b *env, w sink.Writer) {
	l := newLane()
	b.apply(w, l.next(dataOf(span(10, 13), []Row{keyed(10, 0, "a"), keyed(11, 0, "b"), keyed(12, 0, "b")})))
	b.apply(w, l.invalidate(11, 12))
	b.wantRows([]Row{keyed(10, 0, "a")})
	b.apply(w, l.invalidate(0, 10))
	b.wantRows(nil)
}

// lateHistory writes rows that are replaced already, in no order.
func lateHistory(b *env, w sink.Writer) {
	l := newLane()
	b.apply(w, l.next(dataOf(span(100, 103), []Row{keyed(100, 0, "a"), keyed(102, 0, "b"), keyed(102, 1, "c")})))
	b.apply(w, dataOf(span(50, 60), []Row{keyed(55, 0, "a"), keyed(55, 1, "c"), keyed(56, 0, "c")}))
	b.apply(w, dataOf(span(70, 80), []Row{keyed(77, 0, "b")}), dataOf(span(60, 70), []Row{keyed(65, 0, "b"), keyed(66, 0, "a")}))
	b.apply(w, dataOf(span(0, 50), []Row{keyed(5, 0, "a"), keyed(5, 1, "b"), keyed(5, 2, "c")}))
	b.wantRows([]Row{keyed(100, 0, "a"), keyed(102, 0, "b"), keyed(102, 1, "c")})
	b.apply(w, l.invalidate(101, 102))
	b.wantRows([]Row{keyed(100, 0, "a"), keyed(77, 0, "b"), keyed(56, 0, "c")})
	b.apply(w, dataOf(span(80, 100), []Row{keyed(90, 0, "a"), keyed(90, 1, "b")}))
	b.wantRows([]Row{keyed(100, 0, "a"), keyed(90, 1, "b"), keyed(56, 0, "c")})
	b.apply(w, l.invalidate(100, 100))
	b.wantRows([]Row{keyed(90, 0, "a"), keyed(90, 1, "b"), keyed(56, 0, "c")})
}

// voidStaysAway takes back rows that were replaced themselves.
func voidStaysAway(b *env, w sink.Writer) {
	l := newLane()
	b.apply(w, l.next(dataOf(span(10, 11), nil)), dataOf(span(0, 10), []Row{keyed(1, 0, "a"), keyed(9, 0, "b")}))
	for n := block.Number(11); n < 15; n++ {
		b.apply(w, l.next(dataOf(span(n, n+1), []Row{keyed(n, 0, "a"), keyed(n, 1, "c")})))
	}
	b.apply(w, l.invalidate(12, 14))
	b.wantRows([]Row{keyed(11, 0, "a"), keyed(9, 0, "b"), keyed(11, 1, "c")})
	b.apply(w, l.next(dataOf(span(12, 13), []Row{keyed(12, 7, "b")})))
	b.apply(w, l.invalidate(11, 12))
	b.wantRows([]Row{keyed(1, 0, "a"), keyed(9, 0, "b")})
}

func reorgOfReorg(b *env, w sink.Writer) {
	l := newLane()
	fork := func(from, to block.Number, index int32) []Row {
		var rows []Row
		for n := from; n < to; n++ {
			rows = append(rows, keyed(n, index, "a"))
			if (int32(n)+index)%3 == 0 {
				rows = append(rows, keyed(n, index+1, "b"))
			}
		}
		return rows
	}
	chain := fork(0, 20, 0)
	b.apply(w, l.next(dataOf(span(20, 20+1), nil)), dataOf(span(0, 20), chain))
	head, last := block.Number(21), block.Number(20)
	for i, n := range []block.Number{25, 23, 24, 22, 22, 26, 21} {
		if head > n {
			b.apply(w, l.invalidate(n, last))
			chain = slices.DeleteFunc(chain, func(r Row) bool { return r.Block >= n })
			b.wantRows(latest(chain...))
			head = n
		}
		rows := fork(head, n+4, int32(10*i))
		for at := head; at < n+4; at++ {
			one := slices.DeleteFunc(slices.Clone(rows), func(r Row) bool { return r.Block != at })
			b.apply(w, l.next(dataOf(span(at, at+1), one)))
		}
		chain = append(chain, rows...)
		head, last = n+4, n+3
		b.wantRows(latest(chain...))
	}
}

func lastComesBack(b *env, w sink.Writer) {
	l := newLane()
	b.apply(w, l.next(dataOf(span(10, 12), []Row{
		keyed(10, 0, "a"), keyed(10, 1, "a"), keyed(11, 0, "b"), keyed(11, 1, "b"), keyed(11, 2, "b"),
	})))
	b.apply(w, l.next(dataOf(span(12, 13), []Row{keyed(12, 0, "a"), keyed(12, 1, "b"), keyed(12, 2, "a")})))
	b.wantRows([]Row{keyed(12, 2, "a"), keyed(12, 1, "b")})
	b.apply(w, l.invalidate(12, 12))
	b.wantRows([]Row{keyed(10, 1, "a"), keyed(11, 2, "b")})
}

func manyKeysUndone(b *env, w sink.Writer) {
	l := newLane()
	rows := func(n block.Number, from, to int) []Row {
		var some []Row
		for i := from; i < to; i++ {
			some = append(some, keyed(n, int32(i), fmt.Sprint("key ", i)))
		}
		return some
	}
	old, middle, young := rows(5, 0, 2000), rows(10, 1000, 3000), rows(11, 500, 2500)
	b.apply(w, l.next(dataOf(span(10, 11), middle)))
	b.apply(w, dataOf(span(0, 10), old), l.next(dataOf(span(11, 12), young)))
	b.wantRows(latest(slices.Concat(old, middle, young)...))
	if got := b.apply(w, l.invalidate(11, 11)); got.Deleted != 2000 {
		b.Errorf("2000 rows of the table are void: %+v", got)
	}
	b.wantRows(latest(slices.Concat(old, middle)...))
	b.apply(w, l.invalidate(10, 10))
	b.wantRows(old)
}

func replacingParts(b *env, w sink.Writer) {
	l := newLane()
	rows := make([]Row, 9)
	for i := range rows {
		rows[i] = keyed(11, int32(i), fmt.Sprint("key ", i))
	}
	before := []Row{keyed(4, 0, "key 0"), keyed(4, 1, "key 4"), keyed(5, 0, "key 8")}
	parts := partsOf(11, "a", rows, 3)
	b.apply(w, l.next(dataOf(span(10, 11), nil)), dataOf(span(0, 10), before))
	b.apply(w, l.next(parts[0]))
	b.apply(w, l.next(parts[1]))
	b.wantRows(latest(append(slices.Clone(before), rows[:6]...)...))
	b.apply(w, l.invalidate(11, 11))
	b.wantRows(before)
	b.apply(w, l.next(parts[0]), l.next(parts[1]), l.next(parts[2]), l.next(dataOf(span(12, 13), []Row{keyed(12, 0, "key 1")})))
	b.apply(w, l.invalidate(12, 12))
	b.wantRows(rows)
}

// replacingBatch has the parts of a block come again, of another batch, while the
// rows of the first stand between others.
func replacingBatch(b *env, w sink.Writer) {
	l := newLane()
	b.apply(w, l.next(dataOf(span(100, 101), nil)))
	first := []Row{keyed(50, 0, "a"), keyed(50, 1, "b"), keyed(50, 2, "d"), keyed(50, 3, "c")} // nothing has d after all
	second := []Row{keyed(50, 10, "c"), keyed(50, 11, "a"), keyed(50, 12, "b")}
	b.apply(w, dataOf(span(0, 50), []Row{keyed(40, 0, "a"), keyed(40, 1, "b"), keyed(41, 0, "c")}))
	one, two := partsOf(50, "a", first, 4), partsOf(50, "b", second, 3)
	b.apply(w, one[0], one[1], one[2])
	b.apply(w, l.next(dataOf(span(101, 103), []Row{keyed(101, 0, "a"), keyed(102, 0, "c"), keyed(102, 1, "d")})))
	b.apply(w, two[0])
	b.apply(w, two[1], two[2])
	b.wantRows([]Row{keyed(101, 0, "a"), keyed(50, 12, "b"), keyed(102, 0, "c"), keyed(102, 1, "d")})
	b.apply(w, l.invalidate(102, 102))
	b.wantRows([]Row{keyed(101, 0, "a"), keyed(50, 12, "b"), keyed(50, 10, "c")})
	b.apply(w, l.invalidate(101, 101))
	b.wantRows([]Row{keyed(50, 11, "a"), keyed(50, 12, "b"), keyed(50, 10, "c")})
}

// undoneByAnother uses a new Writer for every call.
func undoneByAnother(b *env, w sink.Writer) {
	l := newLane()
	b.apply(w, l.next(dataOf(span(10, 11), []Row{keyed(10, 0, "a")})))
	b.apply(b.writer(), dataOf(span(0, 10), []Row{keyed(1, 0, "a"), keyed(2, 0, "a"), keyed(2, 1, "b")}))
	b.apply(b.writer(), l.next(dataOf(span(11, 12), []Row{keyed(11, 0, "a"), keyed(11, 1, "b")})), l.watermark(11, 1))
	undo := l.invalidate(11, 11)
	b.apply(b.writer(), undo)
	b.wantRows([]Row{keyed(10, 0, "a"), keyed(2, 1, "b")})
	w = b.writer()
	b.wantSame(w, func() { b.apply(w, undo) })
	b.apply(b.writer(), l.invalidate(10, 10))
	b.wantRows([]Row{keyed(2, 0, "a"), keyed(2, 1, "b")})
}

// exactOrRefused applies items that a Writer may refuse because it has not kept
// enough, and reports whether it did not.
func (b *env) exactOrRefused(w sink.Writer, want []Row, items ...item) bool {
	b.Helper()
	state, before := b.state(w), b.rows()
	_, err := b.try(b.Context(), w, items...)
	if err == nil {
		b.wantRows(want)
		return true
	}
	if fault.Of(err) != fault.ClassPermanent {
		b.Fatalf("what cannot be undone is answered with %v, which is not permanent", err)
	}
	b.Logf("refused: %v", err)
	b.wantRows(before)
	if now := b.state(w); !now.Coverage.Equal(state.Coverage) || now.Live != state.Live {
		b.Fatalf("state went from %+v to %+v", state, now)
	}
	return false
}

func undoneBelowStart(b *env, w sink.Writer) {
	b.apply(w, dataOf(span(0, 50), []Row{keyed(10, 0, "a"), keyed(11, 0, "b")}))
	b.apply(w, dataOf(span(50, 100), []Row{keyed(60, 0, "a")}), dataOf(span(100, 110), []Row{keyed(105, 0, "a"), keyed(106, 0, "b")}))
	l := newLane()
	b.apply(w, l.next(dataOf(span(110, 112), []Row{keyed(110, 0, "b"), keyed(111, 0, "a")})), l.watermark(111, 1))
	b.apply(w, l.invalidate(110, 111))
	b.wantRows([]Row{keyed(105, 0, "a"), keyed(106, 0, "b")})
	b.exactOrRefused(w, []Row{keyed(60, 0, "a"), keyed(11, 0, "b")}, l.invalidate(100, 109))
}

func startInsideHistory(b *env, w sink.Writer) {
	b.apply(w, dataOf(span(0, 50), []Row{keyed(10, 0, "a"), keyed(11, 0, "b")}))
	b.apply(w, dataOf(span(50, 100), []Row{keyed(60, 0, "a")}))
	l := newLane()
	want := []Row{keyed(10, 0, "a"), keyed(55, 0, "b")}
	b.exactOrRefused(w, want, l.next(dataOf(span(55, 56), []Row{keyed(55, 0, "b")})))
}

func digestsAfterUndo(b *env, w sink.Writer) {
	d, ok := w.(sink.Digester)
	if !ok {
		b.Log("this destination cannot be verified")
		return
	}
	l := newLane()
	rows := []Row{keyed(1, 0, "a"), keyed(2, 0, "b"), keyed(10, 0, "a"), keyed(10, 1, "c"), keyed(11, 0, "a")}
	b.apply(w, l.next(dataOf(span(10, 12), rows[2:])), dataOf(span(0, 10), rows[:2]))
	for i := range int32(20) {
		b.apply(w, l.next(dataOf(span(12, 13), []Row{keyed(12, i, "a"), keyed(12, i+20, fmt.Sprint("other ", i)), keyed(12, i+40, "c")})))
		b.apply(w, l.invalidate(12, 12))
	}
	if into, want := storedDigests(b, d, span(0, 12)), b.digests(d, rows); !maps.Equal(into, want) {
		b.Errorf("the destination has the digests %v, its source %v", into, want)
	}
}
