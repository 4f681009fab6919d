package amp

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ErrNoAnswer says that the server, or a proxy on the way, has accepted a call and then
// sent nothing for longer than [Config] allows. It is to be tried later. The time, and the
// key of the configuration that sets it, follow in the text.
var ErrNoAnswer = errors.New("the server has accepted the call and does not answer")

// deadline ends a call that waits for its server for too long. The time in which its
// caller works is not counted. It is not safe for concurrent use.
type deadline struct {
	timer *time.Timer
	timed patience // for which timer was made
	limit patience // of the wait that begins next
	end   context.CancelCauseFunc
}

// patience is how long the server may be silent, and the key that sets it; zero: for ever.
type patience struct {
	limit time.Duration
	key   string
}

func (p patience) over() error {
	return fmt.Errorf("%w for %v; if it only takes long, raise %s", ErrNoAnswer, p.limit, p.key)
}

func (cfg *Config) forAnswer() patience {
	return patience{cfg.AnswerTimeout, "source.answer_timeout"}
}

func (cfg *Config) forFirstRows() patience {
	return patience{cfg.FirstRowsTimeout, "source.first_rows_timeout"}
}

func (cfg *Config) forNextRows() patience {
	return patience{cfg.NextRowsTimeout, "source.next_rows_timeout"}
}

// newDeadline returns a context for a call. Nothing is waited for yet.
func newDeadline(ctx context.Context) (context.Context, *deadline) {
	ctx, end := context.WithCancelCause(ctx)
	return ctx, &deadline{end: end}
}

// start begins a wait, which [deadline.stop] ends.
func (d *deadline) start() {
	switch now := d.limit; {
	case now.limit == 0:
	case now == d.timed:
		d.timer.Reset(now.limit)
	default: // its function may run just now, so that it must not read d
		d.timed = now
		d.timer = time.AfterFunc(now.limit, func() { d.end(now.over()) })
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
