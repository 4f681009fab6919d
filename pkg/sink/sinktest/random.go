package sinktest

import (
	"math/rand/v2"
	"slices"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/sink"
)

var randomCases = []testCase{{"a random chain", randomChain}}

// story is a random chain: the entries that tell it, and how the table looks at
// the end.
type story struct {
	history []item // in no order, overlapping
	live    []item // in lane order
	rows    []Row
	covered block.Range
}

// write makes a story of history up to a live start and a live lane with
// reorgs, some of them deeper than the start. History is read once, before
// everything, so it is of fork 0; its entries reach over the live start, too.
func write(rnd *rand.Rand) story {
	const start, ahead = 300, 30
	var s story
	forks := make(map[block.Number]int)
	big := make(map[block.Number]bool) // of fork 0: comes in parts
	rows := func(n block.Number, fork int) []Row {
		if fork == 0 && big[n] {
			return bigRows(n, 0, 8)
		}
		return rowsOf(n, fork)
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
			s.live = append(s.live, l.invalidate(n, head-1))
			for k := n; k < head; k++ {
				delete(forks, k)
			}
			head, lowest = n, min(lowest, n)
			fork++
		case rnd.IntN(6) == 0:
			for _, p := range partsOf(head, "live", rowsOf(head, fork), 3) {
				s.live = append(s.live, l.next(p))
			}
			forks[head] = fork
			head++
		default:
			end := head + 1 + block.Number(rnd.IntN(6))
			s.live = append(s.live, l.data(span(head, end), fork))
			for ; head < end; head++ {
				forks[head] = fork
			}
		}
		if rnd.IntN(2) == 0 {
			s.live = append(s.live, l.watermark(head-1, fork))
		}
	}
	for n := range head {
		s.rows = append(s.rows, rows(n, forks[n])...)
	}
	s.covered = span(0, head)
	return s
}

// randomChain tells a story by five goroutines on three writers: one the live
// lane, the others history, in random portions, with repetitions and
// cancellations.
func randomChain(b *bed) {
	rnd := b.random()
	s := write(rnd)
	writers := []sink.Writer{b.writer(), b.writer(), b.writer()}
	history := shuffled(rnd, s.history)
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
func tellLive(b *bed, rnd *rand.Rand, writers []sink.Writer, live, history []item) error {
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
