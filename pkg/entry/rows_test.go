package entry_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/ampipe/ampipe/pkg/block"
)

// everything is a schema with the types that a query can have (AP 5), the block
// column not being the first.
var everything = arrow.NewSchema([]arrow.Field{
	{Name: "address", Type: &arrow.FixedSizeBinaryType{ByteWidth: 20}},
	{Name: "_block_num", Type: arrow.PrimitiveTypes.Uint64},
	{Name: "ok", Type: arrow.FixedWidthTypes.Boolean, Nullable: true},
	{Name: "small", Type: arrow.PrimitiveTypes.Int8, Nullable: true},
	{Name: "data", Type: arrow.BinaryTypes.Binary, Nullable: true},
	{Name: "text", Type: arrow.BinaryTypes.String, Nullable: true},
	{Name: "large", Type: arrow.BinaryTypes.LargeString, Nullable: true},
	{Name: "view", Type: arrow.BinaryTypes.StringView, Nullable: true},
	{Name: "bytes", Type: arrow.BinaryTypes.BinaryView, Nullable: true},
	{Name: "value", Type: &arrow.Decimal128Type{Precision: 38}, Nullable: true},
	{Name: "time", Type: &arrow.TimestampType{Unit: arrow.Nanosecond, TimeZone: "+00:00"}},
	{Name: "nothing", Type: arrow.Null, Nullable: true},
	{Name: "list", Type: arrow.ListOf(arrow.StructOf(
		arrow.Field{Name: "a", Type: arrow.ListOf(arrow.PrimitiveTypes.Uint8), Nullable: true},
		arrow.Field{Name: "b", Type: arrow.BinaryTypes.StringView, Nullable: true},
	)), Nullable: true},
	{Name: "three", Type: arrow.FixedSizeListOf(3, arrow.PrimitiveTypes.Float32), Nullable: true},
	{Name: "map", Type: arrow.MapOf(arrow.BinaryTypes.String, arrow.PrimitiveTypes.Int32), Nullable: true},
	{Name: "word", Type: &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int16, ValueType: arrow.BinaryTypes.String}, Nullable: true},
}, nil)

const everythingBlock = 1

// plain is a schema without dictionaries and views, as most tables are.
var plain = arrow.NewSchema([]arrow.Field{
	{Name: "block_num", Type: arrow.PrimitiveTypes.Int64},
	{Name: "index", Type: arrow.PrimitiveTypes.Uint32},
	{Name: "data", Type: arrow.BinaryTypes.Binary, Nullable: true},
}, nil)

func newRand(t testing.TB) *rand.Rand {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 7))
}

// record fills a batch with one row per block given; size is about how many
// bytes each variable value has.
func record(rnd *rand.Rand, mem memory.Allocator, schema *arrow.Schema, column int, blocks []block.Number, size int) arrow.RecordBatch {
	b := array.NewRecordBuilder(mem, schema)
	defer b.Release()
	for i, f := range b.Fields() {
		for _, n := range blocks {
			if i != column {
				fill(rnd, f, size, schema.Field(i).Nullable)
				continue
			}
			switch f := f.(type) {
			case *array.Uint64Builder:
				f.Append(uint64(n))
			case *array.Int64Builder:
				f.Append(int64(n))
			default:
				panic(fmt.Sprintf("%T", f))
			}
		}
	}
	return b.NewRecordBatch()
}

// fill appends one random value.
func fill(rnd *rand.Rand, b array.Builder, size int, nullable bool) {
	if nullable && rnd.IntN(8) == 0 {
		b.AppendNull()
		return
	}
	random := func(n int) []byte {
		out := make([]byte, n)
		for i := range out {
			out[i] = byte(rnd.Uint32())
		}
		return out
	}
	text := func() string { return fmt.Sprintf("%x", random(rnd.IntN(size+1)/2)) }
	switch b := b.(type) {
	case *array.FixedSizeBinaryBuilder:
		b.Append(random(b.Type().(*arrow.FixedSizeBinaryType).ByteWidth))
	case *array.BooleanBuilder:
		b.Append(rnd.IntN(2) == 0)
	case *array.Uint8Builder:
		b.Append(uint8(rnd.Uint32()))
	case *array.Uint32Builder:
		b.Append(rnd.Uint32())
	case *array.Int8Builder:
		b.Append(int8(rnd.Uint32()))
	case *array.Int32Builder:
		b.Append(int32(rnd.Uint32()))
	case *array.Float32Builder:
		b.Append(rnd.Float32())
	case *array.BinaryBuilder:
		b.Append(random(rnd.IntN(size + 1)))
	case *array.BinaryViewBuilder:
		b.Append(random(rnd.IntN(size + 1)))
	case *array.StringBuilder:
		b.Append(text())
	case *array.LargeStringBuilder:
		b.Append(text())
	case *array.StringViewBuilder:
		b.Append(text())
	case *array.BinaryDictionaryBuilder:
		if err := b.AppendString(fmt.Sprint("word", rnd.IntN(5))); err != nil {
			panic(err)
		}
	case *array.Decimal128Builder:
		b.Append(decimal128.New(int64(rnd.Uint32()), rnd.Uint64()))
	case *array.TimestampBuilder:
		b.Append(arrow.Timestamp(rnd.Int64()))
	case *array.NullBuilder:
		b.AppendNull()
	case *array.MapBuilder:
		b.Append(true)
		for range rnd.IntN(3) {
			fill(rnd, b.KeyBuilder(), size, false)
			fill(rnd, b.ItemBuilder(), size, true)
		}
	case *array.FixedSizeListBuilder:
		b.Append(true)
		for range 3 {
			fill(rnd, b.ValueBuilder(), size, false)
		}
	case *array.ListBuilder:
		b.Append(true)
		for range rnd.IntN(3) {
			fill(rnd, b.ValueBuilder(), size, false)
		}
	case *array.StructBuilder:
		b.Append(true)
		for i := range b.NumField() {
			fill(rnd, b.FieldBuilder(i), size, true)
		}
	default:
		panic(fmt.Sprintf("%T", b))
	}
}

// column puts one column of many batches together.
func column(t testing.TB, recs []arrow.RecordBatch, i int) arrow.Array {
	t.Helper()
	var parts []arrow.Array
	for _, rec := range recs {
		if rec.NumRows() > 0 {
			parts = append(parts, rec.Column(i))
		}
	}
	whole, err := array.Concatenate(parts, memory.DefaultAllocator)
	if err != nil {
		t.Fatal(err)
	}
	return whole
}

// mustEqualRows fails unless both lists hold the same rows in the same order.
func mustEqualRows(t testing.TB, schema *arrow.Schema, got, want []arrow.RecordBatch) {
	t.Helper()
	count := func(recs []arrow.RecordBatch) (n int64) {
		for _, rec := range recs {
			n += rec.NumRows()
		}
		return n
	}
	if count(got) != count(want) {
		t.Fatalf("%d rows, want %d", count(got), count(want))
	}
	if count(want) == 0 {
		return
	}
	for i, f := range schema.Fields() {
		g, w := column(t, got, i), column(t, want, i)
		if !array.Equal(g, w) {
			t.Fatalf("column %q differs:\n%.2000v\nwant\n%.2000v", f.Name, g, w)
		}
		g.Release()
		w.Release()
	}
}

func releaseAll(recs []arrow.RecordBatch) {
	for _, rec := range recs {
		rec.Release()
	}
}
