package sinktest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
)

var faultCases = []testCase{
	{"a cancelled call does nothing", cancelled},
	{"cancelled in the middle", cancelledMidway},
	{"cut off in the middle", cutOff},
	{"a refused row is named and nothing is written", refusedRow},
	{"a block is written without a refused row", withoutRefusedRow},
	{"refused half way, and repeated", refusedHalfWay},
}

func cancelled(b *env, w sink.Writer) {
	b.apply(w, data(span(0, 5), 0))
	b.wantSame(w, func() {
		ctx, cancel := context.WithCancel(b.Context())
		cancel()
		if _, err := b.try(ctx, w, data(span(5, 10), 0)); err == nil || fault.Of(err) == fault.ClassPermanent {
			b.Errorf("a cancelled call answers %v", err)
		}
	})
	b.apply(w, data(span(5, 10), 0))
	b.wantRows(chain(span(0, 10), 0))
}

// cancelledMidway cancels calls after ever longer times, so that some of them
// are hit before, some in and some after the commit.
func cancelledMidway(b *env, w sink.Writer) {
	const calls = 24
	for i := range block.Number(calls) {
		var items []item
		for n := i * 100; n < i*100+100; n += 10 {
			items = append(items, data(span(n, n+10), 0))
		}
		ctx, cancel := context.WithTimeout(b.Context(), time.Duration(i)*250*time.Microsecond)
		_, err := b.try(ctx, w, items...)
		cancel()
		if fault.Of(err) == fault.ClassPermanent && err != nil {
			b.Fatalf("a cancelled call is answered with a permanent error: %v", err)
		}
		b.wantConsistent(w, 0)
		if err := b.retry(w, slices.Concat(items[5:], items[:5])...); err != nil {
			b.Fatal(err)
		}
		b.wantConsistent(w, 0)
	}
	b.wantCoverage(w, span(0, calls*100))
	b.wantRows(chain(span(0, calls*100), 0))
}

// cutOff kills the connections while four goroutines write.
func cutOff(b *env, w sink.Writer) {
	killer, ok := b.dest.(Killer)
	if !ok {
		b.Log("this destination has no connections to lose")
		return
	}
	rnd := b.random()
	writers := []sink.Writer{w, b.writer()}
	work := [4][]item{}
	for i := range work {
		work[i] = shuffled(rnd, cut(span(0, 400), 10))
	}
	progress := make(chan struct{}, 16*len(work[0]))
	killed := make(chan struct{})
	go func() {
		defer close(killed)
		n := 0
		for range progress {
			n++
			if n%20 == 0 {
				killer.Kill(b)
			}
		}
	}()
	b.each(len(work), func(i int) error {
		for some := range slices.Chunk(work[i], 2) {
			progress <- struct{}{}
			if err := b.retry(writers[i%2], some...); err != nil {
				return err
			}
		}
		return nil
	})
	close(progress)
	<-killed
	// The last kill may have hit a connection that nobody was using.
	if err := b.retry(writers[0], work[0][0]); err != nil {
		b.Fatal(err)
	}
	if err := b.retry(writers[1], work[1][0]); err != nil {
		b.Fatal(err)
	}
	b.wantRows(chain(span(0, 400), 0))
	b.wantCoverage(writers[0], span(0, 400))
}

func refusedRow(b *env, w sink.Writer) {
	refuser, ok := b.dest.(Refuser)
	if !ok {
		b.Log("this destination refuses no row of the suite's table")
		return
	}
	b.apply(w, data(span(0, 5), 0))
	bad, column := refuser.Refused()
	rows := bigRows(21, 0, 9)
	bad.Block, bad.Index = 21, rows[4].Index
	rows[4] = bad
	rows = append(bigRows(20, 0, 3), rows...)
	// The place is that in the entry, also when part of it is not written.
	b.apply(w, dataOf(span(20, 21), bigRows(20, 0, 3)))
	b.wantSame(w, func() {
		_, err := b.try(b.Context(), w, data(span(5, 10), 0), dataOf(span(20, 25), rows), data(span(10, 15), 0))
		var at *sink.BadRowError
		if !errors.As(err, &at) || fault.Of(err) != fault.ClassPermanent {
			b.Fatalf("a row that cannot be held is answered with %v", err)
		}
		if at.Block != 21 || at.Row != 7 || at.Column != column || at.Reason == "" {
			b.Errorf("row 7, of block 21, column %q, is refused as %v", column, at)
		}
	})
	b.apply(w, data(span(5, 10), 0), data(span(10, 15), 0))
	b.wantCoverage(w, span(0, 15), span(20, 21))
}

