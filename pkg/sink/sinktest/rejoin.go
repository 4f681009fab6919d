package sinktest

import (
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/sink"
)

// rejoinCases take a destination to another place of the live lane.
var rejoinCases = []testCase{
	{"it rejoins the lane further on", rejoinFurtherOn},
	{"it rejoins the lane of a later epoch", rejoinLaterEpoch},
	{"it rejoins with less than it had as history", rejoinBelowStart},
	{"it rejoins while a block has come in part", rejoinWithParts},
	{"it does not rejoin from elsewhere", rejoinFromElsewhere},
	{"a reorg below where it has rejoined", rejoinThenReorg},
	{"a cancelled rejoining", rejoinCancelled},
	{"it rejoins while history is written", rejoinDuringHistory},
}

// rejoin takes a destination from a state to behind the watermark of a block of a fork.
func (l *lane) rejoin(from sink.LiveState, keep, n block.Number, fork int) (item, sink.RejoinRequest) {
	mark := l.watermark(n, fork)
	r := sink.RejoinRequest{From: from, Keep: keep, To: sink.LiveState{
		Started: true, Epoch: l.epoch, Seq: mark.Seq, Start: n + 1, Cursor: block.Cursor{Network: mark.Network, Number: n, Hash: mark.Hash},
	}}
	return item{Change: sink.Rejoin(r)}, r
}

func rejoinFurtherOn(b *env, w sink.Writer) {
	l := newLane()
	b.apply(w, data(span(0, 10), 0), l.data(span(10, 20), 1), l.watermark(19, 1))
	l.data(span(20, 40), 2) // is missed
	move, r := l.rejoin(b.state(w).Live, 17, 49, 2)
	gone := uint64(len(chain(span(17, 20), 1)))
	if got := b.apply(w, move); got.Deleted != gone || got.Rows != 0 {
		b.Errorf("%d rows have left the chain, and it says %+v", gone, got)
	}
	if got := b.state(b.writer()).Live; got != r.To {
		b.Errorf("live state is %+v, want %+v", got, r.To)
	}
	b.wantCoverage(w, span(0, 17))
	b.wantRows(append(chain(span(0, 10), 0), chain(span(10, 17), 1)...))
	b.wantSame(w, func() { b.apply(w, move) })
	b.apply(w, l.data(span(50, 55), 2), l.watermark(54, 2), data(span(15, 30), 2))
	b.wantSame(w, func() { b.apply(w, move) })
	b.apply(w, data(span(30, 60), 2))
	b.wantCoverage(w, span(0, 55))
	b.wantRows(append(append(chain(span(0, 10), 0), chain(span(10, 17), 1)...), chain(span(17, 55), 2)...))
}

func rejoinLaterEpoch(b *env, w sink.Writer) {
	old := newLane()
	b.apply(w, old.data(span(10, 20), 1), old.watermark(19, 1))
	next := &lane{seq: 20, step: 1, epoch: 3} // lower sequences than those of the epoch before
	move, r := next.rejoin(b.state(w).Live, 20, 29, 1)
	b.apply(w, move)
	if got := b.state(w).Live; got != r.To {
		b.Errorf("live state is %+v, want %+v", got, r.To)
	}
	b.wantCoverage(w, span(10, 20))
	b.wantSame(w, func() { b.apply(w, old.data(span(20, 21), 1), move) })
	b.apply(w, next.data(span(30, 33), 1), data(span(0, 40), 1))
	b.wantCoverage(w, span(0, 33))
	b.wantRows(chain(span(0, 33), 1))
}

func rejoinBelowStart(b *env, w sink.Writer) {
	l := newLane()
	b.apply(w, data(span(0, 10), 0), l.data(span(10, 20), 1), l.watermark(19, 1))
	move, _ := l.rejoin(b.state(w).Live, 4, 14, 2)
	b.apply(w, move)
	b.wantCoverage(w, span(0, 4))
	b.wantRows(chain(span(0, 4), 0))
	b.apply(w, l.data(span(15, 22), 2), data(span(0, 20), 2), l.watermark(21, 2))
	b.wantCoverage(w, span(0, 22))
	b.wantRows(append(chain(span(0, 4), 0), chain(span(4, 22), 2)...))
}

