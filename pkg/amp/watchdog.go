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
	// settleTime is how long a stream is open before what was reported before it is over, and
	// before the head is compared with where it resumes.
	settleTime = 5 * time.Second
	// stalledAfter is the silence after which the server is asked for its head, and the
	// period in which that is repeated.
	stalledAfter = 3 * time.Minute
	// headRetry is the period while it does not answer.
	headRetry = 30 * time.Second
)

// ErrStalled says that a stream has been silent for minutes although the server has
// blocks that it did not send: it, or a proxy, may have lost the stream, or its tables
// are damaged.
var ErrStalled = errors.New("the server does not send the blocks that it has")

// ErrBehind says that the server's head is below a block that was loaded: the server was
// restored to an earlier state, syncs anew, or is another one.
var ErrBehind = errors.New("the server is behind what is loaded")

// Behind returns an [ErrBehind] with both blocks, to be tried later.
func Behind(head, loaded block.Number) error {
	return fault.Later(fmt.Errorf("%w: its head is block %d, and block %d is loaded; wait until it has caught up, "+
		"and look whether source.amp names the right server and whether its chain was begun anew", ErrBehind, head, loaded), 0)
}

// watchdog reports to an observer what a stream waits for, silence included: no message
// may come for hours, and the goroutine that reads the stream cannot report that. In a
// silence the server is asked for its head, which shows whether the chain or the stream
// has stopped.
type watchdog struct {
	onWait func(Wait)
	every  time.Duration
	head   func(context.Context) ([]Range, error) // nil: cannot be asked
	cancel context.CancelFunc
	done   sync.WaitGroup

	mu          sync.Mutex
	listening   time.Time // when listening began, or silence was last reported; zero: not listening
	began       time.Time
	after       *block.Cursor
	otherReason bool // something else than silence was reported last

	turn       uint64      // counts the times of listening
	disconnect func(error) // ends the connection
	fresh      bool        // nothing has come on this connection
	nextProbe  time.Time   // for the head, not before
	aheadCount int         // how often the head was, since something has come
	suspicion  error       // what the head, or its lack, says of the silence; nil: nothing
}

// startWatchdog starts the goroutine, which [watchdog.close] ends. Without an observer
// there is none.
func startWatchdog(ctx context.Context, every time.Duration, onWait func(Wait), head func(context.Context) ([]Range, error)) *watchdog {
	ctx, end := context.WithCancel(ctx)
	w := &watchdog{onWait: onWait, every: every, head: head, cancel: end}
	if onWait != nil {
		w.done.Go(func() { w.watch(ctx) })
	}
	return w
}

func (w *watchdog) close() {
	w.cancel()
	w.done.Wait()
}

func (w *watchdog) watch(ctx context.Context) {
	timer := time.NewTimer(min(w.every, settleTime))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			if w.reportSilence() {
				w.compareHead(ctx)
			}
			timer.Reset(min(w.every, settleTime))
		}
	}
}

// reportSilence reports silence if it is time, and reports whether to ask for the head.
func (w *watchdog) reportSilence() (ask bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.listening.IsZero() {
		return false
	}
	now := time.Now()
	silent := now.Sub(w.began)
	if now.Sub(w.listening) >= w.every || (w.otherReason && silent >= settleTime) {
		w.listening = now
		w.reportSilent(silent)
	}
	patience := stalledAfter
	if w.fresh {
		patience = settleTime
	}
	return w.head != nil && silent >= patience && !now.Before(w.nextProbe)
}

func (w *watchdog) reportSilent(silent time.Duration) {
	reason := w.suspicion
	if reason == nil {
		reason = ErrSilence
	}
	w.otherReason = false
	w.onWait(Wait{Reason: reason, Silent: silent, After: w.after})
}

// compareHead asks the server for its head. One that is ahead of the stream may have moved
// just now: the second in a row is reported, and the third ends the connection.
func (w *watchdog) compareHead(ctx context.Context) {
	w.mu.Lock()
	turn, after := w.turn, w.after
	w.mu.Unlock()
	ranges, err := w.head(ctx)
	w.mu.Lock()
	defer w.mu.Unlock()
	if ctx.Err() != nil || w.turn != turn || w.listening.IsZero() {
		return // it is not silent any more
	}
	before, now := w.suspicion, time.Now()
	w.nextProbe, w.suspicion = now.Add(stalledAfter), nil
	switch head, known := headOf(ranges, after); {
	case err != nil:
		w.nextProbe = now.Add(headRetry)
		w.suspicion = fmt.Errorf("the server sends nothing, and does not say what its head is: %w", err)
	case known && after != nil && head < after.Number:
		w.nextProbe = now.Add(headRetry)
		w.suspicion = Behind(head, after.Number)
	case !known || (after != nil && head == after.Number):
		w.aheadCount = 0
	default:
		w.aheadCount++
		w.suspicion = before
		if w.aheadCount == 1 { // what has just come to it is sent within this time
			w.nextProbe = now.Add(headRetry)
			break
		}
		silent := now.Sub(w.began).Round(time.Second)
		w.suspicion = fmt.Errorf("%w: it has sent nothing after %s for %v, and its head is block %d",
			ErrStalled, describePosition(after), silent, head)
		if silent >= stalledAfter && w.aheadCount > 2 {
			w.suspicion = fmt.Errorf("%w; the stream is asked for again, and if that does not help the server must be restarted", w.suspicion)
			w.disconnect(w.suspicion)
			return // the loop that reads the stream reports it
		}
	}
	if !sameText(w.suspicion, before) {
		w.reportSilent(now.Sub(w.began))
	}
}

// sameText reports whether two errors have the same text.
func sameText(a, b error) bool {
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

func describePosition(after *block.Cursor) string {
	if after == nil {
		return "the beginning"
	}
	return fmt.Sprintf("block %d", after.Number)
}

// connect notes a new connection, which cut ends.
func (w *watchdog) connect(cut func(error)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.disconnect, w.fresh = cut, true
}

// listen notes that a message should come from now on.
func (w *watchdog) listen(after *block.Cursor) {
	if w.onWait == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.began, w.after = time.Now(), after
	w.listening = w.began
	w.turn++
}

// stopListening ends what listen began; heard: a message has come.
func (w *watchdog) stopListening(heard bool) {
	if w.onWait == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.listening = time.Time{}
	if heard {
		w.fresh, w.nextProbe, w.aheadCount, w.suspicion = false, time.Time{}, 0, nil
	}
}

// report reports what else is waited for.
func (w *watchdog) report(wait Wait) {
	if w.onWait == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.otherReason = true
	w.onWait(wait)
}