// withoutRefusedRow applies entries again without their refused rows, as the apply loop does
// with dead letters. The blocks are covered then, and when the whole entries come once
// more, nobody looks at their rows.
func withoutRefusedRow(b *env, w sink.Writer) {
	refuser, ok := b.dest.(Refuser)
	if !ok {
		b.Log("this destination refuses no row of the suite's table")
		return
	}
	bad := func(rows []Row, at int) {
		row, _ := refuser.Refused()
		row.Block, row.Index = rows[at].Block, rows[at].Index
		rows[at] = row
	}
	rows := slices.Concat(bigRows(20, 0, 3), bigRows(21, 0, 9), bigRows(24, 0, 2))
	bad(rows, 0)
	bad(rows, 7)
	big := bigRows(30, 0, 9)
	bad(big, 6)
	whole := append([]item{dataOf(span(20, 25), rows)}, partsOf(30, "batch", big, 2)...)
	for _, it := range whole {
		rest := it
		rest.rows = slices.DeleteFunc(slices.Clone(it.rows), func(r Row) bool { return !strings.HasPrefix(r.Key, "big") })
		rest.Rows = len(rest.rows)
		if rest.Rows < it.Rows {
			if _, err := b.try(b.Context(), w, it); err == nil {
				b.Fatalf("the entry of blocks %v was taken with a row that cannot be held", it.Range)
			}
		}
		b.apply(w, rest)
	}
	b.wantCoverage(w, span(20, 25), span(30, 31))
	b.wantRows(slices.Concat(rows[1:7], rows[8:], big[:6], big[7:]))
	b.wantSame(w, func() {
		for _, it := range whole {
			if _, err := b.try(b.Context(), w, it); err != nil {
				b.Errorf("the entry of blocks %v came once more: %v", it.Range, err)
			}
		}
	})
}

// refusedHalfWay has a destination refuse one row after others were written, several
// times, whole or as a part of a block: in the end each row is there once, and a reorg
// leaves none.
func refusedHalfWay(b *env, w sink.Writer) {
	obstructor, ok := b.dest.(Obstructor)
	if !ok {
		b.Log("this destination cannot be kept from taking one row")
		return
	}
	b.apply(w, data(span(0, 5), 0))
	// The indexes of the rows that are refused are of no other row.
	rows, big := append(chain(span(5, 20), 0), Row{Key: "last", Block: 19, Index: 900}), bigRows(20, 0, 9)
	big[3].Index, big[8].Index = 901, 902
	items := append([]item{dataOf(span(5, 20), rows)}, partsOf(20, "batch", big, 2)...)
	for i, it := range items {
		lift := obstructor.Obstruct(b, it.rows[len(it.rows)-1])
		if lift == nil {
			b.Log("this destination cannot be kept from taking one row")
			return
		}
		for range 3 {
			if _, err := b.try(b.Context(), w, it); err == nil {
				b.Fatalf("entry %d: a row was taken that had to be refused", i)
			}
			if state := b.state(w); state.Coverage.Has(it.Range.Start) {
				b.Fatalf("entry %d: what was refused is covered: %v", i, state.Coverage)
			}
		}
		lift()
		b.apply(w, it)
	}
	b.wantRows(slices.Concat(chain(span(0, 5), 0), rows, big))
	b.wantCoverage(w, span(0, 21))
	l := newLane()
	b.apply(w, l.data(span(21, 25), 0), l.invalidate(7, 24))
	b.wantRows(chain(span(0, 7), 0))
	b.wantCoverage(w, span(0, 7))
}
