package sinktest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
)

// removalCases take blocks out and load them again.
var removalCases = []testCase{
	{"removed blocks are gone and come again", removedComesAgain},
	{"a removal of what is not there", removedNothing},
	{"parts of a block are removed", removedParts},
	{"many rows are removed", removedMany},
	{"removed blocks of the live lane are the history's", removedLive},
	{"blocks that are not confirmed are not removed", removedUnconfirmed},
	{"a reorg of removed blocks", removedBeforeReorg},
	{"a cancelled removal", removedCancelled},
	{"removals while others write", removedConcurrently},
	{"removals while the live lane goes on", removedBesideLane},
}

// removalKeyCases remove rows of which other blocks have the same key. What had been
// replaced may have been forgotten, so the table is looked at when the blocks are back.
var removalKeyCases = []testCase{
	{"a removed row that had replaced another", removedShown},
	{"a removed row that was replaced", removedReplaced},
	{"a reorg after removed blocks have come again", removedThenReorg},
	{"random removals among few keys", removedFromRandomKeys},
}

// removal takes out the blocks of [start, end).
func removal(start, end block.Number) item { return item{Change: sink.Removal(span(start, end))} }

func removedComesAgain(b *env, w sink.Writer) {
	b.apply(w, data(span(0, 30), 0), data(span(30, 40), 0))
	gone := uint64(len(chain(span(10, 35), 0)))
	if got := b.apply(w, removal(10, 35)); got.Deleted != gone || got.Rows != 0 {
		b.Errorf("a removal of %d rows: %+v", gone, got)
	}
	b.wantRows(append(chain(span(0, 10), 0), chain(span(35, 40), 0)...))
	second := b.writer()
	b.wantCoverage(second, span(0, 10), span(35, 40))
	b.wantSame(w, func() { b.apply(second, removal(10, 35)) })
	b.apply(second, data(span(5, 20), 0))
	b.wantConsistent(w, 0)
	b.apply(w, removal(0, 12))
	b.wantConsistent(w, 0)
	b.apply(w, data(span(0, 45), 0))
	b.wantRows(chain(span(0, 45), 0))
	b.wantCoverage(w, span(0, 45))
	if s := b.state(w).Live; s.Started {
		b.Errorf("the live lane was started: %+v", s)
	}
}

func removedNothing(b *env, w sink.Writer) {
	b.wantSame(w, func() { b.apply(w, removal(0, 10)) })
	b.apply(w, data(span(10, 20), 0), data(span(30, 40), 0))
	b.wantSame(w, func() {
		for _, r := range []item{removal(0, 10), removal(20, 30), removal(40, block.Max), removal(15, 15)} {
			if got := b.apply(w, r); got.Deleted != 0 {
				b.Errorf("a removal of nothing: %+v", got)
			}
		}
	})
	b.apply(w, removal(0, block.Max))
	b.wantRows(nil)
	b.wantCoverage(w)
}

func removedParts(b *env, w sink.Writer) {
	rows := bigRows(7, 0, 12)
	parts := partsOf(7, "a", rows, 4)
	b.apply(w, data(span(0, 7), 0), parts[0], parts[2])
	b.apply(w, removal(7, 8))
	b.wantRows(chain(span(0, 7), 0))
	b.apply(w, parts[1], parts[3])
	b.wantCoverage(w, span(0, 7))
	b.apply(w, parts[0])
	b.apply(w, removal(3, 9))
	b.wantRows(chain(span(0, 3), 0))
	b.apply(w, parts[2])
	b.wantCoverage(w, span(0, 3))
	b.apply(w, parts[3], parts[1], parts[0])
	b.wantCoverage(w, span(0, 3), span(7, 8))
	b.apply(w, removal(7, 8))
	b.apply(w, data(span(3, 7), 0), dataOf(span(7, 8), rows))
	b.wantCoverage(w, span(0, 8))
	b.wantRows(append(chain(span(0, 7), 0), rows...))
}

