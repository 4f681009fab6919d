package apply

import (
	"context"

	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/state"
)

// Source is the entries of the log that a sink has not acknowledged yet. It
// keeps what it returned from being delivered elsewhere until it is answered, however
// long that takes, while this process lives. [queue.Consumer] is one.
type Source interface {
	// Next waits for the next entry. Only one goroutine calls it, again after
	// an error that is not permanent. After an error it returns
	// [queue.ErrNoMessage] when the log can be read again and has nothing new. A
	// message that is not an entry is no error.
	Next(ctx context.Context) (*queue.Message, error)
	// Settled reports whether the entry at a sequence will not come any more, to any
	// process of the sink: it has been acknowledged, as everything before it, or
	// the log no longer holds it. It may be called beside Next.
	Settled(ctx context.Context, seq uint64) (bool, error)
	// Bytes returns how much it may have in flight: of entries that it has returned, or is
	// about to, and that were not answered, or released. At that Next waits.
	Bytes() int
}

// Reports is where a sink's report goes; the state of package queue is one.
type Reports interface {
	PutReport(ctx context.Context, r state.SinkReport) error
}