func rejoinWithParts(b *env, w sink.Writer) {
	l := newLane()
	rows := bigRows(12, 0, 12)
	parts := partsOf(12, "a", rows, 3)
	b.apply(w, l.data(span(10, 12), 0), l.watermark(11, 0), l.next(parts[0]), l.next(parts[1]))
	move, _ := l.rejoin(b.state(w).Live, 12, 19, 0)
	b.apply(w, move)
	b.wantCoverage(w, span(10, 12))
	b.wantRows(chain(span(10, 12), 0))
	again := partsOf(12, "a", rows, 3)
	b.apply(w, again[2], l.data(span(20, 21), 0))
	b.wantCoverage(w, span(10, 12), span(20, 21))
	b.apply(w, again[0], again[1], data(span(13, 20), 0))
	b.wantCoverage(w, span(10, 21))
	b.wantRows(append(append(chain(span(10, 12), 0), rows...), chain(span(13, 21), 0)...))
}

// rejoinFromElsewhere: the lane has moved on since the request was made, was rolled back, or
// has not begun.
func rejoinFromElsewhere(b *env, w sink.Writer) {
	l := newLane()
	b.apply(w, data(span(0, 10), 0))
	later := *l
	later.seq += 100
	early, _ := later.rejoin(sink.LiveState{Started: true, Epoch: 1, Seq: l.seq, Start: 5}, 5, 30, 0)
	b.wantSame(w, func() { b.apply(w, early) })
	b.apply(w, l.data(span(10, 20), 1), l.watermark(19, 1))
	here := b.state(w).Live
	for _, change := range []func(*sink.LiveState){
		func(s *sink.LiveState) { s.Seq-- },
		func(s *sink.LiveState) { s.Epoch-- },
		func(s *sink.LiveState) { s.Start-- },
		func(s *sink.LiveState) { s.Cursor.Number-- },
		func(s *sink.LiveState) { s.Cursor.Hash[0] ^= 1 },
		func(s *sink.LiveState) { *s = sink.LiveState{} },
	} {
		from := here
		change(&from)
		move, _ := later.rejoin(from, 12, 30, 0)
		b.wantSame(w, func() { b.apply(w, move) })
	}
}

func rejoinThenReorg(b *env, w sink.Writer) {
	l := newLane()
	b.apply(w, data(span(0, 10), 0), l.data(span(10, 20), 1), l.watermark(19, 1))
	l.data(span(20, 30), 1) // is missed
	move, _ := l.rejoin(b.state(w).Live, 18, 39, 1)
	b.apply(w, move)
	b.apply(w, data(span(18, 35), 1), l.data(span(40, 42), 1))
	b.apply(w, l.invalidate(32, 41))
	if live := b.state(w).Live; live.Start != 32 || live.Cursor.Number != 31 {
		b.Errorf("live state is %+v", live)
	}
	b.wantCoverage(w, span(0, 10), span(10, 32))
	b.apply(w, data(span(30, 40), 1), l.data(span(32, 45), 2), l.watermark(44, 2))
	b.wantCoverage(w, span(0, 45))
	b.wantRows(append(append(chain(span(0, 10), 0), chain(span(10, 32), 1)...), chain(span(32, 45), 2)...))
}

func rejoinCancelled(b *env, w sink.Writer) {
	rnd := b.random()
	l := newLane()
	b.apply(w, data(span(0, 10), 0), l.data(span(10, 40), 1), l.watermark(39, 1))
	for n := block.Number(40); n < 100; n += 20 {
		l.data(span(n, n+5), 1) // is missed
		move, r := l.rejoin(b.state(w).Live, n-10, n+5, 1)
		if err := b.harass(rnd, w, move); err != nil {
			b.Fatal(err)
		}
		if got := b.state(w).Live; got != r.To {
			b.Errorf("live state is %+v, want %+v", got, r.To)
		}
		if err := b.harass(rnd, w, data(span(n-15, n+10), 1)); err != nil {
			b.Fatal(err)
		}
		b.apply(w, l.data(span(n+6, n+20), 1), l.watermark(n+19, 1))
	}
	b.wantCoverage(w, span(0, 100))
	b.wantRows(append(chain(span(0, 10), 0), chain(span(10, 100), 1)...))
}

func rejoinDuringHistory(b *env, w sink.Writer) {
	rnd := b.random()
	writers := []sink.Writer{w, b.writer()}
	l := newLane()
	b.apply(w, l.data(span(60, 70), 0), l.watermark(69, 0))
	l.data(span(70, 80), 0) // is missed
	move, _ := l.rejoin(b.state(w).Live, 65, 79, 0)
	work := [][]item{
		{move, l.data(span(80, 84), 0), l.watermark(83, 0), move},
		shuffled(rnd, cut(span(0, 60), 7)), shuffled(rnd, cut(span(0, 60), 5)),
	}
	b.each(len(work), func(i int) error { return b.retryAll(writers[i%2], work[i], 1) })
	b.apply(w, cut(span(0, 90), 11)...)
	b.wantCoverage(writers[1], span(0, 84))
	b.wantRows(chain(span(0, 84), 0))
}
