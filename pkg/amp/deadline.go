package amp

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ErrNoAnswer says that the server, or a proxy on the way, has accepted a call and then
// said nothing for longer than [Config] allows. It is to be tried later.
var ErrNoAnswer = errors.New("the server has accepted the call and does not answer")

// deadline ends a call that waits for its server for too long. The time in which its
// caller works is not counted. It is not safe for concurrent use.
type deadline struct {
	timer *time.Timer
	timed time.Duration // for which timer was made
	limit time.Duration // of the wait that begins next; 0: none
	end   context.CancelCauseFunc
}

// newDeadline returns a context for a call. Nothing is waited for yet.
func newDeadline(ctx context.Context) (context.Context, *deadline) {
	ctx, end := context.WithCancelCause(ctx)
	return ctx, &deadline{end: end}
}

// start begins a wait, which [deadline.stop] ends.
func (d *deadline) start() {
	switch limit := d.limit; {
	case limit == 0:
	case limit == d.timed:
		d.timer.Reset(limit)
	default: // its function may run just now, so that it must not read d
		d.timed = limit
		d.timer = time.AfterFunc(limit, func() { d.end(fmt.Errorf("%w for %v", ErrNoAnswer, limit)) })
	}
}

func (d *deadline) stop() {
	if d.timer != nil {
		d.timer.Stop()
	}
}

// close ends the call, if it has not ended.
func (d *deadline) close() {
	d.stop()
	d.end(nil)
}
