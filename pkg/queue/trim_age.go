package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// OlderThan returns the highest sequence, upto at most, whose message and all
// before it were published before t; 0 if there is none. Messages that have
// been removed count as old.
func (l *Log) OlderThan(ctx context.Context, t time.Time, upto uint64) (uint64, error) {
	stream, err := l.conn.js.Stream(ctx, l.stream()) // its leader answers
	if err != nil {
		return 0, l.fail(ctx, fmt.Errorf("open the log: %w", err))
	}
	state := stream.CachedInfo().State
	// Sequences up to old are older than t, those from young on are not.
	old, young := state.FirstSeq-min(state.FirstSeq, 1), min(upto, state.LastSeq)+1
	if !state.FirstTime.Before(t) {
		return old, nil // the usual case, and no message has to be read for it
	}
	// Mostly few are that old, and each file of the log that is read from is loaded whole: so
	// it begins near the first message, with steps that double.
	for step := uint64(1); old+1 < young; step *= 2 {
		middle := old + min(step, (young-old)/2)
		msg, err := l.read.get(ctx, getRequest{Seq: middle})
		switch {
		case errors.Is(err, jetstream.ErrMsgNotFound):
			old = middle
		case err != nil:
			return 0, l.fail(ctx, fmt.Errorf("read the age of message %d: %w", middle, err))
		case msg.Time.Before(t):
			old = middle
		default:
			young = middle
		}
	}
	return old, nil
}
