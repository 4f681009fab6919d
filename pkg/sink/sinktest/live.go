package sinktest

import (
	"errors"
	"slices"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/sink"
)

var liveCases = []testCase{
	{"the first live entry fixes the start", liveStart},
	{"the live lane owns its blocks", liveOwns},
	{"a repeated live entry is skipped", liveRepeated},
	{"a live entry too early changes nothing", liveGap},
	{"a watermark moves the cursor", watermark},
	{"rows that close their range move the cursor", completeRows},
	{"a reorg within the live blocks", reorgInside},
	{"a reorg below the live start", reorgBelow},
	{"a reorg of a block that has come in part", reorgOfParts},
	{"a whole reorg in one call", reorgAtOnce},
	{"the live lane resumes in another writer", liveTakenOver},
	{"a live block in parts", liveParts},
	{"a later epoch begins the lane again", laterEpoch},
	{"an epoch that begins above the cursor voids all live blocks", epochAbove},
	{"an epoch that begins after another block than the cursor's voids all live blocks", epochOnAnotherFork},
	{"an epoch that begins after the cursor's block, or below it, voids no more", epochOnTheSameFork},
	{"an epoch and what came before it in one call", epochAtOnce},
	{"a reorg while history is written", reorgDuringHistory},
}

// lane makes live entries, each after the one before.
type lane struct {
	seq   uint64 // of the last entry
	step  uint64 // other entries stand between those of a lane
	epoch uint64
}

func newLane() *lane { return &lane{seq: 40, step: 3, epoch: 1} }

func (l *lane) next(it item) item {
	it.Live, it.End, it.Epoch = true, 0, l.epoch
	it.After = l.seq
	l.seq += l.step
	it.Seq = l.seq
	return it
}

func (l *lane) data(r block.Range, fork int) item { return l.next(data(r, fork)) }

func (l *lane) watermark(n block.Number, fork int) item {
	h := entry.Header{Kind: entry.Watermark, Network: "suitenet", Range: block.Closed(n, n), Hash: hashOf(n, fork)}
	return l.next(item{Change: sink.Change{Header: h}})
}

// complete is rows that close their range.
func (l *lane) complete(r block.Range, fork int) item { return l.data(r, fork).closing(fork) }

// closing makes rows close their range.
func (it item) closing(fork int) item {
	it.Complete, it.Hash = true, hashOf(it.Range.Last(), fork)
	return it
}

// invalidate voids every block from n on; last is the highest that was there.
func (l *lane) invalidate(n, last block.Number) item {
	h := entry.Header{Kind: entry.Invalidate, Network: "suitenet", Range: block.Closed(n, max(n, last))}
	if n > 0 {
		h.Prev = hashOf(n-1, 0)
	}
	return l.next(item{Change: sink.Change{Header: h}})
}

func hashOf(n block.Number, fork int) block.Hash {
	return block.Hash{1, byte(n >> 8), byte(n), byte(fork)}
}

func liveStart(b *env, w sink.Writer) {
	b.apply(w, data(span(0, 60), 0))
	l := newLane()
	first := l.data(span(100, 110), 1)
	b.apply(w, first)
	want := sink.LiveState{Started: true, Epoch: 1, Seq: first.Seq, Start: 100}
	if got := b.state(w).Live; got != want {
		b.Errorf("live state is %+v, want %+v", got, want)
	}
	if got := b.apply(w, data(span(100, 120), 0)); got.Rows != 0 {
		b.Errorf("history wrote %d rows of live blocks", got.Rows)
	}
	b.apply(w, data(span(90, 105), 0), data(span(60, 90), 0))
	b.wantCoverage(w, span(0, 110))
	b.wantRows(append(chain(span(0, 100), 0), first.rows...))
}

// liveOwns starts the live lane where history has written already, of another
// fork.
func liveOwns(b *env, w sink.Writer) {
	parts := partsOf(150, "a", bigRows(150, 0, 6), 2)
	b.apply(w, data(span(80, 140), 0), parts[0])
	l := newLane()
	b.apply(w, l.data(span(120, 125), 1))
	b.wantCoverage(w, span(80, 125))
	b.apply(w, l.data(span(125, 160), 1), parts[1], parts[0])
	b.wantCoverage(w, span(80, 160))
	b.wantRows(append(chain(span(80, 120), 0), chain(span(120, 160), 1)...))
}

func liveRepeated(b *env, w sink.Writer) {
	l := newLane()
	first, second := l.data(span(10, 12), 1), l.data(span(12, 15), 1)
	mark := l.watermark(14, 1)
	b.apply(w, first)
	b.apply(w, first, second, second)
	b.apply(w, mark)
	b.wantSame(w, func() {
		if got := b.apply(w, second); got.Rows != 0 || got.Skipped != uint64(len(second.rows)) {
			b.Errorf("%d rows repeated: %+v", len(second.rows), got)
		}
		b.apply(w, first, second, mark, mark)
	})
	b.wantRows(chain(span(10, 15), 1))
}

