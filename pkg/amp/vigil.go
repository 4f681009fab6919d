package amp

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/fault"
)

const (
	// settled is how long a stream is open before what was reported before it is over, and
	// before the head is compared with where it resumes.
	settled = 5 * time.Second
	// stalledAfter is after how much silence the server is asked for its head, and how
	// often.
	stalledAfter = 3 * time.Minute
	// headPause is how often it is asked if it does not say.
	headPause = 30 * time.Second
)

// ErrStalled says that a stream has been silent for minutes although the server has
// blocks that it did not send: it, or a proxy, may have lost the stream, or its tables
// are damaged.
var ErrStalled = errors.New("the server does not send the blocks that it has")

// ErrBehind says that the server's head is below a block that was loaded: the server was
// set back, syncs anew, or is another one.
var ErrBehind = errors.New("the server is behind what is loaded")

// Behind returns an [ErrBehind] with both blocks, to be tried later.
func Behind(head, loaded block.Number) error {
	return fault.Later(fmt.Errorf("%w: its head is block %d, and block %d is loaded; wait until it has caught up, "+
		"and look whether source.amp names the right server and whether its chain was begun anew", ErrBehind, head, loaded), 0)
}

// vigil tells an observer what a stream waits for, and notices silence: no message
// may come for hours, and the goroutine that waits for it cannot say so. Silence is
// looked into: the head shows whether the chain stands still or the stream.
type vigil struct {
	told  func(Wait)
	every time.Duration
	head  func(context.Context) ([]Range, error) // nil: cannot be asked
	end   context.CancelFunc
	done  sync.WaitGroup

	mu    sync.Mutex
	since time.Time // when listening began, or silence was last told; zero: not listening
	began time.Time
	after *block.Cursor
	other bool // something else than silence was told last

	turn  uint64      // counts the times of listening
	cut   func(error) // ends the connection
	fresh bool        // nothing has come on this connection
	ask   time.Time   // for the head, not before
	ahead int         // how often the head was, since something has come
	doubt error       // what the head, or its lack, says of the silence; nil: nothing
}

// keepVigil starts the vigil's goroutine, which [vigil.close] ends. Without an
// observer there is nothing to do.
func keepVigil(ctx context.Context, every time.Duration, told func(Wait), head func(context.Context) ([]Range, error)) *vigil {
	ctx, end := context.WithCancel(ctx)
	v := &vigil{told: told, every: every, head: head, end: end}
	if told != nil {
		v.done.Go(func() { v.watch(ctx) })
	}
	return v
}

func (v *vigil) close() {
	v.end()
	v.done.Wait()
}

func (v *vigil) watch(ctx context.Context) {
	timer := time.NewTimer(min(v.every, settled))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			if v.look() {
				v.compare(ctx)
			}
			timer.Reset(min(v.every, settled))
		}
	}
}

// look tells of silence if it is time, and reports whether to ask for the head.
func (v *vigil) look() (ask bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.since.IsZero() {
		return false
	}
	now := time.Now()
	silent := now.Sub(v.began)
	if now.Sub(v.since) >= v.every || v.other && silent >= settled {
		v.since = now
		v.tellSilence(silent)
	}
	patience := stalledAfter
	if v.fresh {
		patience = settled
	}
	return v.head != nil && silent >= patience && !now.Before(v.ask)
}

func (v *vigil) tellSilence(silent time.Duration) {
	reason := v.doubt
	if reason == nil {
		reason = ErrSilence
	}
	v.other = false
	v.told(Wait{Reason: reason, Silent: silent, After: v.after})
}

// compare asks for the head. One that is ahead of the stream may have moved just now:
// the second in a row is reported, and the third ends the connection.
func (v *vigil) compare(ctx context.Context) {
	v.mu.Lock()
	turn, after := v.turn, v.after
	v.mu.Unlock()
	ranges, err := v.head(ctx)
	v.mu.Lock()
	defer v.mu.Unlock()
	if ctx.Err() != nil || v.turn != turn || v.since.IsZero() {
		return // it is not silent any more
	}
	before, now := v.doubt, time.Now()
	v.ask, v.doubt = now.Add(stalledAfter), nil
	switch head, known := headOf(ranges, after); {
	case err != nil:
		v.ask = now.Add(headPause)
		v.doubt = fmt.Errorf("the server sends nothing, and does not say what its head is: %w", err)
	case known && after != nil && head < after.Number:
		v.ask = now.Add(headPause)
		v.doubt = Behind(head, after.Number)
	case !known || (after != nil && head == after.Number):
		v.ahead = 0
	default:
		v.ahead++
		v.doubt = before
		if v.ahead == 1 { // what has just come to it is sent within this time
			v.ask = now.Add(headPause)
			break
		}
		silent := now.Sub(v.began).Round(time.Second)
		v.doubt = fmt.Errorf("%w: it has sent nothing after %s for %v, and its head is block %d", ErrStalled, place(after), silent, head)
		if silent >= stalledAfter && v.ahead > 2 {
			v.doubt = fmt.Errorf("%w; the stream is asked for again, and if that does not help the server must be restarted", v.doubt)
			v.cut(v.doubt)
			return // which tells it
		}
	}
	if !same(v.doubt, before) {
		v.tellSilence(now.Sub(v.began))
	}
}

// same reports whether two errors say the same.
func same(a, b error) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Error() == b.Error()
}

// headOf returns the last block that the server has of the network that is followed.
func headOf(ranges []Range, after *block.Cursor) (head block.Number, known bool) {
	for _, r := range ranges {
		if !r.Numbers.Empty() && (after == nil || r.Network == after.Network) {
			return r.Numbers.Last(), true
		}
	}
	return 0, false
}

func place(after *block.Cursor) string {
	if after == nil {
		return "the beginning"
	}
	return fmt.Sprintf("block %d", after.Number)
}

// connect begins a connection that cut ends.
func (v *vigil) connect(cut func(error)) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.cut, v.fresh = cut, true
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
	v.turn++
}

// rest ends it; heard: a message has come.
func (v *vigil) rest(heard bool) {
	if v.told == nil {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.since = time.Time{}
	if heard {
		v.fresh, v.ask, v.ahead, v.doubt = false, time.Time{}, 0, nil
	}
}

// tell passes on what else is waited for.
func (v *vigil) tell(w Wait) {
	if v.told == nil {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.other = true
	v.told(w)
}
