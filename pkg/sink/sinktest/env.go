package sinktest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
)

// env is what a case works on: a fresh destination and shorthands.
type env struct {
	testing.TB
	dest  Destination
	setup Setup
	mem   *lender
}

func newEnv(t testing.TB, open Open, s Setup) *env {
	b := &env{TB: t, dest: open(t, s), setup: s, mem: new(lender)}
	t.Cleanup(func() {
		if n := b.mem.lent.Load(); n != 0 {
			t.Errorf("%d bytes of borrowed records were kept after Apply had returned", n)
		}
	})
	return b
}

// item is a change and the rows of its records, which are made anew for each
// Apply.
type item struct {
	sink.Change
	rows []Row
}

// data returns an entry of history that holds the rows of r.
func data(r block.Range, fork int) item { return dataOf(r, chain(r, fork)) }

func dataOf(r block.Range, rows []Row) item {
	h := entry.Header{Kind: entry.Data, Epoch: 1, Network: "suitenet", Range: r, Rows: len(rows), End: r.End}
	return item{sink.Change{Header: h}, rows}
}

// span returns the half-open range of blocks [start, end).
func span(start, end block.Number) block.Range { return block.Range{Start: start, End: end} }

// partsOf returns a block as entries of one batch.
func partsOf(n block.Number, batch string, rows []Row, parts int) []item {
	items := make([]item, parts)
	for i := range items {
		items[i] = dataOf(span(n, n+1), rows[len(rows)*i/parts:len(rows)*(i+1)/parts])
		items[i].Part, items[i].Parts, items[i].Batch = i, parts, batch
	}
	return items
}

// bigRows returns the rows of a block that is worth splitting.
func bigRows(n block.Number, fork, count int) []Row {
	rows := make([]Row, count)
	for i := range rows {
		rows[i] = Row{Key: fmt.Sprintf("big%d.%d.%d", n, fork, i), Block: n, Index: int32(i), Value: int64(fork)}
	}
	return rows
}

// writer opens a Writer.
func (b *env) writer() sink.Writer {
	b.Helper()
	w := b.dest.Writer(b)
	if err := w.Open(b.Context(), table()); err != nil {
		b.Fatalf("open: %v", err)
	}
	b.Cleanup(func() {
		if err := w.Close(); err != nil {
			b.Errorf("close: %v", err)
		}
	})
	return w
}

// try applies items once.
func (b *env) try(ctx context.Context, w sink.Writer, items ...item) (sink.Applied, error) {
	changes := make([]sink.Change, len(items))
	for i, it := range items {
		it.Records = records(b.mem, it.rows)
		defer func() {
			for _, rec := range it.Records {
				rec.Release()
			}
		}()
		changes[i] = it.Change
	}
	return w.Apply(ctx, changes)
}

// apply applies items when nothing is in the way.
func (b *env) apply(w sink.Writer, items ...item) sink.Applied {
	b.Helper()
	applied, err := b.try(b.Context(), w, items...)
	if err != nil {
		b.Fatalf("apply: %v", err)
	}
	var rows uint64
	for _, it := range items {
		rows += uint64(len(it.rows))
	}
	if applied.Rows+applied.Skipped > rows || len(b.setup.Key) == 0 && applied.Rows+applied.Skipped != rows {
		b.Errorf("apply of %d rows: %d were written and %d skipped", rows, applied.Rows, applied.Skipped)
	}
	return applied
}

// retry applies items as the apply loop would, until it succeeds. It may be called by
// any goroutine.
func (b *env) retry(w sink.Writer, items ...item) error {
	return fault.Retry(b.Context(), fault.Backoff{Attempts: 20, Min: 2 * time.Millisecond, Max: 500 * time.Millisecond},
		func(ctx context.Context) error {
			_, err := b.try(ctx, w, items...)
			return err
		}, nil)
}

// retryAll retries items, n of them at a time.
func (b *env) retryAll(w sink.Writer, items []item, n int) error {
	for some := range slices.Chunk(items, n) {
		if err := b.retry(w, some...); err != nil {
			return err
		}
	}
	return nil
}