// liveGap: an entry whose predecessor was not applied is refused; the first of all may
// come from the middle of a lane, but not from the middle of a range: its watermark
// would vouch for blocks that are not there.
func liveGap(b *env, w sink.Writer) {
	l := newLane()
	before := newLane()
	before.data(span(10, 12), 1)
	mark := before.watermark(11, 1)
	b.wantSame(w, func() {
		if _, err := b.try(b.Context(), w, mark); !errors.Is(err, sink.ErrGap) {
			b.Errorf("a watermark before everything else: %v, want ErrGap", err)
		}
	})
	b.apply(w, l.data(span(10, 12), 1), l.watermark(11, 1))
	second, third, undo := l.data(span(12, 15), 1), l.data(span(15, 18), 1), l.invalidate(11, 17)
	b.wantSame(w, func() {
		for _, items := range [][]item{{third}, {undo}, {data(span(0, 5), 0), third}, {data(span(5, 10), 0), second, undo}} {
			if _, err := b.try(b.Context(), w, items...); !errors.Is(err, sink.ErrGap) {
				b.Errorf("entry %d after %d: %v, want ErrGap", items[len(items)-1].Seq, items[len(items)-1].After, err)
			}
		}
	})
	b.apply(w, second, third)
	b.wantRows(chain(span(10, 18), 1))
	b.apply(w, undo)
	b.wantRows(chain(span(10, 11), 1))
}

func watermark(b *env, w sink.Writer) {
	l := newLane()
	b.apply(w, l.data(span(10, 20), 1))
	for n := block.Number(20); n < 23; n++ {
		b.apply(w, l.data(span(n, n+1), 1), l.watermark(n, 1))
		want := block.Cursor{Network: "suitenet", Number: n, Hash: hashOf(n, 1)}
		if got := b.state(w).Live; got.Cursor != want || got.Seq != l.seq {
			b.Fatalf("live state is %+v, want the cursor %v and sequence %d", got, want, l.seq)
		}
	}
	b.wantCoverage(w, span(10, 23))
}

// completeRows: what rows and a watermark do in two entries, one does; the first of all may
// be one, which needs nothing before it.
func completeRows(b *env, w sink.Writer) {
	l := newLane()
	b.apply(w, data(span(0, 11), 0))
	at := func(n block.Number, fork int) {
		b.Helper()
		want := sink.LiveState{
			Started: true, Epoch: 1, Seq: l.seq, Start: 10, Cursor: block.Cursor{Network: "suitenet", Number: n, Hash: hashOf(n, fork)},
		}
		if got := b.state(w).Live; got != want {
			b.Fatalf("live state is %+v, want %+v", got, want)
		}
	}
	first := l.complete(span(10, 12), 1)
	b.apply(w, first)
	at(11, 1)
	empty := l.next(dataOf(span(12, 14), nil).closing(1))
	b.apply(w, first, empty)
	at(13, 1)
	b.wantSame(w, func() { b.apply(w, empty, first) })
	b.apply(w, l.complete(span(14, 15), 1), l.data(span(15, 17), 1), l.watermark(16, 1), l.complete(span(17, 19), 1))
	at(18, 1)
	b.apply(w, l.invalidate(15, 18), l.complete(span(15, 17), 2), l.complete(span(17, 18), 2))
	at(17, 2)
	b.wantCoverage(w, span(0, 18))
	b.wantRows(slices.Concat(chain(span(0, 10), 0), chain(span(10, 12), 1), chain(span(14, 15), 1), chain(span(15, 18), 2)))
}

func reorgInside(b *env, w sink.Writer) {
	l := newLane()
	b.apply(w, data(span(0, 100), 0))
	b.apply(w, l.data(span(100, 110), 1), l.watermark(109, 1))
	got := b.apply(w, l.invalidate(105, 109))
	if gone := len(chain(span(105, 110), 1)); got.Deleted != uint64(gone) {
		b.Errorf("%d rows were deleted, want %d", got.Deleted, gone)
	}
	b.wantCoverage(w, span(0, 105))
	if live := b.state(w).Live; live.Start != 100 || live.Cursor.Number != 104 || live.Seq != l.seq {
		b.Errorf("live state is %+v", live)
	}
	b.wantRows(append(chain(span(0, 100), 0), chain(span(100, 105), 1)...))
	b.apply(w, l.data(span(105, 112), 2), l.watermark(111, 2))
	b.wantCoverage(w, span(0, 112))
	b.wantRows(slices.Concat(chain(span(0, 100), 0), chain(span(100, 105), 1), chain(span(105, 112), 2)))
	b.apply(w, l.invalidate(200, 200))
	b.wantCoverage(w, span(0, 112))
}

