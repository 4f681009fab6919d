package flightserver

import (
	"testing"

	"github.com/ampipe/ampipe/pkg/amp/amptest"
	"github.com/ampipe/ampipe/pkg/layout"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/flight"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// TestBatchesWithoutRowsAreFramedAsRecorded encodes a batch without rows of every
// recorded schema: it has the arrays and buffers of the recorded one. None of them
// has a byte, not even those of offsets, nested ones too.
func TestBatchesWithoutRowsAreFramedAsRecorded(t *testing.T) {
	compared := 0
	for _, r := range amptest.Recordings(t) {
		if r.FlightInfo == nil {
			continue
		}
		schema, err := flight.DeserializeSchema(r.FlightInfo.GetSchema(), memory.DefaultAllocator)
		if err != nil {
			t.Fatal(err)
		}
		b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
		empty := b.NewRecordBatch()
		for i, m := range r.Messages {
			if i == 0 || m.Rows > 0 || m.Metadata == "" {
				continue
			}
			compared++
			var e encoder
			made, err := e.encode(empty, nil)
			if err != nil {
				t.Fatal(err)
			}
			got, want := layout.Framing(made.DataHeader), layout.Framing(r.Data[i].DataHeader)
			if got != want || len(made.DataBody) != len(r.Data[i].DataBody) {
				t.Errorf("%s: message %d is framed as\n%s, recorded\n%s", r.Name, i, got, want)
			}
		}
		empty.Release()
		b.Release()
	}
	if compared == 0 {
		t.Fatal("no batch without rows was recorded")
	}
	t.Logf("%d batches", compared)
}
