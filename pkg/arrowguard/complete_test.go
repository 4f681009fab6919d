package arrowguard

import (
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/ampipe/ampipe/pkg/arrowguard/guardtest"
)

// TestBatchesWithoutRows: a real server sends them with empty buffers of offsets, at
// the beginning and the end of each answer. Whatever the offsets are, or are not, a
// consumer may read them.
func TestBatchesWithoutRows(t *testing.T) {
	b := array.NewRecordBuilder(memory.DefaultAllocator, guardtest.Schema)
	defer b.Release()
	none := b.NewRecordBatch()
	defer none.Release()
	for name, forge := range map[string]func(m []guardtest.Message){
		"as written": func([]guardtest.Message) {},
		"without a body": func(m []guardtest.Message) {
			buffers := batchOf(m).list(slotBatchBuffers, 16)
			for i := range buffers.len {
				buffers.set(i, 1, 0)
			}
			m[len(m)-1].Body = nil
		},
		"with offsets of anything": func(m []guardtest.Message) {
			for i := range last(m).Body {
				last(m).Body[i] = 0x77
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			messages := guardtest.Write(t, []arrow.RecordBatch{none})
			forge(messages)
			recs, err := read(t, messages)
			if err != nil || len(recs) != 1 || recs[0].NumRows() != 0 {
				t.Fatalf("%v, %v", recs, err)
			}
			if err := array.ValidateRecordFull(recs[0]); err != nil {
				t.Errorf("the library's own check: %v", err)
			}
			guardtest.Walk(recs[0])
		})
	}
}

// TestMultibyteText passes, wherever it is cut.
func TestMultibyteText(t *testing.T) {
	b := array.NewStringBuilder(memory.DefaultAllocator)
	defer b.Release()
	for _, text := range []string{"é", "", "€uro", "plain", "", "日本語", "🦆"} {
		b.Append(text)
	}
	b.AppendNull()
	col := b.NewArray()
	defer col.Release()
	rec := array.NewRecordBatch(arrow.NewSchema([]arrow.Field{{Name: "text", Type: arrow.BinaryTypes.String, Nullable: true}}, nil),
		[]arrow.Array{col}, int64(col.Len()))
	defer rec.Release()
	recs, err := read(t, guardtest.Write(t, []arrow.RecordBatch{rec}))
	if err != nil || !array.RecordEqual(recs[0], rec) {
		t.Errorf("%v, %v", recs, err)
	}
}
