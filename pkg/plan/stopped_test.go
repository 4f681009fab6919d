package plan_test

import (
	"testing"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/plan"
	"github.com/ampipe/ampipe/pkg/state"
)

// TestAFailedSinkDoesNotHoldTheLiveLane: a sink in a process of its own has failed, and
// does not say again how far it is when the live lane is to begin with a mended query.
func TestAFailedSinkDoesNotHoldTheLiveLane(t *testing.T) {
	for _, start := range []config.LiveStart{config.WithBackfill, config.AfterBackfill} {
		t.Run(string(start), func(t *testing.T) {
			t.Parallel()
			d := newLiveEnv(t, "warehouse", "cache")
			d.Config.Live.Start = start
			d.spec.Epoch, d.spec.Version, d.spec.Live.Tentative = 5, 1, true
			d.fails("cache", d.mark(7, 800, 880), block.Range{Start: 750, End: 881})
			d.run()
			d.reports("warehouse", d.mark(9, 800, 900), block.Range{Start: 700, End: 901})
			d.until("the chain is followed", func(plan.Status) bool { return d.queued() })
			if s := d.stored(); s.Live.Tentative || s.Live.Start != 881 || s.LiveFrom == nil || *s.LiveFrom != 881 {
				t.Errorf("plan %+v, origin %+v", s, s.Live)
			}
		})
	}
}

// fails plays a sink that has failed with what it had then.
func (d *liveEnv) fails(sink string, mark state.LiveState, coverage ...block.Range) {
	d.t.Helper()
	must(d.t, d.State.PutReport(d.t.Context(), state.SinkReport{
		Name: sink, Coverage: block.NewSet(coverage...), Live: mark, State: state.SinkFailed, Reason: "a value does not fit",
	}))
}
