package apply

import (
	"time"

	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/trace"
)

// message is a message in flight. One goroutine at a time has it.
type message struct {
	queue.Message
	run      *run
	pulled   time.Time
	answered bool
	staged   bool // by the Writer: answered when that is committed
	trace    *trace.Delivery
}

// newMessage returns a message that was taken from the log, which may be traced.
func (r *run) newMessage(m queue.Message) *message {
	return &message{Message: m, run: r, pulled: time.Now(), trace: r.Tracer.Receive(trace.Message{
		Parent: m.Trace, Sink: r.Table.Sink, Lane: m.Lane, Seq: m.Seq, Delivered: m.Delivered, Stored: m.Time,
		Entry: m.Header, Bytes: len(m.Payload),
	})}
}

// ends reports whether what came before the message is complete with it, so that nothing
// is gained by waiting for the next.
func (m *message) ends() bool { return m.Kind != entry.Data || m.Complete }

// ack acknowledges a message that is committed. If the answer is lost, the
// message comes again and is skipped.
func (m *message) ack() {
	m.run.stall.committed()
	m.answer(trace.Acknowledged, m.Reply.Ack)
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
		m.run.stall.returned()
	}
	m.answer("return", func() error { return m.Reply.Nak(delay) })
}

func (m *message) answer(what string, reply func() error) {
	if m.answered {
		return
	}
	m.answered = true
	m.trace.Answered(what)
	if err := reply(); err != nil {
		m.run.Logger.Warn().Err(err).Uint64("seq", m.Seq).Stringer("blocks", m.Range).
			Msgf("could not %s an entry; it will come again", what)
	}
	m.run.stall.answered()
}
