package entry_test

import (
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/sink/sinktest"
)

func mustCutter(t testing.TB, schema *arrow.Schema, column int, r block.Range, target, limit int) *entry.Cutter {
	t.Helper()
	c, err := entry.NewCutter(entry.CutOptions{
		Range: r, Column: column, Target: target,
		Header:  entry.Header{Epoch: 3, Network: "mainnet"},
		Encoder: mustEncoder(t, schema, entry.S2, limit),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Release)
	return c
}

// mustCut cuts all that there is.
func mustCut(t testing.TB, c *entry.Cutter, recs []arrow.RecordBatch) (groups []entry.Group) {
	t.Helper()
	for _, rec := range recs {
		made, err := c.Push(rec)
		if err != nil {
			t.Fatal(err)
		}
		groups = append(groups, made...)
	}
	made, err := c.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return append(groups, made...)
}

// ascending returns n sorted block numbers of [from, to), with repetitions.
func ascending(rnd *rand.Rand, n int, from, to block.Number) []block.Number {
	out := make([]block.Number, 0, n)
	at := from
	for range n {
		switch rnd.IntN(12) {
		case 0:
			at += block.Number(rnd.IntN(5))
		case 1:
			at++
		}
		out = append(out, min(at, to-1))
	}
	return out
}

// mustCover checks what the contract says of the groups of a range and returns
// all their rows.
func mustCover(t *testing.T, groups []entry.Group, r block.Range, column, limit int) []arrow.RecordBatch {
	t.Helper()
	var rows []arrow.RecordBatch
	next := r.Start
	dec := entry.NewDecoder(nil)
	for _, g := range groups {
		for i, e := range g {
			if e.Range.Start != next || e.Range.Empty() {
				t.Fatalf("entry covers %v, the one before ended at %d", e.Range, next)
			}
			if (len(g) == 1 && !e.Whole()) || (len(g) > 1 && (e.Part != i || e.Parts != len(g) || e.Batch != g[0].Batch || e.Range.Len() != 1)) {
				t.Fatalf("entry %d of %d in its group has header %+v", i, len(g), e.Header)
			}
			if len(e.Payload) > limit {
				t.Fatalf("payload has %d bytes, the limit is %d", len(e.Payload), limit)
			}
			if e.Epoch != 3 || e.Network != "mainnet" || e.End < e.Range.End {
				t.Fatalf("header is %+v", e.Header)
			}
			_, recs, err := dec.Decode(e)
			if err != nil {
				t.Fatal(err)
			}
			for _, rec := range recs {
				for row := range int(rec.NumRows()) {
					if n := blockOf(rec, column, row); !e.Range.Has(n) {
						t.Fatalf("entry %v holds a row of block %d", e.Range, n)
					}
				}
			}
			rows = append(rows, recs...)
		}
		next = g[0].Range.End
	}
	if next != r.End {
		t.Fatalf("entries end at %d, the range is %v", next, r)
	}
	return rows
}

func blockOf(rec arrow.RecordBatch, column, row int) block.Number {
	switch col := rec.Column(column).(type) {
	case *array.Uint64:
		return block.Number(col.Value(row))
	default:
		return block.Number(col.(*array.Int64).Value(row))
	}
}

// TestCutterKeepsEverything cuts random rows, in random batches, with random
// targets and limits: all rows come out, in order, the ranges partition the
// range, and nothing exceeds the limit.
func TestCutterKeepsEverything(t *testing.T) {
	rnd := newRand(t)
	for range 60 {
		schema, column := everything, everythingBlock
		if rnd.IntN(2) == 0 {
			schema, column = plain, 0
		}
		r := block.Range{Start: block.Number(rnd.IntN(50)), End: 0}
		r.End = r.Start + 1 + block.Number(rnd.IntN(120))
		target, limit := 500+rnd.IntN(60_000), 16_000+rnd.IntN(60_000)
		mem := memory.NewCheckedAllocator(memory.NewGoAllocator())
		blocks := ascending(rnd, rnd.IntN(1500), r.Start, r.End)
		var input []arrow.RecordBatch
		for len(blocks) > 0 {
			n := min(len(blocks), rnd.IntN(1+rnd.IntN(600)))
			input = append(input, record(rnd, mem, schema, column, blocks[:n], 100))
			blocks = blocks[n:]
		}
		c := mustCutter(t, schema, column, r, target, limit)
		var groups []entry.Group
		for _, rec := range input {
			made, err := c.Push(rec)
			if err != nil {
				t.Fatal(err)
			}
			groups = append(groups, made...)
		}
		if c.Done() {
			t.Fatal("done before the rows ended")
		}
		made, err := c.Finish()
		if err != nil {
			t.Fatal(err)
		}
		groups = append(groups, made...)
		if !c.Done() || c.Next() != r.End {
			t.Fatalf("not done, next is %d", c.Next())
		}
		output := mustCover(t, groups, r, column, limit)
		mustEqualRows(t, schema, output, input)
		releaseAll(output)
		releaseAll(input)
		mem.AssertSize(t, 0)
	}
}

// TestCutterGivesOnlyCompleteBlocks: a block is given out when a later one was
// seen, not before.
func TestCutterGivesOnlyCompleteBlocks(t *testing.T) {
	rnd := newRand(t)
	c := mustCutter(t, plain, 0, block.Range{Start: 10, End: 20}, 1, 1<<20)
	push := func(blocks ...block.Number) []entry.Group {
		groups, err := c.Push(record(rnd, memory.DefaultAllocator, plain, 0, blocks, 10))
		if err != nil {
			t.Fatal(err)
		}
		return groups
	}
	if g := push(12, 12); len(g) != 0 {
		t.Fatalf("block 12 was given out: %+v", g[0][0].Header)
	}
	if g := push(12); len(g) != 0 {
		t.Fatalf("block 12 was given out: %+v", g[0][0].Header)
	}
	g := push(15)
	if len(g) != 1 || g[0][0].Range != (block.Range{Start: 10, End: 15}) || g[0][0].Rows != 3 {
		t.Fatalf("after a row of block 15: %+v", g)
	}
	g, err := c.Finish()
	if err != nil || len(g) != 1 || g[0][0].Range != (block.Range{Start: 15, End: 20}) || g[0][0].End != 20 {
		t.Fatalf("at the end: %+v, %v", g, err)
	}
}

func TestCutterOfNoRows(t *testing.T) {
	c := mustCutter(t, plain, 0, block.Range{Start: 10, End: 20}, 0, 1<<20)
	groups, err := c.Finish()
	if err != nil || len(groups) != 1 || groups[0][0].Rows != 0 {
		t.Fatalf("%+v, %v", groups, err)
	}
	mustCover(t, groups, block.Range{Start: 10, End: 20}, 0, 1<<20)
	if again, err := c.Finish(); err != nil || len(again) != 0 {
		t.Errorf("finished twice: %+v, %v", again, err)
	}
}

// TestCutterReachesTheTarget: entries of ordinary rows come close to it.
func TestCutterReachesTheTarget(t *testing.T) {
	rnd := newRand(t)
	const target = 64 << 10
	c := mustCutter(t, plain, 0, block.Range{Start: 0, End: 10_000}, target, 1<<20)
	rec := record(rnd, memory.DefaultAllocator, plain, 0, numbers(0, 8000), 100)
	groups, err := c.Push(rec)
	if err != nil {
		t.Fatal(err)
	}
	if len(groups) < 5 {
		t.Fatalf("only %d groups", len(groups))
	}
	for _, g := range groups {
		// Noise is stored as it is, so the payload is the Arrow data.
		if size := len(g[0].Payload); size < target*8/10 || size > target*12/10 {
			t.Errorf("entry %v has %d bytes, the target is %d", g[0].Range, size, target)
		}
	}
}

// TestCutterSplitsABlock: a block over the limit becomes one group of parts,
// named alike for alike rows, however they arrive.
func TestCutterSplitsABlock(t *testing.T) {
	rnd := newRand(t)
	const limit = 20_000
	r := block.Range{Start: 5, End: 12}
	rec := record(rnd, memory.DefaultAllocator, plain, 0, append(repeat(8, 900), 9), 100)
	batch := func(recs ...arrow.RecordBatch) string {
		c := mustCutter(t, plain, 0, r, 0, limit)
		groups := mustCut(t, c, recs)
		mustEqualRows(t, plain, mustCover(t, groups, r, 0, limit), recs)
		for _, g := range groups {
			if len(g) > 1 {
				return g[0].Batch
			}
		}
		t.Fatal("no block was split")
		return ""
	}
	whole := batch(rec)
	if again := batch(rec.NewSlice(0, 17), rec.NewSlice(17, 400), rec.NewSlice(400, 901)); again != whole {
		t.Errorf("the same rows give batch %s and %s", whole, again)
	}
	if other := batch(rec.NewSlice(1, 901)); other == whole {
		t.Error("other rows give the same batch")
	}
}

func repeat(n block.Number, times int) []block.Number {
	out := make([]block.Number, times)
	for i := range out {
		out[i] = n
	}
	return out
}

func TestCutterNamesTheRowThatIsTooLarge(t *testing.T) {
	rnd := newRand(t)
	small := record(rnd, memory.DefaultAllocator, plain, 0, repeat(7, 5), 10)
	big := array.NewRecordBuilder(memory.DefaultAllocator, plain)
	noise := make([]byte, 50_000)
	for i := range noise {
		noise[i] = byte(rnd.Uint32())
	}
	for range 2 {
		big.Field(0).(*array.Int64Builder).Append(7)
		big.Field(1).(*array.Uint32Builder).Append(1)
		big.Field(2).(*array.BinaryBuilder).Append(noise)
	}
	c := mustCutter(t, plain, 0, block.Range{Start: 0, End: 9}, 0, 20_000)
	for _, rec := range []arrow.RecordBatch{small, big.NewRecordBatch()} {
		if _, err := c.Push(rec); err != nil {
			t.Fatal(err)
		}
	}
	_, err := c.Finish()
	var large *entry.RowTooLargeError
	if !errors.As(err, &large) || large.Block != 7 || large.Row != 5 || large.Limit != 20_000 || large.Size < 50_000 {
		t.Errorf("error is %v", err)
	}
}

func TestCutterRefusesDisorder(t *testing.T) {
	rnd := newRand(t)
	for _, blocks := range [][][]block.Number{
		{{5, 7, 6}}, {{5, 7}, {6}}, {{4}}, {{5}, {20}},
	} {
		c := mustCutter(t, plain, 0, block.Range{Start: 5, End: 20}, 0, 1<<20)
		var err error
		for _, b := range blocks {
			_, err = c.Push(record(rnd, memory.DefaultAllocator, plain, 0, b, 10))
		}
		var order *entry.OrderError
		last := blocks[len(blocks)-1]
		if !errors.As(err, &order) || order.Block != last[len(last)-1] {
			t.Errorf("blocks %v give %v", blocks, err)
		}
	}
}

func TestCutterRefusesABadBlockColumn(t *testing.T) {
	enc := mustEncoder(t, plain, entry.S2, 1<<20)
	for _, column := range []int{-1, 2, 3} {
		if _, err := entry.NewCutter(entry.CutOptions{Range: block.Closed(0, 9), Column: column, Encoder: enc}); !errors.Is(err, entry.ErrBlockColumn) {
			t.Errorf("column %d gives %v", column, err)
		}
	}
	b := array.NewRecordBuilder(memory.DefaultAllocator, plain)
	b.Field(0).AppendNull()
	b.Field(1).AppendNull()
	b.Field(2).AppendNull()
	c := mustCutter(t, plain, 0, block.Closed(0, 9), 0, 1<<20)
	if _, err := c.Push(b.NewRecordBatch()); !errors.Is(err, entry.ErrBlockColumn) {
		t.Errorf("a null gives %v", err)
	}
}

// TestCutterLowersItsEnd returns the tail away at a random moment: what comes out
// covers exactly the rest, whatever was read beyond it.
func TestCutterLowersItsEnd(t *testing.T) {
	rnd := newRand(t)
	for range 40 {
		r := block.Range{Start: 0, End: 200}
		blocks := ascending(rnd, 1200, r.Start, r.End)
		c := mustCutter(t, plain, 0, r, 1000+rnd.IntN(20_000), 1<<20)
		var groups []entry.Group
		var input []arrow.RecordBatch
		lowerAt, end := rnd.IntN(12), r.End
		for i := range 12 {
			if i == lowerAt {
				end = c.Next() + block.Number(rnd.IntN(int(r.End-c.Next())+1))
				if err := c.Lower(end); err != nil {
					t.Fatal(err)
				}
			}
			if c.Done() {
				break
			}
			input = append(input, record(rnd, memory.DefaultAllocator, plain, 0, blocks[i*100:(i+1)*100], 100))
			made, err := c.Push(input[i])
			if err != nil {
				t.Fatal(err)
			}
			groups = append(groups, made...)
		}
		made, err := c.Finish()
		if err != nil {
			t.Fatal(err)
		}
		groups = append(groups, made...)
		if last := groups[max(len(groups)-1, 0):]; len(last) > 0 && last[0][0].Range.End != end {
			t.Fatalf("ends at %v, want %d", last[0][0].Range, end)
		}
		var want []arrow.RecordBatch
		for _, rec := range input {
			keep := 0
			for keep < int(rec.NumRows()) && blockOf(rec, 0, keep) < end {
				keep++
			}
			want = append(want, rec.NewSlice(0, int64(keep)))
		}
		mustEqualRows(t, plain, mustCover(t, groups, block.Range{Start: 0, End: end}, 0, 1<<20), want)
		if err := c.Lower(end - 1); end > 0 && err == nil {
			t.Error("blocks that were given out can be given away")
		}
	}
}

// TestCutterSealsWhenTheEndIsReached: after lowering, a row beyond the new end
// closes the range without Finish.
func TestCutterSealsWhenTheEndIsReached(t *testing.T) {
	rnd := newRand(t)
	c := mustCutter(t, plain, 0, block.Range{Start: 0, End: 100}, 0, 1<<20)
	if _, err := c.Push(record(rnd, memory.DefaultAllocator, plain, 0, numbers(0, 30), 10)); err != nil {
		t.Fatal(err)
	}
	if err := c.Lower(40); err != nil {
		t.Fatal(err)
	}
	groups, err := c.Push(record(rnd, memory.DefaultAllocator, plain, 0, numbers(30, 20), 10))
	if err != nil || !c.Done() || len(groups) != 1 {
		t.Fatalf("done %v, %d groups, %v", c.Done(), len(groups), err)
	}
	if h := groups[0][0].Header; h.Rows != 40 || h.End != 40 || h.Range != (block.Range{End: 40}) {
		t.Errorf("header is %+v", h)
	}
	if more, err := c.Push(record(rnd, memory.DefaultAllocator, plain, 0, numbers(50, 20), 10)); err != nil || len(more) != 0 {
		t.Errorf("rows beyond the end give %v, %v", more, err)
	}
}

func BenchmarkCutAndEncode(b *testing.B) {
	rnd := newRand(b)
	rec := record(rnd, memory.DefaultAllocator, plain, 0, ascending(rnd, 30_000, 0, 20_000), 250)
	enc := mustEncoder(b, plain, entry.S2, 8<<20)
	b.SetBytes(30_000 * 140)
	for b.Loop() {
		c, err := entry.NewCutter(entry.CutOptions{Range: block.Range{End: 20_000}, Encoder: enc})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := c.Push(rec); err != nil {
			b.Fatal(err)
		}
		if _, err := c.Finish(); err != nil {
			b.Fatal(err)
		}
		c.Release()
	}
}

func BenchmarkDecode(b *testing.B) {
	rnd := newRand(b)
	rec := record(rnd, memory.DefaultAllocator, plain, 0, numbers(0, 8000), 250)
	for _, codec := range codecs {
		e, err := mustEncoder(b, plain, codec, 8<<20).Encode(header, []arrow.RecordBatch{rec})
		if err != nil {
			b.Fatal(err)
		}
		b.Run(string(codec), func(b *testing.B) {
			dec := entry.NewDecoder(nil)
			b.SetBytes(int64(len(e.Payload)))
			for b.Loop() {
				_, recs, err := dec.Decode(e)
				if err != nil {
					b.Fatal(err)
				}
				releaseAll(recs)
			}
		})
	}
}

// Rows do not wait for a second message that would make their entry too large: they would
// keep the memory of theirs. Small messages are put together.
func TestEntriesEndWithTheirMessage(t *testing.T) {
	const target, perBlock = 1 << 20, 100
	message := func(r block.Range) arrow.RecordBatch { return sinktest.Logs(r, perBlock).Records[0] }
	var perRow int
	for _, test := range []struct {
		name    string
		share   float64 // of the target that a message has
		entries int     // that come of ten messages, before the rows have ended
	}{
		{"an eighth", 0.125, 1}, {"two thirds", 0.66, 10}, {"as much", 1.05, 10}, {"twice as much", 2.1, 20},
	} {
		t.Run(test.name, func(t *testing.T) {
			if perRow == 0 {
				perRow = entry.RowsSize(message(block.Range{End: 10})) / (10 * perBlock)
			}
			length := block.Number(test.share*target/float64(perRow*perBlock)) + 1
			r := block.Range{End: 10 * length}
			c := mustCutter(t, sinktest.LogSchema, 0, r, target, 8<<20)
			groups := 0
			for i := range block.Number(10) {
				made, err := c.Push(message(block.Range{Start: i * length, End: (i + 1) * length}))
				if err != nil {
					t.Fatal(err)
				}
				groups += len(made)
			}
			if groups != test.entries {
				t.Errorf("%d entries of ten messages, want %d", groups, test.entries)
			}
		})
	}
}
