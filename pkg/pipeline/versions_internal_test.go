package pipeline

import (
	"testing"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/state"
)

// A partition that failed as a whole has loaded what is before the block at fault. It is
// read again with the mended query, and the destination keeps what it has.
func TestAVersionMayHaveLoadedWhatALaterOneHasReadAgain(t *testing.T) {
	parts := []queue.Stored[state.Partition]{
		{Value: state.Partition{Start: 0, End: 100, State: state.PartitionFailed}},
		{Value: state.Partition{Start: 0, End: 100, Generation: 1, Version: 1, State: state.PartitionDone}},
	}
	all := versionsOf(state.Spec{Version: 1, Query: "mended", Earlier: []state.Earlier{{Query: "first"}}}, parts)
	again := block.Range{Start: 0, End: 100}
	if len(all) != 2 || all[0].number != 1 || !all[0].blocks.Covers(again) || !all[0].any.Covers(again) {
		t.Errorf("version 1: %+v", all)
	}
	if all[1].blocks.Len() != 0 || !all[1].any.Covers(again) {
		t.Errorf("version 0 read blocks %v last and may have loaded %v", all[1].blocks, all[1].any)
	}
}
