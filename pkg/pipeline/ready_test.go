package pipeline

import (
	"testing"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/queue"
)

// TestLacks holds when a sink's history is complete, by the plan and its report alone.
func TestLacks(t *testing.T) {
	blocks := func(start, end block.Number) block.Range { return block.Range{Start: start, End: end} }
	number := func(n block.Number) *block.Number { return &n }
	finite := queue.Spec{Epoch: 5, History: blocks(100, 200), MaxBlock: number(200)}
	follows := queue.Spec{Epoch: 5, History: blocks(100, 200), Live: &queue.Origin{Start: 200}}
	tentative := queue.Spec{Epoch: 5, History: blocks(100, 200), Live: &queue.Origin{Start: 200, Tentative: true}}
	ends := queue.Spec{Epoch: 5, History: blocks(100, 200), Live: &queue.Origin{Start: 200}, MaxBlock: number(220)}
	lane := func(epoch uint64, start block.Number) queue.LiveMark {
		return queue.LiveMark{Started: true, Epoch: epoch, Start: start}
	}
	for name, c := range map[string]struct {
		spec    queue.Spec
		covered []block.Range
		live    queue.LiveMark
		reason  string
		missing uint64
	}{
		"nothing":                        {finite, nil, queue.LiveMark{}, "100 of 100 blocks of the history are missing, the first is block 100", 100},
		"two gaps":                       {finite, []block.Range{blocks(0, 150), blocks(160, 190)}, queue.LiveMark{}, "20 of 100 blocks of the history are missing, the first is block 150", 20},
		"all of a range":                 {finite, []block.Range{blocks(100, 200)}, queue.LiveMark{}, "", 0},
		"more than all":                  {finite, []block.Range{blocks(0, 500)}, queue.LiveMark{}, "", 0},
		"history without a lane":         {follows, []block.Range{blocks(100, 200)}, queue.LiveMark{}, "the history is complete, and the live lane has not begun", 0},
		"history and lane":               {follows, []block.Range{blocks(100, 200)}, lane(5, 200), "", 0},
		"a lane without history":         {follows, []block.Range{blocks(190, 230)}, lane(5, 200), "90 of 100 blocks of the history are missing, the first is block 100", 90},
		"a sink that joined late":        {follows, []block.Range{blocks(100, 200)}, lane(5, 250), "50 of 150 blocks of the history are missing, the first is block 200", 50},
		"and has it all":                 {follows, []block.Range{blocks(100, 250)}, lane(5, 250), "", 0},
		"a lane taken back below":        {follows, []block.Range{blocks(100, 180)}, lane(5, 180), "", 0},
		"a lane of the epoch before":     {follows, []block.Range{blocks(100, 230)}, lane(4, 200), "the history is complete, and the live lane has not begun again", 0},
		"sinks that are still asked":     {tentative, []block.Range{blocks(100, 230)}, lane(5, 200), "the history is complete, and the live lane has not begun again", 0},
		"a lane up to max_block":         {ends, []block.Range{blocks(100, 200)}, lane(5, 200), "", 0},
		"one that began above max_block": {ends, []block.Range{blocks(100, 200)}, lane(5, 300), "20 of 120 blocks of the history are missing, the first is block 200", 20},
	} {
		report := queue.SinkReport{Coverage: block.NewSet(c.covered...), Live: c.live}
		reason, missing := lacks(c.spec, report)
		if reason != c.reason || missing != c.missing {
			t.Errorf("%s: %q and %d blocks, want %q and %d", name, reason, missing, c.reason, c.missing)
		}
	}
}
