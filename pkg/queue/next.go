package queue

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// Next reads the first message of a lane at or above a sequence. It may be called
// concurrently.
func (l *Log) Next(ctx context.Context, lane string, seq uint64) (Tail, error) {
	if err := checkPath("lane", lane); err != nil {
		return Tail{}, err
	}
	what := fmt.Sprintf("read lane %s from message %d on", lane, seq)
	stream, err := l.conn.js.Stream(ctx, l.stream())
	if err != nil {
		return Tail{}, l.fail(ctx, fmt.Errorf("%s: %w", what, err))
	}
	msg, err := stream.GetMsg(ctx, max(seq, 1), jetstream.WithGetMsgSubject(l.subject(lane)))
	return l.tail(ctx, what, msg, err)
}
