package apply

import (
	"testing"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/sink"
)

// liveEntry returns a change of the live lane. Hashes are those of one chain.
func liveEntry(kind entry.Kind, epoch, after, seq uint64, from, to block.Number) sink.Change {
	return sink.Change{
		Header: entry.Header{
			Kind: kind, Epoch: epoch, Network: "net", Range: block.Closed(from, to),
			Hash: block.Hash{byte(to)}, Prev: block.Hash{byte(from - 1)},
		},
		Live: true, After: after, Seq: seq,
	}
}

func closing(c sink.Change) sink.Change {
	c.Complete = true
	return c
}

// TestStepsOfTheLiveLane: what the destination holds is known from what it said at the
// beginning, and from what was committed since.
func TestStepsOfTheLiveLane(t *testing.T) {
	loaded := sink.LiveState{
		Started: true, Epoch: 1, Seq: 9, Start: 10, Cursor: block.Cursor{Network: "net", Number: 19, Hash: block.Hash{19}},
	}
	has := func(from, to block.Number) LiveStep {
		return LiveStep{Blocks: block.Closed(from, to), Hash: block.Hash{byte(to)}}
	}
	undone := func(from, to block.Number) LiveStep { return LiveStep{Undone: true, Blocks: block.Closed(from, to)} }
	for name, c := range map[string]struct {
		at      sink.LiveState
		changes []sink.Change
		want    []LiveStep
	}{
		"the first of all": {
			changes: []sink.Change{
				liveEntry(entry.Invalidate, 1, 0, 2, 10, 10), liveEntry(entry.Data, 1, 2, 3, 10, 12), liveEntry(entry.Watermark, 1, 3, 4, 10, 12),
			},
			want: []LiveStep{has(10, 12)},
		},
		"more": {
			at:      loaded,
			changes: []sink.Change{liveEntry(entry.Data, 1, 9, 10, 20, 20), liveEntry(entry.Watermark, 1, 10, 11, 20, 20)},
			want:    []LiveStep{has(20, 20)},
		},
		"rows that close their range": {
			at: loaded,
			changes: []sink.Change{
				closing(liveEntry(entry.Data, 1, 9, 10, 20, 21)), liveEntry(entry.Invalidate, 1, 10, 11, 21, 21), closing(liveEntry(entry.Data, 1, 11, 12, 21, 21)),
			},
			want: []LiveStep{has(20, 21), undone(21, 21), has(21, 21)},
		},
		"what was committed before this process began": {
			at:      loaded,
			changes: []sink.Change{liveEntry(entry.Invalidate, 1, 5, 8, 15, 15), liveEntry(entry.Watermark, 1, 8, 9, 15, 19)},
		},
		"rows that were not complete": {
			at:      loaded,
			changes: []sink.Change{liveEntry(entry.Data, 1, 9, 10, 20, 25), liveEntry(entry.Invalidate, 1, 10, 11, 20, 20)},
		},
		"a reorg below the first live block": {
			at:      loaded,
			changes: []sink.Change{liveEntry(entry.Invalidate, 1, 9, 10, 7, 7), liveEntry(entry.Watermark, 1, 10, 11, 7, 20)},
			want:    []LiveStep{undone(7, 19), has(7, 20)},
		},
		"an epoch that continues": {
			at:      loaded,
			changes: []sink.Change{liveEntry(entry.Invalidate, 2, 0, 30, 20, 20), liveEntry(entry.Watermark, 2, 30, 31, 20, 20)},
			want:    []LiveStep{has(20, 20)},
		},
		"an epoch that begins lower": {
			at:      loaded,
			changes: []sink.Change{liveEntry(entry.Invalidate, 2, 0, 30, 18, 18), liveEntry(entry.Watermark, 2, 30, 31, 18, 22)},
			want:    []LiveStep{undone(18, 19), has(18, 22)},
		},
		"an epoch beyond what it holds": {
			at:      loaded,
			changes: []sink.Change{liveEntry(entry.Invalidate, 2, 0, 30, 50, 50), liveEntry(entry.Watermark, 2, 30, 31, 50, 52)},
			want:    []LiveStep{undone(10, 19), has(50, 52)},
		},
		"what another process has committed between": {
			at: loaded,
			changes: []sink.Change{
				liveEntry(entry.Watermark, 1, 14, 15, 24, 25), liveEntry(entry.Invalidate, 1, 15, 16, 24, 24), liveEntry(entry.Watermark, 1, 16, 17, 24, 24),
			},
			want: []LiveStep{has(24, 25), undone(24, 25), has(24, 24)},
		},
	} {
		t.Run(name, func(t *testing.T) {
			steps := &liveSteps{}
			steps.begin(c.at)
			steps.begin(sink.LiveState{Started: true, Epoch: 9, Seq: 999}) // it is asked again
			var changes []liveChange
			for _, change := range c.changes {
				changes = append(changes, liveChange{steps, change}, liveChange{steps, change}) // it comes twice
			}
			got := stepsOf(changes)
			if len(got) != len(c.want) {
				t.Fatalf("the steps are %v, want %v", got, c.want)
			}
			for i, step := range got {
				if step != c.want[i] {
					t.Errorf("step %d is %+v, want %+v", i, step, c.want[i])
				}
			}
		})
	}
}
