package sinktest

import (
	"errors"
	"slices"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/sink"
)

func laterEpoch(b *env, w sink.Writer) {
	old := newLane()
	b.apply(w, old.data(span(10, 20), 1), old.watermark(19, 1))
	next := &lane{seq: 0, step: 1, epoch: 2}
	undo, again, mark := next.invalidate(15, 19), next.data(span(15, 22), 2), next.watermark(21, 2)
	b.wantSame(w, func() {
		if _, err := b.try(b.Context(), w, again); !errors.Is(err, sink.ErrGap) {
			b.Errorf("the second entry of a later epoch without the first: %v, want ErrGap", err)
		}
	})
	b.apply(w, undo, again, mark)
	b.wantSame(w, func() { b.apply(w, old.data(span(20, 21), 1), undo) })
	b.wantRows(append(chain(span(10, 15), 1), chain(span(15, 22), 2)...))
	if live := b.state(w).Live; live.Epoch != 2 || live.Seq != mark.Seq {
		b.Errorf("live state is %+v", live)
	}
}

func epochAbove(b *env, w sink.Writer) {
	old := newLane()
	b.apply(w, data(span(0, 10), 0), old.data(span(10, 20), 1), old.watermark(19, 1))
	next := &lane{seq: 0, step: 1, epoch: 2}
	b.apply(w, next.invalidate(30, 30))
	b.wantCoverage(w, span(0, 10))
	b.wantRows(chain(span(0, 10), 0))
	if live := b.state(w).Live; live.Start != 30 || live.Epoch != 2 || live.Cursor.Number != 29 {
		b.Errorf("live state is %+v", live)
	}
	// What lies between is the history's now; the live lane continues from its start.
	b.apply(w, data(span(5, 40), 2), next.data(span(30, 33), 2), next.watermark(32, 2))
	b.wantCoverage(w, span(0, 33))
	b.wantRows(append(chain(span(0, 10), 0), chain(span(10, 33), 2)...))
}

// begins returns the first entry of a later epoch, which begins at block n after the block
// of a fork.
func (l *lane) begins(n, last block.Number, fork int) item {
	it := l.invalidate(n, last)
	it.Prev = hashOf(n-1, fork)
	return it
}

// epochOnAnotherFork: the block of the cursor was replaced while nobody told the
// destination, so that nothing vouches for what lies below it, down to the live start.
func epochOnAnotherFork(b *env, w sink.Writer) {
	old := newLane()
	b.apply(w, data(span(0, 10), 0), old.data(span(10, 20), 1), old.watermark(19, 1))
	next := &lane{step: 1, epoch: 2}
	first := next.begins(20, 20, 2)
	b.apply(w, first)
	b.wantCoverage(w, span(0, 10))
	b.wantRows(chain(span(0, 10), 0))
	want := sink.LiveState{Started: true, Epoch: 2, Seq: first.Seq, Start: 20,
		Cursor: block.Cursor{Network: "suitenet", Number: 19, Hash: hashOf(19, 2)}}
	if got := b.state(w).Live; got != want {
		b.Errorf("live state is %+v, want %+v", got, want)
	}
	b.wantSame(w, func() { b.apply(w, first) })
	b.apply(w, data(span(5, 30), 2), next.data(span(20, 23), 2), next.watermark(22, 2))
	b.wantCoverage(w, span(0, 23))
	b.wantRows(append(chain(span(0, 10), 0), chain(span(10, 23), 2)...))
}

// epochOnTheSameFork: a cursor that the epoch begins behind vouches for what lies below
// it, and so does one above, which the planner has compared with the chain.
func epochOnTheSameFork(b *env, w sink.Writer) {
	old := newLane()
	b.apply(w, data(span(0, 10), 0), old.data(span(10, 20), 1), old.watermark(19, 1))
	for _, c := range []struct {
		epoch uint64
		first func(*lane) item
		keeps block.Number // blocks below this one stay
	}{
		{2, func(l *lane) item { return l.begins(20, 20, 1) }, 20},
		{3, func(l *lane) item { it := l.begins(20, 20, 1); it.Prev = block.Hash{}; return it }, 20},
		{4, func(l *lane) item { return l.begins(17, 19, 2) }, 17},
	} {
		b.apply(w, c.first(&lane{step: 1, epoch: c.epoch}))
		b.wantCoverage(w, span(0, c.keeps))
		b.wantRows(append(chain(span(0, 10), 0), chain(span(10, c.keeps), 1)...))
		if live := b.state(w).Live; live.Start != 10 || live.Epoch != c.epoch || live.Cursor.Number != c.keeps-1 {
			b.Errorf("epoch %d: live state is %+v", c.epoch, live)
		}
	}
}

// epochAtOnce: what an epoch voids depends on the entries before it in the same call.
func epochAtOnce(b *env, w sink.Writer) {
	old := newLane()
	b.apply(w, data(span(0, 10), 0), old.data(span(10, 20), 1), old.watermark(19, 1))
	next := &lane{step: 1, epoch: 2}
	b.apply(w,
		old.data(span(20, 22), 1), old.watermark(21, 1), old.invalidate(16, 21), // the cursor is the block 15 of fork 0
		next.begins(18, 18, 0), next.data(span(18, 21), 2), next.watermark(20, 2), // above it
		data(span(8, 19), 2))
	b.wantCoverage(w, span(0, 21))
	b.wantRows(append(chain(span(0, 10), 0), chain(span(10, 21), 2)...))
	if live := b.state(w).Live; live.Start != 18 || live.Epoch != 2 || live.Cursor.Hash != hashOf(20, 2) {
		b.Errorf("live state is %+v", live)
	}
	third := &lane{step: 1, epoch: 3}
	b.apply(w, next.data(span(21, 25), 2), next.watermark(24, 2), third.begins(25, 25, 3), third.data(span(25, 26), 3))
	b.wantCoverage(w, span(0, 18), span(25, 26))
	b.wantRows(slices.Concat(chain(span(0, 10), 0), chain(span(10, 18), 2), chain(span(25, 26), 3)))
}
