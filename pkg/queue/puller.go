package queue

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// puller is a durable consumer that messages are requested from. Once a request has
// failed the consumer may have been deleted, so it is looked up, and made if need be,
// until something works again. It is safe for concurrent use, and no call waits for
// another.
type puller struct {
	open func(ctx context.Context, wait time.Duration) (jetstream.Consumer, error)

	mu       sync.Mutex
	consumer jetstream.Consumer // as it was first found: only that remembers who has the live lane
	failures int                // since something worked
}

// find returns the consumer. If it was looked for and not found, it also returns why: a
// cluster may be long in answering that though it delivers already, so the first times it
// is not waited for long.
func (p *puller) find(ctx context.Context) (consumer jetstream.Consumer, findErr error) {
	p.mu.Lock()
	known, failures := p.consumer, p.failures
	p.mu.Unlock()
	if known != nil && failures == 0 {
		return known, nil
	}
	wait := apiWait
	if known != nil {
		wait = min(apiWait, time.Duration(1+failures)*time.Second/2)
	}
	made, err := p.open(ctx, wait)
	switch {
	case err != nil && known == nil, errors.Is(err, jetstream.ErrStreamNotFound):
		return nil, p.result(err, false, nil)
	case err != nil:
		return known, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.consumer == nil {
		p.consumer = made
	}
	return p.consumer, nil
}

// result returns what a request has come to: its error or, if it was not answered, why the
// consumer was not found. Silence alone is no failure, as there may be nothing to send,
// and no success.
func (p *puller) result(findErr error, answered bool, err error) error {
	if err == nil && !answered {
		err = findErr
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil {
		p.failures = 0
	} else {
		p.failures++
	}
	return err
}

// fetch makes one request for at most so many messages, which lasts so long, and passes each
// to take. It reports whether the server has answered. An error is not classed.
//
// The server ends the request a little before its time is over, and says so. What it has sent
// until then is taken also if it comes late, over a slow connection or to a process that had
// to wait for the processor: left alone, it would come again only after the consumer's AckWait.
func fetch(
	ctx context.Context, consumer jetstream.Consumer, wait time.Duration, messages int, take func(jetstream.Msg), opts ...jetstream.FetchOpt,
) (got int, answered bool, err error) {
	began := time.Now()
	batch, err := consumer.Fetch(messages, append(opts, jetstream.FetchContext(expiring{ctx, began.Add(wait)}))...)
	if err != nil {
		return 0, false, err
	}
	for msg := range batch.Messages() {
		take(msg)
		got++
	}
	switch err := batch.Error(); {
	case err == nil && got == 0:
		return 0, time.Since(began) < silentAfter(wait), nil
	case err == nil, errors.Is(err, jetstream.ErrBatchCompleted),
		errors.Is(err, jetstream.ErrPinIDMismatch): // another process has the lane now; the next request waits for it
		return got, true, nil
	case ctx.Err() != nil:
		return got, got > 0, nil
	default:
		return got, false, err
	}
}

// expiring is a context with a deadline that does not end it: nats.go has the server end the
// request a second or a tenth earlier, whichever is less, and would itself end it there.
type expiring struct {
	context.Context
	at time.Time
}

// Deadline is part of [context.Context].
func (e expiring) Deadline() (time.Time, bool) { return e.at, true }

// silentAfter returns after which time the end of a request that lasts so long was not the
// server's: nats.go ends it a second after the server was to.
func silentAfter(wait time.Duration) time.Duration {
	return wait - min(wait/10, time.Second) + time.Second
}

// invalidate makes the next call look for the consumer.
func (p *puller) invalidate() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failures = max(1, p.failures)
}
