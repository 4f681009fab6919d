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
	consumer jetstream.Consumer
	pin      string // by which the server knows that this process has the live lane
	failures int    // since something worked
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
	p.consumer = made
	return made, nil
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

// invalidate makes the next call look for the consumer.
func (p *puller) invalidate() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failures = max(1, p.failures)
}
