package realdata

import (
	"testing"

	"github.com/ampipe/ampipe/pkg/amp/amptest"
	"github.com/ampipe/ampipe/pkg/sink"
)

// EachRecording runs a test for the rows of every recorded answer, all forks of a stream with
// reorgs, that has rows and a block column.
func EachRecording(t *testing.T, test func(*testing.T, Table)) {
	t.Helper()
	ran := false
	for _, r := range amptest.Recordings(t) {
		if real, ok := recorded(t, r); ok {
			ran = t.Run(r.Name, func(t *testing.T) { test(t, real) }) || ran
		}
	}
	if !ran && !t.Failed() {
		t.Error("no recording has any rows")
	}
}

// recorded returns the rows of a recording; false if it has none, or none with a block column.
func recorded(t testing.TB, r amptest.Recording) (Table, bool) {
	t.Helper()
	messages, err := r.Decode()
	if err != nil && r.End.Code == "OK" { // a recorded failure breaks off
		t.Fatalf("%s: %v", r.Name, err)
	}
	if len(messages) == 0 {
		return Table{}, false
	}
	schema := messages[0].Record.Schema()
	real := Table{Table: sink.Table{Pipeline: "real", Sink: "rows", Schema: schema, BlockColumn: blockColumn(schema), Epoch: 1}}
	for _, m := range messages {
		if real.Table.BlockColumn < 0 || m.Record.Column(real.Table.BlockColumn).NullN() > 0 {
			return Table{}, false
		}
		real.Rows = append(real.Rows, m.Record)
	}
	real.Rows = ascending(t, real)
	return real, len(real.Rows) > 0
}
