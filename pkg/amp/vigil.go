package amp

import (
	"sync"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
)

// vigil tells an observer what a stream waits for, and notices silence: no message
// may come for hours, and the goroutine that waits for it cannot say so.
type vigil struct {
	told  func(Wait)
	every time.Duration
	stop  chan struct{}
	done  sync.WaitGroup

	mu    sync.Mutex
	since time.Time // when listening began, or silence was last told; zero: not listening
	began time.Time
	after *block.Cursor
}

// keepVigil starts the vigil's goroutine, which [vigil.end] ends. Without an
// observer there is nothing to do.
func keepVigil(every time.Duration, told func(Wait)) *vigil {
	v := &vigil{told: told, every: every, stop: make(chan struct{})}
	if told != nil {
		v.done.Go(v.watch)
	}
	return v
}

func (v *vigil) end() {
	close(v.stop)
	v.done.Wait()
}

func (v *vigil) watch() {
	timer := time.NewTimer(v.every)
	defer timer.Stop()
	for {
		select {
		case <-v.stop:
			return
		case <-timer.C:
			timer.Reset(v.look())
		}
	}
}

// look tells of silence if it is time, and gives when to look again.
func (v *vigil) look() time.Duration {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.since.IsZero() {
		return v.every
	}
	now := time.Now()
	if rest := v.every - now.Sub(v.since); rest > 0 {
		return rest
	}
	v.since = now
	v.told(Wait{Reason: ErrSilence, Silent: now.Sub(v.began), After: v.after})
	return v.every
}

// listen begins a time in which a message should come.
func (v *vigil) listen(after *block.Cursor) {
	if v.told == nil {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.began, v.after = time.Now(), after
	v.since = v.began
}

// rest ends it.
func (v *vigil) rest() {
	if v.told == nil {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.since = time.Time{}
}

// tell passes on what else is waited for.
func (v *vigil) tell(w Wait) {
	if v.told == nil {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.told(w)
}
