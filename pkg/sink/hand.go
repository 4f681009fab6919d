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
	return &held{Message: m}
}

// ack answers for a message that is committed. If the answer is lost, the
// message comes again and is skipped.
func (h *hand) ack(one *held) { h.answer(one, "acknowledge", one.Reply.Ack) }

// nak gives a message back, unless it was answered before, or is staged.
func (h *hand) nak(one *held, delay time.Duration) {
	if one.staged {
		return
	}
	h.answer(one, "give back", func() error { return one.Reply.Nak(delay) })
}

func (h *hand) answer(one *held, what string, reply func() error) {
	if one.answered {
		return
	}
	one.answered = true
	if err := reply(); err != nil {
		h.logger.Warn().Err(err).Uint64("seq", one.Seq).Stringer("blocks", one.Range).
			Msgf("could not %s an entry; it will come again", what)
	}
	h.mu.Lock()
	h.bytes -= len(one.Payload)
	h.mu.Unlock()
	select {
	case h.freed <- struct{}{}:
	default:
	}
}