func removedMany(b *env, w sink.Writer) {
	var items []item
	var want []Row
	for n := range block.Number(12) {
		rows := bigRows(n, 0, 300)
		want = append(want, rows...)
		items = append(items, dataOf(span(n, n+1), rows))
	}
	b.apply(w, items...)
	if got := b.apply(w, removal(2, 11)); got.Deleted != 9*300 {
		b.Errorf("%d rows were removed, want %d", got.Deleted, 9*300)
	}
	b.wantRows(append(slices.Clone(want[:2*300]), want[11*300:]...))
	b.apply(w, items...)
	b.wantRows(want)
	b.wantCoverage(w, span(0, 12))
}

func removedLive(b *env, w sink.Writer) {
	l := newLane()
	live := []item{l.data(span(10, 16), 1), l.data(span(16, 20), 1), l.watermark(19, 1)}
	b.apply(w, append(live, data(span(0, 10), 0))...)
	before := b.state(w).Live
	b.apply(w, removal(5, 14))
	b.wantCoverage(w, span(0, 5), span(14, 20))
	b.wantRows(append(chain(span(0, 5), 0), chain(span(14, 20), 1)...))
	before.Start = 14
	if got := b.state(w).Live; got != before {
		b.Errorf("live state is %+v, want %+v", got, before)
	}
	b.wantSame(w, func() { b.apply(w, live...) })
	b.apply(w, l.data(span(20, 22), 1), l.watermark(21, 1), data(span(0, 30), 1))
	b.wantCoverage(w, span(0, 22))
	b.wantRows(append(chain(span(0, 5), 0), chain(span(5, 22), 1)...))
	// Up to the cursor, and from below the live start on.
	b.apply(w, removal(18, 22))
	b.apply(w, l.data(span(22, 25), 1))
	b.apply(w, removal(1, 3))
	if got := b.state(w).Live; got.Start != 22 || got.Cursor.Number != 21 {
		b.Errorf("live state is %+v", got)
	}
	b.apply(w, data(span(0, 40), 1), l.watermark(24, 1))
	b.wantCoverage(w, span(0, 25))
	b.wantRows(slices.Concat(chain(span(0, 1), 0), chain(span(1, 3), 1), chain(span(3, 5), 0), chain(span(5, 25), 1)))
}

func removedUnconfirmed(b *env, w sink.Writer) {
	l := newLane()
	b.apply(w, data(span(0, 10), 0), l.data(span(10, 15), 1))
	refused := func(next block.Number, r item) {
		b.Helper()
		b.wantSame(w, func() {
			_, err := b.try(b.Context(), w, r)
			unconfirmed, is := errors.AsType[*sink.UnconfirmedError](err)
			if fault.Of(err) != fault.ClassPermanent || !is || unconfirmed.Next != next {
				b.Errorf("the removal of blocks %v is answered with %v", r.Range, err)
			}
		})
	}
	refused(10, removal(12, 14))
	refused(10, removal(0, 11))
	b.apply(w, l.watermark(12, 1))
	refused(13, removal(0, 14))
	refused(13, removal(0, block.Max+1))
	refused(13, removal(14, 20))
	b.wantSame(w, func() { b.apply(w, removal(15, 20)) }) // of these nothing was committed
	b.apply(w, removal(0, 13))
	b.wantCoverage(w, span(13, 15))
	b.wantRows(chain(span(13, 15), 1))
}

func removedBeforeReorg(b *env, w sink.Writer) {
	l := newLane()
	b.apply(w, data(span(0, 10), 0), l.data(span(10, 20), 1), l.watermark(19, 1))
	b.apply(w, removal(8, 16))
	b.apply(w, data(span(12, 14), 1)) // of the fork that is about to be left
	b.apply(w, l.invalidate(13, 19))
	if live := b.state(w).Live; live.Start != 13 || live.Cursor.Number != 12 {
		b.Errorf("live state is %+v", live)
	}
	b.wantCoverage(w, span(0, 8), span(12, 13))
	b.apply(w, data(span(8, 16), 1), l.data(span(13, 18), 2), l.watermark(17, 2))
	b.wantCoverage(w, span(0, 18))
	b.wantRows(slices.Concat(chain(span(0, 8), 0), chain(span(8, 13), 1), chain(span(13, 18), 2)))
}

