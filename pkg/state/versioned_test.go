package state_test

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/state"
)

// TestOlderReleasesRefuseWhatAMendedQueryMakes: a release that knows no versions reads
// texts where the query and the state stand. It must not read the documents of a later
// version, and what it has written itself is read as ever.
func TestOlderReleasesRefuseWhatAMendedQueryMakes(t *testing.T) {
	spec := state.Spec{Epoch: 7, Query: "SELECT 1", History: block.Range{Start: 1, End: 9}, Sinks: []string{"lake"}}
	part := state.Partition{Start: 3, End: 9, Generation: 2, State: state.PartitionOpen, Next: 5}
	for version := range 3 {
		spec.Version, part.Version = version, version
		for _, c := range []struct {
			now, read any
			older     any
		}{
			{&spec, &state.Spec{}, &struct{ Query string }{}},
			{&part, &state.Partition{}, &struct{ State string }{}},
		} {
			text, err := json.Marshal(c.now)
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(text, c.read); err != nil || !reflect.DeepEqual(c.now, c.read) {
				t.Errorf("%s is read as %+v, %v", text, c.read, err)
			}
			if err := json.Unmarshal(text, c.older); (err != nil) != (version > 0) {
				t.Errorf("an older release reads %s: %v", text, err)
			}
		}
	}
	var before state.Spec // as a version wrote it that knew versions, and no older releases
	if err := json.Unmarshal([]byte(`{"query":"SELECT 2","version":1}`), &before); err != nil || before.Query != "SELECT 2" || before.Version != 1 {
		t.Errorf("%+v, %v", before, err)
	}
	for _, text := range []string{`{"query":3}`, `{"query":{"value":3}}`, `[]`} {
		if json.Unmarshal([]byte(text), &before) == nil {
			t.Errorf("%s was read", text)
		}
	}
}
