package postgres_test

import (
	"math"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/sink/postgres"
)

// TestRefusedNestedValueIsShown holds that a nested value that is refused is in the
// message, whatever else is in it: NaN, bytes, text that is not Unicode.
func TestRefusedNestedValueIsShown(t *testing.T) {
	t.Parallel()
	floats := arrow.ListOf(arrow.PrimitiveTypes.Float64)
	tab := table(field("v", arrow.StructOf(field("text", textType), field("floats", floats), field("bytes", arrow.BinaryTypes.Binary))))
	b := array.NewRecordBuilder(memory.DefaultAllocator, tab.Schema)
	defer b.Release()
	b.Field(0).(*array.Uint64Builder).Append(7)
	v := b.Field(1).(*array.StructBuilder)
	v.Append(true)
	v.FieldBuilder(0).(*array.StringBuilder).Append("a\xffb")
	list := v.FieldBuilder(1).(*array.ListBuilder)
	list.Append(true)
	list.ValueBuilder().(*array.Float64Builder).AppendValues([]float64{math.NaN(), math.Inf(-1), 1.5}, nil)
	v.FieldBuilder(2).(*array.BinaryBuilder).Append([]byte{0, 255})
	rec := b.NewRecordBatch()
	defer rec.Release()
	_, err := postgres.Encode(config.Postgres{Schema: "public", Table: "t"}, tab, nil, rec)
	const want = `{"text": "a` + "\ufffd" + `b", "bytes": "0x00ff", "floats": ["NaN", "-Infinity", 1.5]}`
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("the error is %v; want %s in it", err, want)
	}
}
