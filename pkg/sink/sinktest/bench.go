package sinktest

import (
	"fmt"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/sink"
)

// Bench measures Apply in rows per second: fresh rows in calls of several
// sizes, entries that were applied before, and upserts of which none or half
// replace a row, for good or, on the live lane, until they are undone. The rows are those of [Schema], about 35 bytes each.
func Bench(b *testing.B, open Open) {
	byKey := Setup{Mode: config.Upsert, Key: []string{"key"}}
	history := func(it item) item { return it }
	for _, rows := range []int{1_000, 10_000, 50_000} {
		b.Run(fmt.Sprintf("append/%d", rows), func(b *testing.B) { bench(b, open, appended.setup, rows, fresh, history) })
	}
	b.Run("append/again", func(b *testing.B) { benchAgain(b, open, appended.setup, 10_000) })
	b.Run("upsert/fresh", func(b *testing.B) {
		bench(b, open, Setup{Mode: config.Upsert, Key: byBlock}, 10_000, fresh, history)
	})
	b.Run("upsert/unique", func(b *testing.B) { bench(b, open, byKey, 10_000, fresh, history) })
	b.Run("upsert/half", func(b *testing.B) { bench(b, open, byKey, 10_000, replacing, history) })
	b.Run("upsert/half live", func(b *testing.B) { bench(b, open, byKey, 10_000, replacing, newLane().next) })
}

// fresh and replacing make the key of a row of a block: one of its own or, for an odd
// row, that of an even one of the block before.
func fresh(n block.Number, i int) string     { return fmt.Sprintf("%d.%d", n, i) }
func replacing(n block.Number, i int) string { return fmt.Sprintf("%d.%d", int(n)-i%2, i/2) }

// perEntry is the rows of one entry: about a megabyte of logs.
const perEntry = 2_500

// entryOf returns an entry of one block.
func entryOf(n block.Number, rows int, key func(i int) string) item {
	some := make([]Row, rows)
	for i := range some {
		some[i] = Row{Key: key(i), Block: n, Index: int32(i), Value: int64(i)}
	}
	return dataOf(span(n, n+1), some)
}

func bench(b *testing.B, open Open, s Setup, rows int, key func(block.Number, int) string, lane func(item) item) {
	w := openFor(b, open, s)
	next := block.Number(0)
	measure(b, rows, func() {
		b.StopTimer()
		var items []item
		for left := rows; left > 0; left -= perEntry {
			items = append(items, lane(entryOf(next, min(left, perEntry), func(i int) string { return key(next, i) })))
			next++
		}
		applyTimed(b, w, items)
	})
}

func benchAgain(b *testing.B, open Open, s Setup, rows int) {
	w := openFor(b, open, s)
	var items []item
	for n := range block.Number(rows / perEntry) {
		items = append(items, entryOf(n, perEntry, func(i int) string { return fmt.Sprint(i) }))
	}
	applyTimed(b, w, items)
	b.ResetTimer()
	measure(b, rows, func() {
		b.StopTimer()
		applyTimed(b, w, items)
	})
}

func openFor(b *testing.B, open Open, s Setup) sink.Writer {
	w := open(b, s).Writer(b)
	if err := w.Open(b.Context(), table()); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := w.Close(); err != nil {
			b.Error(err)
		}
	})
	return w
}

func measure(b *testing.B, rows int, f func()) {
	b.ReportAllocs()
	for range b.N {
		f()
	}
	b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

// applyTimed runs the clock during Apply only.
func applyTimed(b *testing.B, w sink.Writer, items []item) {
	changes := make([]sink.Change, 0, len(items))
	for _, it := range items {
		it.Records = records(memory.DefaultAllocator, it.rows)
		changes = append(changes, it.Change)
	}
	b.StartTimer()
	_, err := w.Apply(b.Context(), changes)
	b.StopTimer()
	for _, c := range changes {
		for _, rec := range c.Records {
			rec.Release()
		}
	}
	if err != nil {
		b.Fatal(err)
	}
}
