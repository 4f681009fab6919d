package flightserver

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/ampipe/ampipe/devserver/recorded"
	"github.com/ampipe/ampipe/pkg/layout"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/flight"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// TestBatchesWithoutRowsAreFramedAsRecorded encodes a batch without rows of every
// recorded schema: it has the arrays and buffers of the recorded one. None of them
// has a byte, not even those of offsets, nested ones too.
func TestBatchesWithoutRowsAreFramedAsRecorded(t *testing.T) {
	dir := os.Getenv("AMPIPE_REAL_DATA")
	if dir == "" {
		t.Skip("AMPIPE_REAL_DATA is not set: no real data to compare with")
	}
	folders, err := filepath.Glob(filepath.Join(dir, "recorded", "*"))
	if err != nil {
		t.Fatal(err)
	}
	compared := 0
	for _, folder := range folders {
		all, err := recorded.Folder(folder, "*")
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range all {
			if r.FlightInfo == nil {
				continue
			}
			schema, err := flight.DeserializeSchema(r.FlightInfo.GetSchema(), memory.DefaultAllocator)
			if err != nil {
				t.Fatal(err)
			}
			b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
			empty := b.NewRecordBatch()
			for i, m := range r.Log {
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
	}
	if compared == 0 {
		t.Fatal("no batch without rows was recorded")
	}
	t.Logf("%d batches", compared)
}
