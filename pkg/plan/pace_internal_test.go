package plan

import (
	"slices"
	"testing"
	"time"

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