func removedCancelled(b *env, w sink.Writer) {
	rnd := b.random()
	b.apply(w, data(span(0, 100), 0))
	for i := range block.Number(6) {
		if err := b.harass(rnd, w, removal(i*10, i*10+25)); err != nil {
			b.Fatal(err)
		}
		b.wantConsistent(w, 0)
		if err := b.harass(rnd, w, data(span(i*10, i*10+20), 0)); err != nil {
			b.Fatal(err)
		}
		b.wantConsistent(w, 0)
	}
	b.apply(w, data(span(0, 100), 0))
	b.wantRows(chain(span(0, 100), 0))
	b.wantCoverage(w, span(0, 100))
}

func removedConcurrently(b *env, w sink.Writer) {
	rnd := b.random()
	writers := []sink.Writer{w, b.writer()}
	const end = 60
	l := newLane()
	b.apply(w, l.data(span(end, end+2), 0), l.watermark(end+1, 0))
	work := make([][]item, 4)
	for i := range work {
		work[i] = shuffled(rnd, cut(span(0, end), block.Number(4+i)))
	}
	for n := block.Number(end + 2); n < end+12; n++ {
		work[0] = append(work[0], l.data(span(n, n+1), 0), l.watermark(n, 0))
	}
	for i := range 8 {
		from := block.Number(rnd.IntN(end))
		work[1] = slices.Insert(work[1], i*len(work[1])/8, removal(from, min(end+2, from+block.Number(rnd.IntN(30)))))
	}
	b.each(len(work), func(i int) error { return b.retryAll(writers[i%2], work[i], 1) })
	b.wantConsistent(w, 0)
	b.apply(w, cut(span(0, end+12), 7)...)
	b.wantCoverage(writers[1], span(0, end+12))
	b.wantRows(chain(span(0, end+12), 0))
}

// removedBesideLane: only the removals move the live start. If it went back, blocks that
// were removed would be neither the lane's, which has passed them, nor the history's.
func removedBesideLane(b *env, w sink.Writer) {
	const end = 24
	l := newLane()
	b.apply(w, data(span(0, 10), 0), l.data(span(10, 12), 0), l.watermark(11, 0))
	var lane []item
	for n := block.Number(12); n < end; n++ {
		lane = append(lane, l.data(span(n, n+1), 0), l.watermark(n, 0))
	}
	writers := []sink.Writer{w, b.writer(), b.writer()}
	b.each(len(writers), func(i int) error {
		if i == 0 {
			return b.retryAll(w, lane, 1)
		}
		removed := block.Number(0)
		for range 8 {
			s, err := writers[i].State(b.Context())
			if err != nil {
				return err
			}
			if s.Live.Start < removed {
				return fmt.Errorf("the live start is at %d again, and blocks below %d were removed", s.Live.Start, removed)
			}
			removed = s.Live.After()
			if err := b.retry(writers[i], removal(removed-block.Number(i), removed)); err != nil {
				return err
			}
		}
		return nil
	})
	b.wantConsistent(w, 0)
	b.apply(w, data(span(0, end), 0))
	b.wantCoverage(w, span(0, end))
	b.wantRows(chain(span(0, end), 0))
}

func removedShown(b *env, w sink.Writer) {
	low := dataOf(span(0, 10), []Row{keyed(3, 0, "a"), keyed(4, 0, "b")})
	high := dataOf(span(10, 20), []Row{keyed(11, 0, "a"), keyed(12, 0, "c")})
	b.apply(w, low, high)
	b.apply(w, removal(10, 20))
	b.wantCoverage(w, span(0, 10))
	b.apply(w, high)
	b.wantRows([]Row{keyed(11, 0, "a"), keyed(4, 0, "b"), keyed(12, 0, "c")})
	b.wantCoverage(w, span(0, 20))
}

func removedReplaced(b *env, w sink.Writer) {
	low := dataOf(span(0, 10), []Row{keyed(3, 0, "a"), keyed(4, 0, "b")})
	b.apply(w, low, dataOf(span(10, 20), []Row{keyed(11, 0, "a")}), dataOf(span(20, 30), []Row{keyed(21, 0, "a"), keyed(22, 0, "b")}))
	b.apply(w, removal(0, 15))
	b.wantRows([]Row{keyed(21, 0, "a"), keyed(22, 0, "b")})
	b.apply(w, dataOf(span(10, 20), []Row{keyed(11, 0, "a")}), low)
	b.wantRows([]Row{keyed(21, 0, "a"), keyed(22, 0, "b")})
	b.wantCoverage(w, span(0, 30))
}

