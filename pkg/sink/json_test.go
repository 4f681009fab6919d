package sink_test

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/sink"
)

// TestCommitStateIsKeptAsJSON: destinations may keep it as JSON, so one that a version
// before has written is read by all later ones.
func TestCommitStateIsKeptAsJSON(t *testing.T) {
	const kept = `{"Coverage":[[0,10],[20,30]],"Live":{"Started":true,"Epoch":2,"Seq":77,"Start":25,` +
		`"Cursor":{"network":"net","number":29,"hash":"0x0100000000000000000000000000000000000000000000000000000000000000"}},` +
		`"Partial":{"31":{"Batch":"b","Parts":3,"Have":[0,2]}}}`
	want := sink.CommitState{
		State: sink.State{
			Coverage: block.NewSet(block.Range{End: 10}, block.Range{Start: 20, End: 30}),
			Live: sink.LiveState{Started: true, Epoch: 2, Seq: 77, Start: 25,
				Cursor: block.Cursor{Network: "net", Number: 29, Hash: block.Hash{1}}},
		},
		Partial: map[block.Number]sink.Partial{31: {Batch: "b", Parts: 3, Have: []int{0, 2}}},
	}
	text, err := json.Marshal(want)
	if err != nil || string(text) != kept {
		t.Errorf("it is written as\n%s, %v, want\n%s", text, err, kept)
	}
	var got sink.CommitState
	err = json.Unmarshal([]byte(kept), &got)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("it is read as %+v, %v", got, err)
	}
}
