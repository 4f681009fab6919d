package sink

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
}

// held is a message in hand. One goroutine at a time has it.
type held struct {
	Message
	hand     *hand
	answered bool
	staged   bool // in a Gatherer: answered when that is committed
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
	return &held{Message: m, hand: h}
}

// ack answers for a message that is committed. If the answer is lost, the
// message comes again and is skipped.
func (m *held) ack() { m.answer("acknowledge", m.Reply.Ack) }

// nak gives a message back, unless it was answered before, or is staged.
func (m *held) nak(delay time.Duration) {
	if m.staged {
		return
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
	m.hand.gone(len(m.Payload))
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
