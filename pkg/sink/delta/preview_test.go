package delta_test

import (
	"math"
	"slices"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/sinktest"
)

// TestNewestShowsNestedValues holds that rows are shown whatever their values hold, NaN
// and bytes among them.
func TestNewestShowsNestedValues(t *testing.T) {
	t.Parallel()
	schema := arrow.NewSchema([]arrow.Field{
		{Name: "block_num", Type: arrow.PrimitiveTypes.Uint64},
		{Name: "floats", Type: arrow.ListOf(arrow.PrimitiveTypes.Float64), Nullable: true},
		{Name: "bytes", Type: arrow.MapOf(arrow.BinaryTypes.String, arrow.BinaryTypes.Binary), Nullable: true},
	}, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	b.Field(0).(*array.Uint64Builder).AppendValues([]uint64{1, 2}, nil)
	floats := b.Field(1).(*array.ListBuilder)
	floats.AppendNull()
	floats.Append(true)
	floats.ValueBuilder().(*array.Float64Builder).AppendValues([]float64{math.NaN(), 0.5}, []bool{true, true})
	bytes := b.Field(2).(*array.MapBuilder)
	bytes.Append(true)
	bytes.Append(true)
	bytes.KeyBuilder().(*array.StringBuilder).Append("k")
	bytes.ItemBuilder().(*array.BinaryBuilder).Append([]byte{0, 255})
	rec := b.NewRecordBatch()
	defer rec.Release()
	w := inMemory(t).open(t, sink.Table{Pipeline: "p", Sink: "lake", Schema: schema})
	if _, err := w.Apply(t.Context(), []sink.Change{sinktest.ChangeOf(block.Range{Start: 0, End: 5}, rec)}); err != nil {
		t.Fatal(err)
	}
	rows, err := w.Preview(t.Context(), 5)
	if err != nil {
		t.Fatal(err)
	}
	want := [][]string{{"2", `["NaN",0.5]`, `{"k":"0x00ff"}`}, {"1", "", "{}"}}
	if len(rows) != 2 || !slices.Equal(rows[0].Values, want[0]) || !slices.Equal(rows[1].Values, want[1]) {
		t.Errorf("the rows are shown as %v, want %q", rows, want)
	}
}
