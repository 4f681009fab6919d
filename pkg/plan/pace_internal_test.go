package plan

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/state"
)

// TestPace: how often something is due is a matter of time, however long a round waits.
func TestPace(t *testing.T) {
	t.Parallel()
	begin := time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC)
	r := newReconciler(&Planner{Every: time.Second}, state.Spec{}, 1)
	for name, c := range map[string]struct {
		pace   pace
		rounds []int // seconds at which they begin
		want   []int
	}{
		"from the first round on": {r.pace(4, time.Time{}), []int{1, 2, 3, 4, 5, 6, 7, 8, 9}, []int{1, 5, 9}},
		"not in the first round":  {r.pace(4, begin), []int{1, 2, 3, 4, 5, 6, 7, 8, 9}, []int{4, 8}},
		"in every round":          {r.pace(1, time.Time{}), []int{1, 2, 3, 4, 5}, []int{1, 2, 3, 4, 5}},
		"in rounds that wait":     {r.pace(4, time.Time{}), []int{1, 5, 10, 14, 15, 18}, []int{1, 5, 10, 14, 18}},
	} {
		var due []int
		for _, at := range c.rounds {
			if c.pace.due(begin.Add(time.Duration(at) * time.Second)) {
				due = append(due, at)
			}
		}
		if !slices.Equal(due, c.want) {
			t.Errorf("%s: it is due at %v, want %v", name, due, c.want)
		}
	}
}

// TestPauseOfASteadyPipeline: it is looked at every two seconds, however it comes to a round, and
// at the same moments as what others do from time to time.
func TestPauseOfASteadyPipeline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newReconciler(&Planner{}, state.Spec{Epoch: 1, Live: &state.Origin{}, History: block.Range{}}, 1)
		now := round{log: queue.LogState{MaxBytes: 1 << 30}}
		now.Live.Follows = true
		now.Sinks = []SinkStatus{{Report: state.SinkReport{Live: state.LiveState{Started: true, Epoch: 1}}}}
		time.Sleep(1700 * time.Millisecond)
		for range 5 {
			next := r.nextPause(&now)
			if !next.steady {
				t.Fatal("it is not steady")
			}
			time.Sleep(next.most)
			if past := time.Duration(time.Now().UnixNano()) % (2 * time.Second); past != 0 {
				t.Errorf("it is looked at %v after a full two seconds", past)
			}
			time.Sleep(300 * time.Millisecond) // of work
		}
		if took := time.Since(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)); took > 14*time.Second {
			t.Errorf("five rounds take %v", took)
		}
		now.Sinks[0].Missing = 1
		if next := r.nextPause(&now); next.steady || next.most > time.Second {
			t.Errorf("a sink lacks blocks, and the next round is in %v", next.most)
		}
	})
}
