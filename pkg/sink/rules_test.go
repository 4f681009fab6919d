package sink_test

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
)

var integerTypes = []arrow.DataType{
	arrow.PrimitiveTypes.Uint64, arrow.PrimitiveTypes.Int64, arrow.PrimitiveTypes.Uint32, arrow.PrimitiveTypes.Int32,
	arrow.PrimitiveTypes.Uint16, arrow.PrimitiveTypes.Int16, arrow.PrimitiveTypes.Uint8, arrow.PrimitiveTypes.Int8,
}

// record makes a record of two columns: a text, and the given blocks.
func record(t *testing.T, typ arrow.DataType, blocks ...int) arrow.RecordBatch {
	t.Helper()
	schema := arrow.NewSchema([]arrow.Field{{Name: "text", Type: arrow.BinaryTypes.String}, {Name: "block_num", Type: typ}}, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	for _, n := range blocks {
		b.Field(0).(*array.StringBuilder).Append("row")
		if err := b.Field(1).AppendValueFromString(strconv.Itoa(n)); err != nil {
			t.Fatal(err)
		}
	}
	return b.NewRecordBatch()
}

func change(r block.Range, records ...arrow.RecordBatch) sink.Change {
	c := sink.Change{Header: entry.Header{Kind: entry.Data, Range: r}, Records: records}
	for _, rec := range records {
		c.Rows += int(rec.NumRows())
	}
	return c
}

func TestBlocksOfEveryIntegerType(t *testing.T) {
	t.Parallel()
	for _, typ := range integerTypes {
		rec := record(t, typ, 3, 3, 5, 9).NewSlice(1, 4)
		blocks, err := sink.BlocksOf(rec, 1)
		if err != nil {
			t.Fatal(err)
		}
		if blocks.Len() != 3 || blocks.At(0) != 3 || blocks.At(2) != 9 {
			t.Errorf("%s: slice reads as %d rows from %d to %d", typ, blocks.Len(), blocks.At(0), blocks.At(2))
		}
		for n, want := range map[block.Number]int{0: 0, 3: 0, 4: 1, 5: 1, 6: 2, 9: 2, 10: 3} {
			if got := blocks.Search(n); got != want {
				t.Errorf("%s: Search(%d) = %d, want %d", typ, n, got, want)
			}
		}
	}
}

func TestBlocksOfRefusesWhatIsNoBlockColumn(t *testing.T) {
	t.Parallel()
	rec := record(t, arrow.PrimitiveTypes.Int64, 1)
	nulls := array.NewInt64Builder(memory.DefaultAllocator)
	nulls.AppendNull()
	withNull := array.NewRecordBatch(arrow.NewSchema([]arrow.Field{{Name: "n", Type: arrow.PrimitiveTypes.Int64, Nullable: true}}, nil),
		[]arrow.Array{nulls.NewArray()}, 1)
	for name, try := range map[string]func() (sink.Blocks, error){
		"text":        func() (sink.Blocks, error) { return sink.BlocksOf(rec, 0) },
		"no column":   func() (sink.Blocks, error) { return sink.BlocksOf(rec, 2) },
		"minus one":   func() (sink.Blocks, error) { return sink.BlocksOf(rec, -1) },
		"null values": func() (sink.Blocks, error) { return sink.BlocksOf(withNull, 0) },
	} {
		if _, err := try(); fault.Of(err) != fault.ClassPermanent {
			t.Errorf("%s: %v is not a permanent error", name, err)
		}
	}
}

func TestCheckRows(t *testing.T) {
	t.Parallel()
	typ := arrow.PrimitiveTypes.Int64
	r := block.Range{Start: 10, End: 20}
	good := change(r, record(t, typ, 10, 10, 12), record(t, typ), record(t, typ, 12, 19))
	if err := sink.CheckRows(good, 1); err != nil {
		t.Error(err)
	}
	miscounted := good
	miscounted.Rows++
	for name, c := range map[string]sink.Change{
		"below the range":   change(r, record(t, typ, 9)),
		"above the range":   change(r, record(t, typ, 20)),
		"negative":          change(r, record(t, typ, -1)),
		"descending":        change(r, record(t, typ, 12, 11)),
		"descending across": change(r, record(t, typ, 12), record(t, typ, 11)),
		"miscounted":        miscounted,
	} {
		if err := sink.CheckRows(c, 1); fault.Of(err) != fault.ClassPermanent {
			t.Errorf("%s: %v is not a permanent error", name, err)
		}
	}
}

// TestTrimAgainstFilter compares the search with a look at every row, for random
// rows, coverage and live starts.
func TestTrimAgainstFilter(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	for range 500 {
		r := block.Range{Start: block.Number(rnd.IntN(40))}
		r.End = r.Start + block.Number(1+rnd.IntN(60))
		var blocks []int
		for range rnd.IntN(60) {
			blocks = append(blocks, int(r.Start)+rnd.IntN(int(r.Len())))
		}
		slices.Sort(blocks)
		cut := 0
		if len(blocks) > 0 {
			cut = rnd.IntN(len(blocks))
		}
		typ := integerTypes[rnd.IntN(len(integerTypes))]
		c := change(r, record(t, typ, blocks[:cut]...), record(t, typ, blocks[cut:]...))

		var covered block.Set
		for range rnd.IntN(4) {
			start := block.Number(rnd.IntN(100))
			covered.Add(block.Range{Start: start, End: start + block.Number(rnd.IntN(20))})
		}
		var liveStart *block.Number
		if rnd.IntN(2) == 0 {
			n := block.Number(rnd.IntN(110))
			liveStart = &n
		}
		fresh := func(n block.Number) bool {
			return r.Has(n) && !covered.Has(n) && (liveStart == nil || n < *liveStart)
		}

		runs, ranges, err := sink.Trim(c, 1, covered, liveStart)
		if err != nil {
			t.Fatal(err)
		}
		var want, got []int // positions in the entry
		for i, n := range blocks {
			if fresh(block.Number(n)) {
				want = append(want, i)
			}
		}
		for _, run := range runs {
			values, err := sink.BlocksOf(run.Slice(), 1)
			if err != nil {
				t.Fatal(err)
			}
			for i := range run.Len() {
				got = append(got, run.Entry+i)
				if int(values.At(i)) != blocks[run.Entry+i] {
					t.Fatalf("run %+v: row %d is of block %d, want %d", run, i, values.At(i), blocks[run.Entry+i])
				}
			}
		}
		if !slices.Equal(got, want) || sink.CountRows(runs) != uint64(len(want)) {
			t.Fatalf("entry %v without %v and %v: rows %v, want %v", r, covered, liveStart, got, want)
		}
		set := block.NewSet(ranges...)
		for n := block.Number(0); n < 120; n++ {
			if set.Has(n) != fresh(n) {
				t.Fatalf("block %d of entry %v without %v: in %v", n, r, covered, ranges)
			}
		}
	}
}

func TestNextLive(t *testing.T) {
	t.Parallel()
	at := sink.LiveState{Started: true, Epoch: 2, Seq: 10, Start: 100, Cursor: block.Cursor{Network: "n", Number: 120}}
	live := func(epoch, seq, after uint64, kind entry.Kind, r block.Range) sink.Change {
		return sink.Change{Live: true, Seq: seq, After: after, Header: entry.Header{Kind: kind, Epoch: epoch, Network: "n", Range: r, Prev: block.Hash{7}}}
	}
	for name, tc := range map[string]struct {
		c    sink.Change
		ok   bool
		gap  bool
		want sink.LiveState
	}{
		"next":              {c: live(2, 12, 10, entry.Data, block.Closed(121, 121)), ok: true, want: sink.LiveState{Started: true, Epoch: 2, Seq: 12, Start: 100, Cursor: at.Cursor}},
		"again":             {c: live(2, 10, 9, entry.Data, block.Closed(120, 120)), want: at},
		"gap":               {c: live(2, 13, 12, entry.Data, block.Closed(122, 122)), gap: true, want: at},
		"older epoch":       {c: live(1, 90, 89, entry.Data, block.Closed(122, 122)), want: at},
		"newer epoch":       {c: live(3, 1, 0, entry.Data, block.Closed(121, 121)), ok: true, want: sink.LiveState{Started: true, Epoch: 3, Seq: 1, Start: 100, Cursor: at.Cursor}},
		"epoch above":       {c: live(3, 1, 0, entry.Data, block.Closed(122, 122)), ok: true, want: sink.LiveState{Started: true, Epoch: 3, Seq: 1, Start: 122}},
		"epoch undone":      {c: live(3, 1, 0, entry.Invalidate, block.Closed(130, 130)), ok: true, want: sink.LiveState{Started: true, Epoch: 3, Seq: 1, Start: 130, Cursor: block.Cursor{Network: "n", Number: 129, Hash: block.Hash{7}}}},
		"inside new epoch":  {c: live(3, 2, 1, entry.Data, block.Closed(121, 121)), gap: true, want: at},
		"shallow reorg":     {c: live(2, 11, 10, entry.Invalidate, block.Closed(110, 120)), ok: true, want: sink.LiveState{Started: true, Epoch: 2, Seq: 11, Start: 100, Cursor: block.Cursor{Network: "n", Number: 109, Hash: block.Hash{7}}}},
		"above the cursor":  {c: live(2, 11, 10, entry.Invalidate, block.Closed(121, 125)), ok: true, want: sink.LiveState{Started: true, Epoch: 2, Seq: 11, Start: 100, Cursor: at.Cursor}},
		"deep reorg":        {c: live(2, 11, 10, entry.Invalidate, block.Closed(50, 120)), ok: true, want: sink.LiveState{Started: true, Epoch: 2, Seq: 11, Start: 50, Cursor: block.Cursor{Network: "n", Number: 49, Hash: block.Hash{7}}}},
		"back to the start": {c: live(2, 11, 10, entry.Invalidate, block.Closed(0, 120)), ok: true, want: sink.LiveState{Started: true, Epoch: 2, Seq: 11}},
	} {
		got, ok, err := tc.c.Advance(at)
		if got != tc.want || ok != tc.ok || errors.Is(err, sink.ErrGap) != tc.gap || !tc.gap && err != nil {
			t.Errorf("%s: %+v, %v, %v; want %+v", name, got, ok, err, tc.want)
		}
	}
	closing := live(2, 12, 10, entry.Data, block.Closed(121, 122))
	closing.Complete, closing.Hash = true, block.Hash{8}
	for _, s := range []sink.LiveState{at, {}} {
		want := sink.LiveState{Started: true, Epoch: 2, Seq: 12, Start: 100, Cursor: block.Cursor{Network: "n", Number: 122, Hash: block.Hash{8}}}
		if !s.Started {
			want.Start = 121
		}
		if got, ok, err := closing.Advance(s); got != want || !ok || err != nil {
			t.Errorf("rows that close their range after %+v: %+v, %v, %v; want %+v", s, got, ok, err, want)
		}
	}
	first, ok, err := live(2, 33, 32, entry.Data, block.Closed(70, 71)).Advance(sink.LiveState{})
	if want := (sink.LiveState{Started: true, Epoch: 2, Seq: 33, Start: 70}); first != want || !ok || err != nil {
		t.Errorf("first: %+v, %v, %v; want %+v", first, ok, err, want)
	}
}
