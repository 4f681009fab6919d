package fault

import (
	"sync"
	"time"
)

// Long is how long a call may take before it should be reported that it is waited for.
const Long = 30 * time.Second

// Watch calls report every so often with the time that has passed, from a goroutine of
// its own, until stop is called. When stop returns no call is running, and none follows.
func Watch(every time.Duration, report func(since time.Duration)) (stop func()) {
	began := time.Now()
	var mu sync.Mutex
	stopped := false
	var timer *time.Timer
	mu.Lock()
	timer = time.AfterFunc(every, func() {
		mu.Lock()
		defer mu.Unlock()
		if stopped {
			return
		}
		report(time.Since(began))
		timer.Reset(every)
	})
	mu.Unlock()
	return func() {
		mu.Lock()
		defer mu.Unlock()
		stopped = true
		timer.Stop()
	}
}