// removedThenReorg: what blocks that came again have replaced is kept as before.
func removedThenReorg(b *env, w sink.Writer) {
	l := newLane()
	first := l.next(dataOf(span(10, 11), nil))
	b.apply(w, first, dataOf(span(0, 10), []Row{keyed(3, 0, "a"), keyed(4, 0, "b")}))
	again := []item{
		dataOf(span(11, 12), []Row{keyed(11, 0, "a"), keyed(11, 1, "c")}), dataOf(span(12, 13), []Row{keyed(12, 0, "a"), keyed(12, 1, "b")}),
	}
	for _, it := range again {
		b.apply(w, l.next(it), l.watermark(it.Range.Last(), 1))
	}
	last := l.next(dataOf(span(13, 14), []Row{keyed(13, 0, "a"), keyed(13, 1, "c")}))
	b.apply(w, last, l.watermark(13, 1))
	want := []Row{keyed(13, 0, "a"), keyed(12, 1, "b"), keyed(13, 1, "c")}
	for _, r := range []item{removal(11, 12), removal(12, 13), removal(11, 13)} {
		b.apply(w, r)
		b.apply(w, again[1])
		b.apply(w, again[0])
		b.wantRows(want)
	}
	b.wantCoverage(w, span(0, 14))
	b.apply(w, l.invalidate(13, 13))
	b.wantRows([]Row{keyed(12, 0, "a"), keyed(12, 1, "b"), keyed(11, 1, "c")})
	b.apply(w, l.invalidate(12, 12))
	b.wantRows([]Row{keyed(11, 0, "a"), keyed(4, 0, "b"), keyed(11, 1, "c")})
	b.apply(w, l.invalidate(11, 11))
	b.wantRows([]Row{keyed(3, 0, "a"), keyed(4, 0, "b")})
}

func removedFromRandomKeys(b *env, w sink.Writer) {
	rnd := b.random()
	const end = 120
	rows := make(map[block.Number][]Row)
	var all []Row
	for n := range block.Number(end + 8) {
		for i := range int32(rnd.IntN(4)) {
			rows[n] = append(rows[n], keyed(n, i, fmt.Sprintf("key %d", rnd.IntN(30))))
		}
		all = append(all, rows[n]...)
	}
	entry := func(r block.Range) item {
		var some []Row
		for n := r.Start; n < r.End; n++ {
			some = append(some, rows[n]...)
		}
		return dataOf(r, some)
	}
	l := newLane()
	b.apply(w, l.next(entry(span(end, end+4))), l.watermark(end+3, 1))
	b.apply(w, entry(span(0, end)), l.next(entry(span(end+4, end+8))), l.watermark(end+7, 1))
	b.wantRows(latest(all...))
	for range 8 {
		from := block.Number(rnd.IntN(end))
		to := min(end+4, from+1+block.Number(rnd.IntN(40)))
		if err := b.harass(rnd, w, removal(from, to)); err != nil {
			b.Fatal(err)
		}
		if err := b.reload(rnd, w, entry, span(from, to)); err != nil {
			b.Fatal(err)
		}
	}
	b.wantCoverage(w, span(0, end+8))
	b.wantRows(latest(all...))
	// The rows that they had replaced are known as well, if they are kept at all.
	low := slices.DeleteFunc(all, func(r Row) bool { return r.Block >= end+2 })
	b.apply(w, l.invalidate(end+2, end+7))
	b.wantRows(latest(low...))
}

// reload applies the blocks of r again, in pieces and in no order.
func (b *env) reload(rnd *rand.Rand, w sink.Writer, entry func(block.Range) item, r block.Range) error {
	var items []item
	for n := r.Start; n < r.End; {
		end := min(r.End, n+1+block.Number(rnd.IntN(9)))
		items = append(items, entry(span(n, end)))
		n = end
	}
	return b.retryAll(w, shuffled(rnd, items), 1+rnd.IntN(3))
}
