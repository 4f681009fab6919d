package amp

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ampipe/ampipe/pkg/fault"
)

// The calls of the protocol, as [Error] names them.
const (
	opInfo = "GetFlightInfo"
	opGet  = "DoGet"

	methodGet = "/arrow.flight.protocol.FlightService/DoGet"
)

// Error is what the server, or the way to it, answered instead of data.
type Error struct {
	Op      string // "GetFlightInfo" or "DoGet"
	Code    string // name of the gRPC status code, such as "InvalidArgument"
	Message string // the server's text, its repetitions left out
	Advice  string // what to do about it; may be empty

	kind   error // a sentinel of this package, or nil
	status error
}

// Error returns the text, the code and the advice.
func (e *Error) Error() string {
	text := fmt.Sprintf("%s: %s (%s)", e.Op, e.Message, e.Code)
	if e.Advice != "" {
		text += "; " + e.Advice
	}
	return text
}

// Unwrap leads to [ErrTooMuch], [ErrMessageSize], [ErrRow] or [ErrNotStreamable] where
// it applies, and to the gRPC status.
func (e *Error) Unwrap() []error {
	if e.kind == nil {
		return []error{e.status}
	}
	return []error{e.kind, e.status}
}

var (
	// ErrTooMuch says that the query needs more memory than the server has for it, or more
	// time than [Config] allows: a smaller range of blocks may work.
	ErrTooMuch = errors.New("too much for the server")
	// ErrMessageSize says that a message is larger than Config.MaxMessage allows.
	ErrMessageSize = errors.New("message larger than this client accepts")
	// ErrRow says that the server cannot compute a row of the blocks that were asked for,
	// such as a cast of a text that is no number: other blocks may work.
	ErrRow = errors.New("a row cannot be computed")
	// ErrNotStreamable says that the query can be run, but not as a stream (AP 3.7).
	ErrNotStreamable = errors.New("the query cannot be followed as a stream")
	// ErrProtocol says that the server does not answer as Amp does.
	ErrProtocol = errors.New("the server does not speak the protocol of Amp")
)

// notFromAmp is how grpc begins its error for an answer that is not gRPC.
const notFromAmp = "unexpected HTTP status code received from server"

// unreachablePause is how long to wait for a server that cannot be reached.
const unreachablePause = 2 * time.Second

// explain turns what a call returned into an error that is classed for [fault.Of] by
// [ofText] and [ofCode]; a ctx that has ended is to be tried later, whatever its cause
// was classed as. Errors made in this package are left as they are.
func (c *Client) explain(ctx context.Context, op string, err error) error {
	if err == nil {
		c.answered.Store(true)
		return nil
	}
	if cause := context.Cause(ctx); cause != nil {
		return fault.Later(fmt.Errorf("%s: %w", op, cause), 0)
	}
	st, ok := status.FromError(err)
	if !ok {
		return err
	}
	r := rulingOf(st.Code(), st.Message())
	if c.oversize(st.Message()) {
		r = ruling{class: fault.ClassPermanent, kind: ErrMessageSize, advice: "raise source.max_message (now $LIMIT), " +
			"or select fewer or smaller columns"}
	}
	switch answered := c.answered.Load(); {
	case answered && r.known != "":
		r.advice = r.known
	case !answered && r.misdirected:
		r.class = fault.ClassPermanent
	}
	e := &Error{Op: op, Code: st.Code().String(), Message: errText(st.Message()), Advice: c.fill(r.advice), kind: r.kind, status: err}
	if r.class == fault.ClassLater {
		return fault.Later(e, unreachablePause)
	}
	return fault.As(r.class, e)
}

// fill puts what is known of the connection into an advice.
func (c *Client) fill(advice string) string {
	orTLS := ""
	if !c.at.secure {
		orTLS = " If the server speaks TLS, write grpcs:// instead of grpc:// (https:// instead of http://) in source.amp"
	}
	return strings.NewReplacer("$AMP", c.at.url, "$TOKEN", c.bearer.advice(), "$KEEPALIVE", c.cfg.KeepAlive.String(),
		"$LIMIT", fmt.Sprintf("%d MiB", c.cfg.MaxMessage>>20), "$ORTLS", orTLS).Replace(advice)
}

// rulingOf decides about a status.
func rulingOf(code codes.Code, message string) ruling {
	for _, text := range causes(message) {
		for _, r := range ofText {
			if slices.Contains(r.codes, code) && r.text.MatchString(text) {
				return r.ruling
			}
		}
	}
	if r, known := ofCode[code]; known {
		return r
	}
	return ofCode[codes.Unknown] // a code that gRPC does not have
}

// Away reports whether err says that the server, or the way to it, does not answer.
func Away(err error) bool {
	e, is := errors.AsType[*Error](err)
	return errors.Is(err, ErrNoAnswer) || (is && e.Code == codes.Unavailable.String())
}

// oversize distinguishes grpc's own complaint about a message that it refused to receive
// from a server's RESOURCE_EXHAUSTED: the former ends in our limit.
func (c *Client) oversize(message string) bool {
	return strings.HasPrefix(message, "grpc: received message larger than max") &&
		strings.HasSuffix(message, fmt.Sprintf("vs. %d)", c.cfg.MaxMessage))
}

// violation marks an answer that no Amp server returns.
func violation(op string, err error) error {
	return fault.Permanent(fmt.Errorf("%s: %w: %w", op, ErrProtocol, err))
}

// damaged marks a message that cannot be read.
func damaged(op string, err error) error {
	return violation(op, fmt.Errorf("%w; if something stands between Amp and ampipe, leave it out, "+
		"else report it with the version of the server: the message is refused each time it comes", err))
}
