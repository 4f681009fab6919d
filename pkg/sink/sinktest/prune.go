package sinktest

import (
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/sink"
)

// pruneCases drop old blocks for good, where a destination can.
var pruneCases = []testCase{
	{"pruned blocks stay away", prunedStayAway},
	{"blocks are pruned that have not come", prunedAhead},
	{"removals of pruned blocks", prunedRemoved},
	{"reorgs of pruned blocks", prunedReorg},
	{"an epoch that begins among pruned blocks", prunedEpoch},
	{"rejoining among pruned blocks", prunedRejoin},
	{"pruning while others write", prunedConcurrently},
}

// prune drops the blocks below n. It returns false if the destination cannot.
func (b *env) prune(w sink.Writer, n block.Number) (done sink.Pruned, can bool) {
	b.Helper()
	pruner, can := w.(sink.Pruner)
	if !can {
		return done, false
	}
	done, err := pruner.Prune(b.Context(), sink.PruneOptions{Before: n})
	if err != nil {
		b.Fatalf("prune: %v", err)
	}
	if got := b.state(w).Pruned; got != done.Before {
		b.Fatalf("blocks below %d are pruned, and it says %d", got, done.Before)
	}
	return done, true
}

func prunedStayAway(b *env, w sink.Writer) {
	parts := partsOf(4, "a", bigRows(4, 0, 12), 3)
	all := []item{data(span(0, 4), 0), parts[0], data(span(5, 30), 0), data(span(40, 50), 0)}
	b.apply(w, all...)
	if pruner, can := w.(sink.Pruner); can {
		b.wantSame(w, func() {
			dry, err := pruner.Prune(b.Context(), sink.PruneOptions{Before: 13, Dry: true})
			if err != nil || dry.Before != 13 || (dry.Rows == 0 && len(dry.Partitions) == 0) {
				b.Errorf("a dry run: %+v, %v", dry, err)
			}
		})
	}
	if _, can := b.prune(w, 13); !can {
		return
	}
	want := append(chain(span(13, 30), 0), chain(span(40, 50), 0)...)
	b.wantRows(want)
	b.wantCoverage(b.writer(), span(0, 30), span(40, 50))
	b.wantSame(w, func() {
		b.apply(w, all...)
		b.apply(w, parts...)
		b.apply(w, data(span(0, 20), 1))
		b.prune(w, 13)
	})
	if done, _ := b.prune(w, 5); done.Before != 13 || done.Rows != 0 {
		b.Errorf("pruned again below an earlier number: %+v", done)
	}
	b.prune(w, 45)
	b.apply(w, data(span(0, 60), 0))
	b.wantRows(chain(span(45, 60), 0))
	b.wantCoverage(w, span(0, 60))
}

func prunedAhead(b *env, w sink.Writer) {
	if _, can := b.prune(w, 20); !can {
		return
	}
	b.wantCoverage(w, span(0, 20))
	b.apply(w, data(span(10, 25), 0), data(span(0, 10), 0))
	b.wantRows(chain(span(20, 25), 0))
	b.wantCoverage(w, span(0, 25))
}

func prunedRemoved(b *env, w sink.Writer) {
	l := newLane()
	b.apply(w, data(span(0, 30), 0), l.data(span(30, 35), 0), l.watermark(34, 0))
	if _, can := b.prune(w, 12); !can {
		return
	}
	b.wantSame(w, func() { b.apply(w, removal(0, 12)) })
	b.apply(w, removal(5, 20))
	b.wantCoverage(w, span(0, 12), span(20, 35))
	b.wantRows(chain(span(20, 35), 0))
	b.apply(w, data(span(0, 30), 0))
	b.wantRows(chain(span(12, 35), 0))
	b.wantCoverage(w, span(0, 35))
}

func prunedReorg(b *env, w sink.Writer) {
	l := newLane()
	b.apply(w, data(span(0, 10), 0), l.data(span(10, 20), 1), l.watermark(19, 1))
	if _, can := b.prune(w, 15); !can {
		return
	}
	b.apply(w, l.invalidate(7, 19))
	b.wantRows(nil)
	b.wantCoverage(w, span(0, 15))
	if live := b.state(w).Live; live.Start != 7 || live.Cursor.Number != 6 {
		b.Errorf("live state is %+v", live)
	}
	b.apply(w, l.data(span(7, 12), 2), l.watermark(11, 2), l.data(span(12, 22), 2), l.watermark(21, 2), data(span(0, 30), 0))
	b.wantRows(chain(span(15, 22), 2))
	b.wantCoverage(w, span(0, 22))
	b.apply(w, l.invalidate(20, 21), l.data(span(20, 24), 3), l.watermark(23, 3))
	b.wantRows(append(chain(span(15, 20), 2), chain(span(20, 24), 3)...))
}

func prunedEpoch(b *env, w sink.Writer) {
	old := newLane()
	b.apply(w, data(span(0, 10), 0), old.data(span(10, 20), 1), old.watermark(19, 1))
	if _, can := b.prune(w, 15); !can {
		return
	}
	next := &lane{seq: 0, step: 1, epoch: 3}
	b.apply(w, next.data(span(30, 33), 2), next.watermark(32, 2)) // what the lane had brought is void
	b.wantCoverage(w, span(0, 15), span(30, 33))
	b.apply(w, data(span(0, 30), 2))
	b.wantRows(chain(span(15, 33), 2))
	b.wantCoverage(w, span(0, 33))
}

func prunedRejoin(b *env, w sink.Writer) {
	l := newLane()
	b.apply(w, data(span(0, 10), 0), l.data(span(10, 20), 1), l.watermark(19, 1))
	if _, can := b.prune(w, 18); !can {
		return
	}
	move, _ := l.rejoin(b.state(w).Live, 12, 29, 2)
	b.apply(w, move)
	b.wantRows(nil)
	b.wantCoverage(w, span(0, 18))
	b.apply(w, data(span(0, 40), 2), l.data(span(30, 32), 2), l.watermark(31, 2))
	b.wantRows(chain(span(18, 32), 2))
	b.wantCoverage(w, span(0, 32))
}

func prunedConcurrently(b *env, w sink.Writer) {
	rnd := b.random()
	writers := []sink.Writer{w, b.writer()}
	if _, can := w.(sink.Pruner); !can {
		return
	}
	const end = 120
	work := make([][]item, 4)
	for i := range work {
		work[i] = shuffled(rnd, cut(span(0, end), block.Number(4+i)))
	}
	b.each(len(work)+1, func(i int) error {
		if i < len(work) {
			return b.retryAll(writers[i%2], work[i], 2)
		}
		for n := block.Number(10); n <= end/2; n += 10 {
			if _, err := writers[1].(sink.Pruner).Prune(b.Context(), sink.PruneOptions{Before: n}); err != nil {
				return err
			}
		}
		return nil
	})
	b.wantRows(chain(span(end/2, end), 0))
	b.wantCoverage(w, span(0, end))
}
