package queue

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ampipe/ampipe/pkg/fault"
)

var (
	// ErrFenced says that the lane has another last message than the publisher
	// thought: another process works on the partition, and the publisher,
	// which has lost its task, must drop it.
	ErrFenced = errors.New("the lane was continued by another worker")

	// ErrFull says that the log, or the server's storage, is full. It passes
	// when the sinks have caught up and the log is trimmed; until then the
	// publisher waits and repeats the same entry.
	ErrFull = errors.New("the log is full")

	// ErrNotFound says that a key, or a document, is not in the state.
	ErrNotFound = errors.New("not found")

	// ErrConflict says that a document was changed, or created, by somebody
	// else since it was read.
	ErrConflict = errors.New("changed by another process")

	// ErrClosed is returned by a consumer, or a connection, that was closed.
	ErrClosed = errors.New("closed")

	// ErrNoMessage is returned by [Consumer.Next], once after it has returned an
	// error, when the log can be read again and has no message for the sink.
	ErrNoMessage = errors.New("the log has no message now")

	errSilent = errors.New("NATS does not answer")
	errRemade = errors.New("the state was deleted, and made again")
)

// Error codes of the JetStream API that nats.go has no name for.
const (
	codeAccountResources jetstream.ErrorCode = 10002
	codeNoPeers          jetstream.ErrorCode = 10005
	codeNoLeader         jetstream.ErrorCode = 10008
	codeNoCapacity       jetstream.ErrorCode = 10023
	codeTooManyStreams   jetstream.ErrorCode = 10027
	codeNoStorage        jetstream.ErrorCode = 10047
	codeStoreNotMade     jetstream.ErrorCode = 10049
	codeStoreFailed      jetstream.ErrorCode = 10077
	codeStreamTooLarge   jetstream.ErrorCode = 10122
	codeTooManyRequests  jetstream.ErrorCode = 10167
	codeTooManyBatches   jetstream.ErrorCode = 10210
)

func code(err error) jetstream.ErrorCode {
	var api *jetstream.APIError
	if errors.As(err, &api) {
		return api.ErrorCode
	}
	return 0
}

// wrongSequence reports whether an expected sequence did not hold. The second
// code is what a replicated stream, and an atomic batch, may answer.
func wrongSequence(err error) bool {
	c := code(err)
	return c == jetstream.JSErrCodeStreamWrongLastSequence || c == jetstream.JSErrCodeStreamWrongLastSequenceConstant
}

// tooManyPerSubject reports whether a subject holds its one message already.
func tooManyPerSubject(err error) bool {
	return code(err) == codeStoreFailed && strings.Contains(err.Error(), "per subject")
}

// classify classes an error of NATS: everything that passes by itself is fault.Later. ctx
// is the caller's, whose end is not NATS' fault.
func (c *Conn) classify(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, context.DeadlineExceeded): // of who asks
		return classifyClient(cause)
	case cause != nil:
		return cause
	}
	if c.server != nil {
		if failed := c.server.Failed(); failed != nil {
			return fault.Permanent(failed)
		}
	}
	if c := code(err); c != 0 {
		return classifyCode(c, err)
	}
	if refused := c.refused.Load(); refused != nil && refusedSilently(err) {
		return refused.err
	}
	return classifyClient(err)
}

// classifyCode classes an error that the JetStream API has answered with.
func classifyCode(c jetstream.ErrorCode, err error) error {
	if c == codeStoreFailed && strings.Contains(err.Error(), "maximum") {
		return fault.Later(fmt.Errorf("%w: %w", ErrFull, err), 0)
	}
	a, known := adviceFor(decisions, func(o jetstream.ErrorCode) bool { return o == c })
	if !known {
		return err
	}
	if noRoom(err) {
		err = fmt.Errorf("%w: %w", ErrFull, err)
	}
	return a.on(err)
}

// on adds the advice to an error, and its class.
func (a advice) on(err error) error {
	if a.text != "" {
		err = fmt.Errorf("%w: %s", err, a.text)
	}
	return fault.As(a.class, err)
}

// classifyClient classes an error of the client library.
func classifyClient(err error) error {
	switch {
	case errors.Is(err, errSilent), errors.Is(err, errRemade):
		return fault.Later(err, 0)
	case errors.Is(err, context.DeadlineExceeded):
		return fault.Later(fmt.Errorf("%w: %w", errSilent, err), 0)
	}
	d, known := decisionForClient(err)
	switch {
	case !known:
		return err
	case d.text == silent:
		return fault.Later(fmt.Errorf("%w: %w", errSilent, err), 0)
	case d.text == closed:
		return fault.Permanent(fmt.Errorf("connection to NATS: %w", ErrClosed))
	default:
		return d.on(err)
	}
}

// refusedSilently reports whether an error may come from a request that the server has
// refused: it is not answered, or its connection was closed meanwhile.
func refusedSilently(err error) bool {
	return errors.Is(err, nats.ErrConnectionClosed) || errors.Is(err, nats.ErrTimeout) || errors.Is(err, context.DeadlineExceeded) ||
		errors.Is(err, nats.ErrDisconnected) || errors.Is(err, nats.ErrBadSubscription)
}
