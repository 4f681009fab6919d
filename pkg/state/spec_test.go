package state_test

import (
	"encoding/json"
	"testing"

	"github.com/ampipe/ampipe/pkg/state"
)

// A plan and a partition as they were written before a query could take over.
func TestDocumentsOfTheVersionBefore(t *testing.T) {
	var spec state.Spec
	old := `{"epoch":7,"query":"SELECT 1","block_column":"block_num","schema":null,"network":"eth",` +
		`"history":[0,90],"live":{"start":90},"planned":"2026-01-02T03:04:05Z"}`
	if err := json.Unmarshal([]byte(old), &spec); err != nil {
		t.Fatal(err)
	}
	if spec.Version != 0 || spec.Earlier != nil || spec.LiveFrom != nil || spec.Query != "SELECT 1" || spec.Live.Start != 90 {
		t.Errorf("plan %+v", spec)
	}
	var part state.Partition
	if err := json.Unmarshal([]byte(`{"start":5,"generation":1,"end":9,"state":"failed","error":"x"}`), &part); err != nil {
		t.Fatal(err)
	}
	if part.Version != 0 || part.ID() != "5.1" || part.State != state.PartitionFailed {
		t.Errorf("partition %+v", part)
	}
}
