package amptest

import (
	"testing"

	"github.com/ampipe/ampipe/pkg/layout"
)

// TestBatchesWithoutRowsAreFramedAsRecorded makes the batch without rows of every
// recorded answer anew: it has the arrays and buffers of the recorded one. None of
// them has a byte, not even those of offsets, nested ones too.
func TestBatchesWithoutRowsAreFramedAsRecorded(t *testing.T) {
	t.Parallel()
	compared := 0
	for _, r := range Recordings(t) {
		if len(r.Data) == 0 {
			continue
		}
		messages, err := r.Decode()
		if err != nil {
			continue // another test's
		}
		for i, m := range messages {
			if m.Record.NumRows() > 0 {
				continue
			}
			compared++
			made, err := partData(m.Record.Schema(), Part{Text: "{}"})
			if err != nil {
				t.Fatal(err)
			}
			got, want := layout.Framing(made.DataHeader), layout.Framing(r.Data[i+1].DataHeader)
			if got != want || len(made.DataBody) != len(r.Data[i+1].DataBody) {
				t.Errorf("%s: message %d is framed as\n%s, recorded\n%s", r.Name, i, got, want)
			}
		}
	}
	if compared == 0 {
		t.Fatal("no batch without rows was recorded")
	}
	t.Logf("%d batches", compared)
}
