package apply

import (
	"context"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// hand counts the messages that were taken and not answered yet. It is safe for
// concurrent use, except for room, which one goroutine calls.
type hand struct {
	limit  int
	logger zerolog.Logger
	freed  chan struct{} // holds one token when a message has left

	mu    sync.Mutex
	bytes int
	count int
	since time.Time // nothing was committed since then, though entries have waited
	back  time.Time // an entry was given back last
}

// held is a message in hand. One goroutine at a time has it.
type held struct {
	Message
	hand     *hand
	answered bool
	staged   bool // in a Stager: answered when that is committed
}

func newHand(limit int, logger zerolog.Logger) *hand {
	return &hand{limit: limit, logger: logger, freed: make(chan struct{}, 1)}
}

// room waits until the messages in hand are below the limit.
func (h *hand) room(ctx context.Context) error {
	for {
		h.mu.Lock()
		ok := h.bytes < h.limit
		h.mu.Unlock()
		if ok {
			return ctx.Err()
		}
		select {
		case <-h.freed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (h *hand) take(m Message) *held {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.bytes += len(m.Payload)
	if h.count == 0 && time.Since(h.back) > backSoon {
		h.since = time.Now() // what was given back before is not waited for here any more
	}
	h.count++
	return &held{Message: m, hand: h}
}

// backSoon is within which time an entry that was given back is taken again, unless
// another process has it.
const backSoon = 5 * time.Second

// waits returns since when entries have waited with nothing committed; zero: none do.
func (h *hand) waits() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.count == 0 && time.Since(h.back) > backSoon {
		return time.Time{}
	}
	return h.since
}

// moved notes that entries were committed, here or by another process of the sink.
func (h *hand) moved() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.since = time.Now()
}

// ack answers for a message that is committed. If the answer is lost, the
// message comes again and is skipped.
func (m *held) ack() {
	m.hand.moved()
	m.answer("acknowledge", m.Reply.Ack)
}

// term ends a message that can never be committed.
func (m *held) term(reason string) {
	m.answer("end", func() error { return m.Reply.Term(reason) })
}

// nak returns a message to the log, unless it was answered before, or is staged.
func (m *held) nak(delay time.Duration) {
	if m.staged {
		return
	}
	if !m.answered {
		m.hand.gaveBack()
	}
	m.answer("give back", func() error { return m.Reply.Nak(delay) })
}

func (m *held) answer(what string, reply func() error) {
	if m.answered {
		return
	}
	m.answered = true
	if err := reply(); err != nil {
		m.hand.logger.Warn().Err(err).Uint64("seq", m.Seq).Stringer("blocks", m.Range).
			Msgf("could not %s an entry; it will come again", what)
	}
	m.hand.left()
	m.hand.gone(len(m.Payload))
}

func (h *hand) gaveBack() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.back = time.Now()
}

func (h *hand) left() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.count--
}

// release says that the payload of a message is not needed any more. It is still
// in hand, and still to be answered.
func (m *held) release() {
	size := len(m.Payload)
	m.Payload = nil
	if r, ok := m.Reply.(interface{ Release() }); ok {
		r.Release()
	}
	m.hand.gone(size)
}

// gone makes room.
func (h *hand) gone(bytes int) {
	h.mu.Lock()
	h.bytes -= bytes
	h.mu.Unlock()
	select {
	case h.freed <- struct{}{}:
	default:
	}
}