func reorgBelow(b *env, w sink.Writer) {
	l := newLane()
	b.apply(w, l.data(span(100, 110), 1), l.watermark(109, 1), data(span(70, 95), 0))
	b.apply(w, l.invalidate(80, 109))
	if live := b.state(w).Live; live.Start != 80 || live.Cursor != (block.Cursor{Network: "suitenet", Number: 79, Hash: hashOf(79, 0)}) {
		b.Errorf("live state is %+v", live)
	}
	b.wantCoverage(w, span(70, 80))
	// These were in flight: of [75, 100) only what lies below the new start.
	b.apply(w, data(span(95, 100), 0), data(span(60, 100), 0))
	b.wantCoverage(w, span(60, 80))
	b.apply(w, l.data(span(80, 120), 2), data(span(0, 100), 0))
	b.wantCoverage(w, span(0, 120))
	b.wantRows(append(chain(span(0, 80), 0), chain(span(80, 120), 2)...))
	b.apply(w, l.invalidate(0, 119))
	b.wantCoverage(w)
	b.wantRows(nil)
	b.apply(w, data(span(0, 100), 0), l.data(span(0, 3), 3))
	b.wantRows(chain(span(0, 3), 3))
}

func reorgOfParts(b *env, w sink.Writer) {
	l := newLane()
	history := partsOf(90, "a", bigRows(90, 0, 6), 2)
	b.apply(w, l.data(span(100, 105), 1), history[0])
	live := partsOf(105, "b", bigRows(105, 1, 6), 2)
	b.apply(w, l.next(live[0]))
	b.apply(w, l.invalidate(103, 105))
	b.wantCoverage(w, span(100, 103))
	b.apply(w, history[1])
	b.wantCoverage(w, span(90, 91), span(100, 103))
	// The part before the reorg does not count for the block after it.
	b.apply(w, l.data(span(103, 105), 1), l.next(live[1]))
	b.wantCoverage(w, span(90, 91), span(100, 105))
	b.apply(w, l.next(live[0]))
	b.wantCoverage(w, span(90, 91), span(100, 106))
	b.wantRows(slices.Concat(bigRows(90, 0, 6), chain(span(100, 105), 1), bigRows(105, 1, 6)))
}

func reorgAtOnce(b *env, w sink.Writer) {
	l := newLane()
	b.apply(w,
		data(span(90, 100), 0),
		l.data(span(100, 104), 1), l.watermark(103, 1), l.data(span(104, 108), 1),
		l.invalidate(104, 107), l.data(span(104, 109), 2), l.watermark(108, 2),
		l.invalidate(98, 108), l.data(span(98, 111), 3),
		data(span(80, 100), 0), l.watermark(110, 3))
	b.wantCoverage(w, span(80, 111))
	b.wantRows(append(chain(span(80, 98), 0), chain(span(98, 111), 3)...))
	if live := b.state(w).Live; live.Start != 98 || live.Seq != l.seq || live.Cursor.Hash != hashOf(110, 3) {
		b.Errorf("live state is %+v", live)
	}
}

func liveTakenOver(b *env, w sink.Writer) {
	second := b.writer()
	l := newLane()
	one, two, three := l.data(span(5, 8), 1), l.watermark(7, 1), l.data(span(8, 11), 1)
	b.apply(w, one, two)
	if a, c := b.state(w).Live, b.state(second).Live; a != c {
		b.Errorf("one writer reads %+v, the other %+v", a, c)
	}
	b.apply(second, two, three)
	b.wantSame(w, func() { b.apply(w, three) })
	b.apply(w, l.invalidate(8, 10), l.data(span(8, 9), 2))
	b.wantRows(append(chain(span(5, 8), 1), chain(span(8, 9), 2)...))
}

func liveParts(b *env, w sink.Writer) {
	l := newLane()
	rows := bigRows(50, 1, 11)
	var parts []item
	for _, p := range partsOf(50, "a", rows, 4) {
		parts = append(parts, l.next(p))
	}
	b.apply(w, parts[0], parts[1])
	b.wantCoverage(w)
	b.apply(w, parts...)
	b.apply(w, l.watermark(50, 1))
	b.wantCoverage(w, span(50, 51))
	b.wantRows(rows)
	if live := b.state(w).Live; live.Start != 50 || live.Cursor.Number != 50 {
		b.Errorf("live state is %+v", live)
	}
}

// reorgDuringHistory moves the live start down while goroutines write history
// on both sides of it.
func reorgDuringHistory(b *env, w sink.Writer) {
	rnd := b.random()
	writers := []sink.Writer{w, b.writer()}
	l := newLane()
	b.apply(writers[0], l.data(span(200, 220), 1), l.watermark(219, 1))
	orders := [3][]item{}
	for i := range orders {
		orders[i] = shuffled(rnd, cut(span(0, 200), block.Number(4+i)))
	}
	b.each(4, func(i int) error {
		if i < 3 {
			return b.retryAll(writers[i%2], orders[i], 2)
		}
		for fork, n := range []block.Number{210, 180, 150, 151, 120} {
			items := []item{l.invalidate(n, 229), l.data(span(n, 225), 2+fork), l.watermark(224, 2+fork)}
			if err := b.retryAll(writers[1], items, 1); err != nil {
				return err
			}
		}
		return nil
	})
	b.wantCoverage(writers[0], span(0, 225))
	b.wantRows(append(chain(span(0, 120), 0), chain(span(120, 225), 6)...))
}
