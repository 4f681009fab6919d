package parquetfile

import (
	"bytes"
	"io"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
)

// TestLargeBuffersAreLetGo: a pipeline that follows the chain does not keep what its history
// has needed.
func TestLargeBuffersAreLetGo(t *testing.T) {
	t.Parallel()
	columns := arrow.NewSchema([]arrow.Field{{Name: "data", Type: arrow.BinaryTypes.Binary, Nullable: true}}, nil)
	l, err := NewLayout(columns, parquet.NewWriterProperties(parquet.WithDictionaryDefault(false), parquet.WithDataPageSize(512<<10)))
	if err != nil {
		t.Fatal(err)
	}
	w, err := l.NewWriter(io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	kept := func(sizes ...int) int {
		b := array.NewRecordBuilder(memory.DefaultAllocator, columns)
		defer b.Release()
		for _, size := range sizes {
			b.Field(0).(*array.BinaryBuilder).Append(bytes.Repeat([]byte{1}, size))
		}
		if err := w.Write(b.NewRecordBatch()); err != nil {
			t.Fatal(err)
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		return cap(l.idle[0].chunk) + cap(l.idle[0].page)
	}
	many := make([]int, 1000)
	for i := range many {
		many[i] = 10_000
	}
	if got := kept(many...); got < 10_000_000 {
		t.Errorf("after 10 MB %d bytes are kept for the next row group", got)
	}
	if got := kept(10); got > 200_000 {
		t.Errorf("after a small row group %d bytes are kept", got)
	}
	if got := kept(10, 10_000_000); got > 50_000_000 {
		t.Errorf("after a large value %d bytes are kept", got)
	}
	if got := kept(10); got > 1_000_000 {
		t.Errorf("after a large value and a small row group %d bytes are kept", got)
	}
}
