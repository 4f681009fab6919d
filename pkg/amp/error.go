package amp

import (
	"context"
	"errors"
	"fmt"
	"regexp"
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

// Error gives the text, the code and the advice.
func (e *Error) Error() string {
	text := fmt.Sprintf("%s: %s (%s)", e.Op, e.Message, e.Code)
	if e.Advice != "" {
		text += "; " + e.Advice
	}
	return text
}

// Unwrap leads to [ErrTooMuch], [ErrMessageSize] or [ErrNotStreamable] where it
// applies, and to the gRPC status.
func (e *Error) Unwrap() []error {
	if e.kind == nil {
		return []error{e.status}
	}
	return []error{e.kind, e.status}
}

var (
	// ErrTooMuch says that the query needs more memory than the server gives it, or more
	// time than [Config] allows: a smaller range of blocks may work.
	ErrTooMuch = errors.New("too much for the server")
	// ErrMessageSize says that a message is larger than Config.MaxMessage allows.
	ErrMessageSize = errors.New("message larger than this client accepts")
	// ErrNotStreamable says that the query can be run, but not as a stream (AP 3.7).
	ErrNotStreamable = errors.New("the query cannot be followed as a stream")
	// ErrProtocol says that the server does not answer as Amp does.
	ErrProtocol = errors.New("the server does not speak the protocol of Amp")
)

// notFromAmp is how grpc begins the account of an answer that is none of gRPC. A proxy
// gives 404, which grpc takes for UNIMPLEMENTED, also while it is set up anew.
const notFromAmp = "unexpected HTTP status code received from server"

// unreachablePause is how long to wait for a server that is away.
const unreachablePause = 2 * time.Second

// hopeless are phrases of INTERNAL and UNKNOWN errors that repeating cannot change, because
// the query itself is at fault (AP 6.2): Amp answers INTERNAL for a misspelt
// column as for a lost database.
var hopeless = regexp.MustCompile(strings.Join([]string{
	"Error during planning: ",
	// Names that do not exist.
	"No field named",
	"Invalid function",
	"Dataset not found",
	"not found in dataset",
	"table '[^']*' not found",
	// Output columns that cannot be told apart.
	"Projections require unique expression names",
	"Duplicate field names",
	"no dict id for field", // a dictionary column, which Amp cannot send (AP 1.6)
	// Types that do not go together.
	"type_coercion",
	"simplify_expressions",
	"failed to convert cursor",
}, "|"))

// notStreamable are phrases of INVALID_ARGUMENT and INTERNAL errors about queries
// that the server runs, but not as streams (AP 3.7, 6.2).
var notStreamable = regexp.MustCompile(strings.Join([]string{
	"non-incremental queries are not supported",
	"cross-network join",
	"multiple networks",
	"multi-network streaming",
	"selecting `_block_num` from a multi-table context",
	"(?i)'?blocks'? table (was )?not found", // datasets of Solana
	"(?i)no raw dataset found",
	"(?i)raw dataset not found",
}, "|"))

// outOfMemory is how Amp begins the account of a memory limit; wrapped once more
// on the server it arrives as INTERNAL instead of RESOURCE_EXHAUSTED (AP 6.2).
const outOfMemory = "Resources exhausted: "

// explain turns what a call returned into an error that is classed for
// [fault.Of] by AP 6.2:
//
//   - permanent: INVALID_ARGUMENT, NOT_FOUND, UNIMPLEMENTED by Amp, PERMISSION_DENIED, an
//     UNAUTHENTICATED that a refreshed token did not cure, an INTERNAL or UNKNOWN whose
//     text shows that the query is at fault, and a message above the local limit;
//   - later, never an attempt: UNAVAILABLE, so that a restart of Amp uses none up,
//     and a ctx that has ended, whatever its cause was classed as;
//   - try again: everything else, RESOURCE_EXHAUSTED as [ErrTooMuch].
//
// Errors made in this package are left as they are.
func (c *Client) explain(ctx context.Context, op string, err error) error {
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); cause != nil {
		return fault.Later(fmt.Errorf("%s: %w", op, cause), 0)
	}
	st, ok := status.FromError(err)
	if !ok {
		return err
	}
	if strings.HasPrefix(st.Message(), notFromAmp) && st.Code() == codes.Unimplemented {
		return &Error{
			Op: op, Code: st.Code().String(), Message: brief(st.Message()), status: err,
			Advice: "this is the answer of a proxy, or of another server than Amp, at " + c.at.url,
		}
	}
	e := &Error{Op: op, Code: st.Code().String(), Message: brief(st.Message()), status: err}
	switch st.Code() {
	case codes.InvalidArgument, codes.NotFound, codes.Unimplemented:
		e.refuseStream(st.Message())
		return fault.Permanent(e)
	case codes.PermissionDenied:
		e.Advice = "the token has no right to this; " + c.bearer.advice()
		return fault.Permanent(e)
	case codes.Unauthenticated:
		e.Advice = c.bearer.advice()
		return fault.Permanent(e)
	case codes.Unavailable:
		e.Advice = "is Amp running at " + c.at.url + "?"
		return fault.Later(e, unreachablePause)
	case codes.ResourceExhausted:
		if c.oversize(st.Message()) {
			e.kind = ErrMessageSize
			e.Advice = "raise MaxMessage, or select fewer or smaller columns"
			return fault.Permanent(e)
		}
		e.kind = ErrTooMuch
	case codes.Internal, codes.Unknown: // which a proxy may make of it
		if strings.Contains(st.Message(), outOfMemory) {
			e.kind = ErrTooMuch
			return e
		}
		if e.refuseStream(st.Message()) || hopeless.MatchString(st.Message()) {
			return fault.Permanent(e)
		}
	}
	return e
}

// Away reports whether err says that the server, or the way to it, does not answer.
func Away(err error) bool {
	e, is := errors.AsType[*Error](err)
	return errors.Is(err, ErrNoAnswer) || is && e.Code == codes.Unavailable.String()
}

// refuseStream recognises that a query was refused as a stream.
func (e *Error) refuseStream(message string) bool {
	if !notStreamable.MatchString(message) {
		return false
	}
	e.kind = ErrNotStreamable
	e.Advice = "it can be loaded as a finite range of blocks, but not followed"
	return true
}

// oversize tells grpc's own complaint about a message it refused to receive from
// a server's RESOURCE_EXHAUSTED: it ends in our limit.
func (c *Client) oversize(message string) bool {
	return strings.HasPrefix(message, "grpc: received message larger than max") &&
		strings.HasSuffix(message, fmt.Sprintf("vs. %d)", c.cfg.MaxMessage))
}

// violation marks an answer that no Amp server gives.
func violation(op string, err error) error {
	return fault.Permanent(fmt.Errorf("%s: %w: %w", op, ErrProtocol, err))
}

// damaged marks a message that cannot be read.
func damaged(op string, err error) error {
	return violation(op, fmt.Errorf("%w; if something stands between Amp and ampipe, leave it out, "+
		"else report it with the version of the server: the message is refused each time it comes", err))
}
