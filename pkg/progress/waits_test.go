package progress_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/ampipe/ampipe/pkg/progress"
)

// TestWaitsByKind counts the parts that wait, by kind, and tells for how long the first
// of them has waited. Another reason does not begin a wait anew.
func TestWaitsByKind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := progress.NewMeter()
		check := func(when string, want map[string]float64) {
			t.Helper()
			got := figures(t, m)
			for name, value := range want {
				if v, served := got[name]; !served || v != value {
					t.Errorf("%s: %s is %v, want %v", when, name, v, value)
				}
			}
			if count := len(got); count > 2+2*2 {
				t.Errorf("%s: %d figures: %v", when, count, got)
			}
		}
		m.Waiting("partition 0.0", "not there")
		time.Sleep(10 * time.Second)
		m.Waiting("partition 9.0", "not there")
		m.Waiting("partition 0.0", "still not there")
		m.Waiting("source", "")
		check("both wait", map[string]float64{
			"ampipe_waiting_parts partition": 2, "ampipe_longest_wait_seconds partition": 10, "ampipe_waiting": 2,
			"ampipe_waiting_parts source": 0, "ampipe_longest_wait_seconds source": 0,
		})
		m.Waiting("partition 0.0", "")
		time.Sleep(5 * time.Second)
		check("one waits", map[string]float64{"ampipe_waiting_parts partition": 1, "ampipe_longest_wait_seconds partition": 5})
		m.Waiting("partition 9.0", "")
		check("none waits", map[string]float64{"ampipe_waiting_parts partition": 0, "ampipe_longest_wait_seconds partition": 0, "ampipe_waiting": 0})
	})
}
