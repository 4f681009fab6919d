package queue

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/trace"
)

const (
	// maxBatch is the server's limit of messages in an atomic batch.
	maxBatch = 1000
	// DefaultMaxBlock is how many bytes a block may take that needs several messages,
	// unless [LogConfig.MaxBlock] says otherwise.
	DefaultMaxBlock = 64 << 20
	// batchWindow is how many bytes of a batch may be on their way before the
	// server has confirmed some.
	batchWindow = 8 << 20
	// slowestDisk is the bytes a second that a server stores at least.
	slowestDisk = 4 << 20
)

// Publish appends a group to a lane, in one step, if the lane's last message is
// the one with sequence after (0: the lane has none), and returns the sequence of
// the last message of the group: the next call's after. ctx may carry the trace of the
// group ([trace.Parent]). id names the group; a
// repeated call with the same id, whose first answer was lost, is recognised
// and returns the sequence again.
//
// Errors: [ErrFenced] if the lane was continued by somebody else (permanent);
// [ErrFull], which is fault.Later; fault.Later also if NATS cannot be reached; permanent
// for a group that NATS cannot take. After any error but ErrFenced the call may
// be repeated as it is.
func (l *Log) Publish(ctx context.Context, lane string, after uint64, id string, group []entry.Entry) (uint64, error) {
	msgs, err := l.messages(lane, after, id, trace.Parent(ctx), group)
	if err != nil {
		return 0, err
	}
	seq, err := l.store(ctx, lane, msgs)
	switch {
	case err == nil:
		return seq, nil
	case wrongSequence(err):
		return l.recognise(ctx, lane, after, id, err)
	case errors.Is(err, nats.ErrMaxPayload), errors.Is(err, jetstream.ErrStreamMessageExceedsMaximum):
		return 0, fault.Permanent(fmt.Errorf("publish to lane %s: an entry is larger than the server's max_payload of %d bytes: %w",
			lane, l.conn.MaxPayload(), err))
	default:
		return 0, l.fail(ctx, l.conn.stores(ctx, l.stream(), fmt.Errorf("publish to lane %s: %w", lane, err)))
	}
}

// PublishWait is Publish that waits and repeats while the log is full or NATS cannot be
// reached, and a few times after other errors. onWait, if not nil, is called with why it
// waits and how long before each repetition: back-pressure must be visible.
func (l *Log) PublishWait(
	ctx context.Context, lane string, after uint64, id string, group []entry.Entry, onWait func(error, time.Duration),
) (seq uint64, err error) {
	pace := fault.Backoff{Min: 100 * time.Millisecond, Max: time.Second}
	err = fault.Retry(ctx, pace, func(ctx context.Context) (err error) {
		seq, err = l.Publish(ctx, lane, after, id, group)
		return err
	}, onWait)
	return seq, err
}

// BlockTooLargeError is a block that cannot be published in one step.
type BlockTooLargeError struct {
	Block    block.Number
	Bytes    int64
	Messages int
	Limit    int64 // of bytes
	Payload  int   // most bytes of a message
}

// Error returns the size, the limit, and what to do.
func (e *BlockTooLargeError) Error() string {
	advice := fmt.Sprintf("raise log.max_block_bytes to %s", plainSize(roundUp(e.Bytes)))
	if e.Messages > maxBatch {
		advice = fmt.Sprintf("raise max_payload of the NATS server, which is %s", Size(int64(e.Payload)))
		if e.Bytes > e.Limit {
			advice += fmt.Sprintf(", and log.max_block_bytes to %s", plainSize(roundUp(e.Bytes)))
		}
	}
	return fmt.Sprintf("block %d takes %s in %d messages, "+
		"and a block may take %s in %d messages: %s, or leave large columns out of the query",
		e.Block, Size(e.Bytes), e.Messages, Size(e.Limit), maxBatch, advice)
}

// messages makes the messages of a group. parent is the context of its trace, or empty.
func (l *Log) messages(lane string, after uint64, id, parent string, group []entry.Entry) ([]*nats.Msg, error) {
	if err := checkPath("lane", lane); err != nil {
		return nil, err
	}
	if len(group) == 0 {
		return nil, errors.New("publish: the group is empty")
	}
	size := 0
	msgs := make([]*nats.Msg, len(group))
	for i, e := range group {
		header := nats.Header(e.Map())
		header.Set(headerID, id)
		if parent != "" {
			header.Set(trace.Header, parent)
		}
		msgs[i] = &nats.Msg{Subject: l.subject(lane), Header: header, Data: e.Payload}
		size += msgs[i].Size()
	}
	msgs[0].Header.Set(jetstream.ExpectedLastSubjSeqHeader, strconv.FormatUint(after, 10))
	if len(msgs) > maxBatch || (len(msgs) > 1 && int64(size) > l.maxBlock) {
		return nil, fault.Permanent(&BlockTooLargeError{
			Block: group[0].Range.Start, Bytes: int64(size), Messages: len(msgs), Limit: l.maxBlock, Payload: l.conn.MaxPayload(),
		})
	}
	return msgs, nil
}

// publishWait returns how long the answer to so many bytes is waited for. What was under
// way to a node of a cluster that is killed is lost, and is repeated as soon as it can
// be: what was stored after all is recognised.
func publishWait(size int) time.Duration {
	return apiWait + time.Duration(size)*time.Second/slowestDisk
}

// store publishes one message, or several as an atomic batch, when it is their turn.
func (l *Log) store(ctx context.Context, lane string, msgs []*nats.Msg) (uint64, error) {
	size := 0
	for _, msg := range msgs {
		size += msg.Size()
	}
	if lane != LiveLane {
		release, err := l.history.Load().acquire(ctx, size)
		if err != nil {
			return 0, err
		}
		defer release()
	}
	if err := l.conn.disconnected(); err != nil {
		return 0, err
	}
	wait := publishWait(size)
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	if len(msgs) == 1 {
		ack, err := l.conn.js.PublishMsg(ctx, msgs[0])
		if err != nil {
			return 0, err
		}
		return ack.Sequence, nil
	}
	largest := 1
	for _, msg := range msgs {
		largest = max(largest, msg.Size())
	}
	ack, err := jetstreamext.PublishMsgBatch(ctx, l.conn.js, msgs, jetstreamext.BatchFlowControl{
		AckFirst: true, AckEvery: max(1, batchWindow/largest), AckTimeout: wait,
	})
	if err != nil {
		return 0, err
	}
	return ack.Sequence, nil
}

// recognise distinguishes a lost answer from a lost task: if the lane ends with a
// message of the same id, it was published by the call before.
func (l *Log) recognise(ctx context.Context, lane string, after uint64, id string, cause error) (uint64, error) {
	tail, err := l.Tail(ctx, lane)
	switch {
	case err != nil:
		return 0, err
	case tail.Found && tail.ID == id && tail.Seq > after:
		return tail.Seq, nil
	default:
		return 0, fault.Permanent(fmt.Errorf("publish to lane %s after message %d: %w (%w)", lane, after, ErrFenced, cause))
	}
}