// harass is retry, but some of the first attempts are cancelled on the way.
func (b *env) harass(rnd *rand.Rand, w sink.Writer, items ...item) error {
	for range rnd.IntN(3) {
		ctx, cancel := context.WithTimeout(b.Context(), time.Duration(rnd.IntN(3000))*time.Microsecond)
		_, err := b.try(ctx, w, items...)
		cancel()
		if err != nil && fault.Of(err) == fault.ClassPermanent {
			return fmt.Errorf("a cancelled call is answered with a permanent error: %w", err)
		}
	}
	return b.retry(w, items...)
}

func (b *env) state(w sink.Writer) sink.State {
	b.Helper()
	s, err := w.State(b.Context())
	if err != nil {
		b.Fatalf("state: %v", err)
	}
	return s
}

func (b *env) rows() []Row {
	b.Helper()
	rows, err := b.dest.Rows(b.Context())
	if err != nil {
		b.Fatalf("read rows: %v", err)
	}
	return rows
}

// wantRows compares the table with rows, in any order.
func (b *env) wantRows(want []Row) {
	b.Helper()
	got, want := sorted(b.rows()), sorted(want)
	if slices.Equal(got, want) {
		return
	}
	count := make(map[Row]int)
	for _, r := range want {
		count[r]++
	}
	for _, r := range got {
		count[r]--
	}
	shown := 0
	for _, r := range slices.Concat(want, got) {
		if n := count[r]; n != 0 && shown < 5 {
			b.Errorf("row %+v: wanted %d more of it", r, n)
			count[r] = 0
			shown++
		}
	}
	b.Fatalf("the table holds %d rows, want %d", len(got), len(want))
}

// wantCoverage compares what is covered with ranges.
func (b *env) wantCoverage(w sink.Writer, ranges ...block.Range) {
	b.Helper()
	if got, want := b.state(w).Coverage, block.NewSet(ranges...); !got.Equal(want) {
		b.Fatalf("coverage is %v, want %v", got, want)
	}
}

// wantSame fails unless f leaves rows and state alone.
func (b *env) wantSame(w sink.Writer, f func()) {
	b.Helper()
	state, rows := b.state(w), b.rows()
	f()
	now := b.state(w)
	if !now.Coverage.Equal(state.Coverage) || now.Live != state.Live {
		b.Fatalf("state went from %+v to %+v", state, now)
	}
	b.wantRows(rows)
}

// wantConsistent fails unless the table holds the rows of the covered blocks
// and no others. A commit may arrive while it looks: then it looks again.
func (b *env) wantConsistent(w sink.Writer, fork int) {
	b.Helper()
	for {
		before, got := b.state(w).Coverage, sorted(b.rows())
		if !before.Equal(b.state(w).Coverage) {
			continue
		}
		var want []Row
		for _, r := range before.Ranges() {
			want = append(want, chain(r, fork)...)
		}
		if !slices.Equal(got, sorted(want)) {
			b.Fatalf("%d rows are there and coverage %v stands for %d: they were not committed together", len(got), before, len(want))
		}
		return
	}
}

func sorted(rows []Row) []Row {
	return slices.SortedFunc(slices.Values(rows), func(a, b Row) int {
		return cmp.Or(cmp.Compare(a.Block, b.Block), cmp.Compare(a.Index, b.Index), cmp.Compare(a.Key, b.Key), cmp.Compare(a.Value, b.Value))
	})
}

// each runs f(0) to f(n-1) at the same time and waits for all of them.
func (b *env) each(n int, f func(i int) error) {
	b.Helper()
	done := make(chan error, n)
	for i := range n {
		go func() { done <- f(i) }()
	}
	var all []error
	for range n {
		all = append(all, <-done)
	}
	if err := errors.Join(all...); err != nil {
		b.Fatal(err)
	}
}

// shuffled returns items in another order, some of them twice.
func shuffled(rnd *rand.Rand, items []item) []item {
	out := slices.Clone(items)
	for range len(items) / 3 {
		out = append(out, items[rnd.IntN(len(items))])
	}
	rnd.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

// random returns a source of its own, whose seed is printed if the case fails.
func (b *env) random() *rand.Rand {
	b.Helper()
	seed := rand.Uint64()
	b.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 2))
}
