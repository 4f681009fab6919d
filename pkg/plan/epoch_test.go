package plan_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/queue"
)

// TestAnEpochBeginsWhereAllSinksAgree loses the live lane when a sink has not applied
// all of it.
func TestAnEpochBeginsWhereAllSinksAgree(t *testing.T) {
	t.Parallel()
	at := func(n block.Number, branch byte) block.Cursor {
		return block.Cursor{Network: "test", Number: n, Hash: block.Hash{branch, 1}}
	}
	const old, now = 1, 2
	lane := queue.LivePosition{
		Epoch: 5, Seq: 40, Next: 211, Phase: queue.LiveLost,
		Points: []block.Cursor{at(99, old), at(120, old), at(149, old), at(160, now), at(179, now), at(210, now)},
		Voids:  []queue.Void{{After: 0, From: 100}, {After: 30, From: 150}},
	}
	for name, c := range map[string]struct {
		mark   queue.LiveMark
		start  block.Number
		points []block.Cursor
	}{
		"the invalidation was not applied": {
			queue.LiveMark{Started: true, Epoch: 5, Seq: 20, Start: 100, Cursor: at(180, old)},
			150, lane.Points[:3],
		},
		"it was": {
			queue.LiveMark{Started: true, Epoch: 5, Seq: 35, Start: 100, Cursor: at(180, now)},
			181, append(slices.Clone(lane.Points[:5]), at(180, now)),
		},
		"its cursor lies below it": {
			queue.LiveMark{Started: true, Epoch: 5, Seq: 10, Start: 100, Cursor: at(120, old)},
			121, lane.Points[:2],
		},
		"nothing of the epoch was applied": {
			queue.LiveMark{Started: true, Epoch: 4, Seq: 90, Start: 90, Cursor: at(180, old)},
			100, lane.Points[:1],
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := setup(t)
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			spec := queue.Spec{
				Epoch: 5, Query: "SELECT * FROM t", Network: "test", History: block.Range{End: 100},
				Live: &queue.Origin{Start: 100, Points: lane.Points[:1]},
			}
			_, err := d.State.SaveSpec(ctx, spec, 0)
			must(t, err)
			must(t, d.State.PutLivePosition(ctx, lane))
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				_, _ = d.Run(ctx, spec, 100) // it ends with the test
			}()
			defer func() { <-ended }()
			defer stop()
			for got := spec; ; {
				must(t, d.State.PutReport(ctx, queue.SinkReport{Name: "warehouse", Live: c.mark, Updated: time.Now()}))
				got, _, err = d.State.LoadSpec(ctx)
				must(t, err)
				if got.Epoch == spec.Epoch {
					continue // the planner has not looked yet
				}
				if got.Live.Start != c.start || !slices.Equal(got.Live.Points, c.points) || got.Live.Open {
					t.Errorf("it begins with %+v, want block %d after %v", got.Live, c.start, c.points)
				}
				return
			}
		})
	}
}
