package fault_test

import (
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ampipe/ampipe/pkg/fault"
)

// TestAligned: what is done from time to time is done at few moments, whenever each of it began,
// and about as often as it is to be.
func TestAligned(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		woken := map[time.Time]int{}
		began := time.Now()
		var all sync.WaitGroup
		for i := range 20 {
			every := time.Duration(1+i%2) * time.Second
			all.Go(func() {
				time.Sleep(time.Duration(i) * 137 * time.Millisecond)
				last := time.Now()
				for time.Since(began) < 20*time.Second {
					must(t, fault.Sleep(t.Context(), fault.Aligned(every)))
					now := time.Now()
					if waited := now.Sub(last); waited < every/2 || waited > every*3/2 {
						t.Errorf("%v after the last time, want about %v", waited, every)
					}
					last = now
					mu.Lock()
					woken[now]++
					mu.Unlock()
				}
			})
		}
		all.Wait()
		if n := len(woken); n > 23 {
			t.Errorf("the process is woken %d times in 20 s, at %v", n, slices.SortedFunc(maps.Keys(woken), time.Time.Compare))
		}
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}
