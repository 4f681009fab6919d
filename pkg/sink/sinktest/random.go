package sinktest

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/sink"
)

var (
	randomCases    = []testCase{{"a random chain", func(b *env, w sink.Writer) { tell(b, w, write(b.random(), false)) }}}
	randomKeyCases = []testCase{{"a random chain with few keys", func(b *env, w sink.Writer) { tell(b, w, write(b.random(), true)) }}}
)

// story is a random chain: the entries that tell it, and how the table looks at
// the end.
type story struct {
	history []item // in no order, overlapping
	live    []item // in lane order
	rows    []Row
	covered block.Range
	fewKeys bool
}

// write makes a story of history up to a live start and a live lane with
// reorgs, some of them deeper than the start. History is read once, before
// everything, so it is of fork 0; its entries reach over the live start, too.
// With few keys rows replace each other, and no reorg is deeper than the start.
func write(rnd *rand.Rand, fewKeys bool) story {
	const start, ahead = 300, 30
	s := story{fewKeys: fewKeys}
	forks := make(map[block.Number]int)
	big := make(map[block.Number]bool) // of fork 0: comes in parts
	rows := func(n block.Number, fork int) []Row {
		some := rowsOf(n, fork)
		if fork == 0 && big[n] {
			some = bigRows(n, 0, 8)
		}
		if fewKeys { // different ones in each block: its parts come in any order
			for i := range some {
				some[i].Key = fmt.Sprintf("key %d", (int(n)*5+fork*11+i)%40)
			}
		}
		return some
	}
	for range 12 {
		n := block.Number(rnd.IntN(start + ahead))
		if big[n] {
			// Two batches of one block whose parts alternate replace each other
			// and may leave it open, to be queued again: not what this is about.
			continue
		}
		big[n] = true
		s.history = append(s.history, partsOf(n, "a", rows(n, 0), 2+rnd.IntN(3))...)
	}
	entries := func(from, to block.Number, size int, whole bool) {
		for n := from; n < to; {
			end := min(to, n+1+block.Number(rnd.IntN(size)))
			if !whole {
				for k := n + 1; k < end; k++ {
					if big[k] {
						end = k
					}
				}
				if big[n] {
					n++
					continue
				}
			}
			var some []Row
			for k := n; k < end; k++ {
				some = append(some, rows(k, 0)...)
			}
			s.history = append(s.history, dataOf(span(n, end), some))
			n = end
		}
	}
	entries(0, start+ahead, 12, false)
	for range 4 { // read once more, cut otherwise
		from := block.Number(rnd.IntN(start))
		entries(from, from+block.Number(rnd.IntN(60)), 20, rnd.IntN(2) == 0)
	}
	for n := range block.Number(start) {
		forks[n] = 0
	}

	l := newLane()
	head, fork, lowest := block.Number(start), 1, block.Number(start)
	for step := 0; step < 60 || head < start+10; step++ {
		switch {
		case step > 3 && rnd.IntN(5) == 0:
			depth := 1 + block.Number(rnd.IntN(8))
			if rnd.IntN(4) == 0 {
				depth += block.Number(rnd.IntN(60))
			}
			n := max(1, head-min(depth, head))
			if fewKeys {
				n = max(n, start)
			}
			s.live = append(s.live, l.invalidate(n, head-1))
			for k := n; k < head; k++ {
				delete(forks, k)
			}
			head, lowest = n, min(lowest, n)
			fork++
		case rnd.IntN(6) == 0:
			for _, p := range partsOf(head, "live", rows(head, fork), 3) {
				s.live = append(s.live, l.next(p))
			}
			forks[head] = fork
			head++
		default:
			size := 1 + block.Number(rnd.IntN(6))
			end := head + size
			var some []Row
			for ; head < end; head++ {
				some = append(some, rows(head, fork)...)
				forks[head] = fork
			}
			it := dataOf(span(end-size, end), some)
			if rnd.IntN(2) == 0 {
				s.live = append(s.live, l.next(it.closing(fork)))
				continue
			}
			s.live = append(s.live, l.next(it))
		}
		if rnd.IntN(2) == 0 {
			s.live = append(s.live, l.watermark(head-1, fork))
		}
	}
	for n := range head {
		s.rows = append(s.rows, rows(n, forks[n])...)
	}
	if fewKeys {
		s.rows = latest(s.rows...)
	}
	s.covered = span(0, head)
	return s
}

// tell tells a story by five goroutines on three writers: one the live lane, the
// others history, in random portions, with repetitions and cancellations. With
// few keys the live lane begins, so that all that it replaces is kept.
func tell(b *env, w sink.Writer, s story) {
	rnd := b.random()
	writers := []sink.Writer{w, b.writer(), b.writer()}
	history := shuffled(rnd, s.history)
	if s.fewKeys {
		b.apply(writers[0], s.live[0])
	}
	var seeds [5]uint64
	for i := range seeds {
		seeds[i] = rnd.Uint64()
	}
	b.each(5, func(i int) error {
		rnd := rand.New(rand.NewPCG(seeds[i], 3))
		if i == 0 {
			return tellLive(b, rnd, writers, s.live, s.history)
		}
		mine := slices.Clone(history[len(history)*(i-1)/4 : len(history)*i/4])
		for len(mine) > 0 {
			n := min(len(mine), 1+rnd.IntN(6))
			if err := b.harass(rnd, writers[rnd.IntN(len(writers))], mine[:n]...); err != nil {
				return err
			}
			mine = mine[n:]
		}
		return nil
	})
	b.wantCoverage(writers[0], s.covered)
	b.wantRows(s.rows)
	// Everything once more, from the beginning, changes nothing.
	b.wantSame(writers[1], func() {
		b.apply(writers[2], s.live...)
		b.apply(writers[2], history...)
	})
}

// tellLive applies the live lane in order, going back now and then as after a
// crash, and mixes in some history.
func tellLive(b *env, rnd *rand.Rand, writers []sink.Writer, live, history []item) error {
	for at := 0; at < len(live); {
		n := min(len(live)-at, 1+rnd.IntN(5))
		items := slices.Clone(live[max(0, at-rnd.IntN(4)) : at+n])
		if rnd.IntN(3) == 0 {
			items = slices.Insert(items, rnd.IntN(len(items)+1), history[rnd.IntN(len(history))])
		}
		if err := b.harass(rnd, writers[rnd.IntN(len(writers))], items...); err != nil {
			return err
		}
		at += n
	}
	return nil
}
