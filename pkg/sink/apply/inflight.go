package apply

import (
	"context"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// inflight counts the messages that were taken and not answered yet. It is safe for
// concurrent use, except for room, which one goroutine calls.
type inflight struct {
	limit  int
	logger zerolog.Logger
	freed  chan struct{} // holds one token when a message has left

	mu    sync.Mutex
	bytes int
	count int
	since time.Time // nothing was committed since then, though entries have waited
	back  time.Time // an entry was returned to the log last
}

// message is a Message in flight. One goroutine at a time has it.
type message struct {
	Message
	inflight *inflight
	answered bool
	staged   bool // in a Staging: answered when that is committed
}

func newInflight(limit int, logger zerolog.Logger) *inflight {
	return &inflight{limit: limit, logger: logger, freed: make(chan struct{}, 1)}
}

// room waits until the messages in flight are below the limit.
func (f *inflight) room(ctx context.Context) error {
	for {
		f.mu.Lock()
		ok := f.bytes < f.limit
		f.mu.Unlock()
		if ok {
			return ctx.Err()
		}
		select {
		case <-f.freed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (f *inflight) take(m Message) *message {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.bytes += len(m.Payload)
	if f.count == 0 && time.Since(f.back) > backSoon {
		f.since = time.Now() // what was returned before is not waited for here any more
	}
	f.count++
	return &message{Message: m, inflight: f}
}

// backSoon is the time within which an entry that was returned to the log is taken
// again, unless another process has it.
const backSoon = 5 * time.Second

// waits returns since when entries have waited with nothing committed; zero: none do.
func (f *inflight) waits() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.count == 0 && time.Since(f.back) > backSoon {
		return time.Time{}
	}
	return f.since
}

// noteCommit notes that entries were committed, here or by another process of the sink.
func (f *inflight) noteCommit() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.since = time.Now()
}

// ack acknowledges a message that is committed. If the answer is lost, the
// message comes again and is skipped.
func (m *message) ack() {
	m.inflight.noteCommit()
	m.answer("acknowledge", m.Reply.Ack)
}

// term ends a message that can never be committed.
func (m *message) term(reason string) {
	m.answer("end", func() error { return m.Reply.Term(reason) })
}

// nak returns a message to the log, unless it was answered before, or is staged.
func (m *message) nak(delay time.Duration) {
	if m.staged {
		return
	}
	if !m.answered {
		m.inflight.noteReturned()
	}
	m.answer("return", func() error { return m.Reply.Nak(delay) })
}

func (m *message) answer(what string, reply func() error) {
	if m.answered {
		return
	}
	m.answered = true
	if err := reply(); err != nil {
		m.inflight.logger.Warn().Err(err).Uint64("seq", m.Seq).Stringer("blocks", m.Range).
			Msgf("could not %s an entry; it will come again", what)
	}
	m.inflight.done()
	m.inflight.free(len(m.Payload))
}

func (f *inflight) noteReturned() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.back = time.Now()
}

func (f *inflight) done() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.count--
}

// release frees the payload of a message. The message is still in flight, and still to
// be answered.
func (m *message) release() {
	size := len(m.Payload)
	m.Payload = nil
	if r, ok := m.Reply.(interface{ Release() }); ok {
		r.Release()
	}
	m.inflight.free(size)
}

// free subtracts bytes of payloads that are not needed any more.
func (f *inflight) free(bytes int) {
	f.mu.Lock()
	f.bytes -= bytes
	f.mu.Unlock()
	select {
	case f.freed <- struct{}{}:
	default:
	}
}
