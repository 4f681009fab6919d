package amp_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/amp/amptest"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/fault"
)

// answers are the texts of the test below, with what becomes of a query that is answered
// with one of them and INTERNAL or UNKNOWN: written apart from the client's own rules.
var answers = map[string]struct {
	class fault.Class
	kind  error
}{
	"query execution error | Caused by: something":                                                                                                           {fault.ClassAgain, nil},
	"failed to infer SQL output schema | Caused by: Schema error: No field named x. Valid fields are a, b.":                                                  {fault.ClassPermanent, nil},
	"error creating physical catalog | Caused by: Dataset not found":                                                                                         {fault.ClassPermanent, nil},
	"failed to infer SQL output schema | Caused by: Error during planning: table 'amp.a.b' not found":                                                        {fault.ClassPermanent, nil},
	"error creating physical catalog | Caused by: table a.b has not been synced":                                                                             {fault.ClassLater, nil},
	"query execution error | Caused by: Error during planning: evm_decode_hex: expected Array, but got FixedSizeBinary(20)":                                  {fault.ClassPermanent, nil},
	"failed to infer SQL output schema | Caused by: External error: Error during planning: Invalid function 'nofunc'.\nDid you mean 'round'?":                {fault.ClassPermanent, nil},
	"failed to execute plan | Caused by: failed to execute plan -> failed to optimize logical plan -> type_coercion\ncaused by\nError during planning: x":    {fault.ClassPermanent, nil},
	"failed to execute plan | Caused by: x -> Optimizer rule 'simplify_expressions' failed\ncaused by\nArrow error: Cast error: Cannot cast string 'x' to y": {fault.ClassPermanent, nil},
	"failed to execute plan | Caused by: This feature is not implemented: Unsupported ast node":                                                              {fault.ClassPermanent, nil},
	"SQL parse error | Caused by: Invalid SQL syntax -> SQL error: ParserError(\"Expected: an expression\")":                                                 {fault.ClassPermanent, nil},
	"x | Caused by: SQL error: ParserError(\"Expected: an expression\")":                                                                                     {fault.ClassPermanent, nil},
	"x | Caused by: Invalid or Unsupported Configuration: could not parse config value":                                                                      {fault.ClassPermanent, nil},
	"x | Caused by: Substrait error: Table names must be set":                                                                                                {fault.ClassPermanent, nil},
	"x | Caused by: Arrow error: Not yet implemented: Filter of type":                                                                                        {fault.ClassPermanent, nil},
	"query execution error | Caused by: Arrow error: Cast error: Cannot cast string 'IO error: ' to value of Int32 type -> Cast error: x":                    {fault.ClassAgain, amp.ErrRow},
	"streaming query execution error | Caused by: Arrow error: Divide by zero error -> Divide by zero error":                                                 {fault.ClassAgain, amp.ErrRow},
	"query execution error | Caused by: Arrow error: Arithmetic overflow: Overflow happened on: 1 + 2":                                                       {fault.ClassAgain, amp.ErrRow},
	"query execution error | Caused by: External error: Arrow error: Parser error: Error parsing timestamp":                                                  {fault.ClassAgain, amp.ErrRow},
	"query execution error | Caused by: Arrow error: Compute error: x":                                                                                       {fault.ClassAgain, amp.ErrRow},
	"query execution error | Caused by: Arrow error: Invalid argument error: 9 is too large to store in a Decimal128 of precision 1":                         {fault.ClassAgain, amp.ErrRow},
	"query execution error | Caused by: Arrow error: Offset overflow error: 2147483648":                                                                      {fault.ClassAgain, amp.ErrRow},
	"query execution error | Caused by: Resources exhausted: global memory limit of 1024.0 KB exceeded":                                                      {fault.ClassAgain, amp.ErrTooMuch},
	"query execution error | Caused by: Arrow error: Memory error: x":                                                                                        {fault.ClassAgain, amp.ErrTooMuch},
	"query execution error | Caused by: Object Store error: Generic S3 error: error sending request":                                                         {fault.ClassLater, nil},
	"query execution error | Caused by: Object Store error: Object at location a/b.parquet not found: No such file":                                          {fault.ClassAgain, nil},
	"query execution error | Caused by: IO error: No space left on device":                                                                                   {fault.ClassLater, nil},
	"query execution error | Caused by: External error: Arrow error: Io error: x":                                                                            {fault.ClassLater, nil},
	"query execution error | Caused by: Parquet error: External: bad data":                                                                                   {fault.ClassAgain, nil},
	"query execution error | Caused by: Execution error: Fail to format":                                                                                     {fault.ClassAgain, nil},
	"query execution error | Caused by: ExecutionJoin error: JoinError::Cancelled":                                                                           {fault.ClassAgain, nil},
	"query execution error | Caused by: Internal error: Input field name differs.\nThis issue was likely caused by a bug":                                    {fault.ClassAgain, nil},
	"query execution error | Caused by: FFI error: x":                                                                                                        {fault.ClassAgain, nil},
	"Ipc error: no dict id for field d": {fault.ClassPermanent, nil},
	"streaming query execution error | Caused by: failed to convert cursor -> expected cursor for network 'x'": {fault.ClassPermanent, nil},
	"streaming query execution error | Caused by: multiple networks in dependency tree: a and b":               {fault.ClassPermanent, amp.ErrNotStreamable},
	"stream terminated by RST_STREAM with error code: INTERNAL_ERROR":                                          {fault.ClassAgain, nil},
}

// ofCode is the class of each code where the text says nothing (AP 6.2).
var ofCode = map[codes.Code]fault.Class{
	codes.Canceled: fault.ClassAgain, codes.Unknown: fault.ClassAgain, codes.InvalidArgument: fault.ClassPermanent,
	codes.DeadlineExceeded: fault.ClassAgain, codes.NotFound: fault.ClassPermanent, codes.AlreadyExists: fault.ClassAgain,
	codes.PermissionDenied: fault.ClassPermanent, codes.ResourceExhausted: fault.ClassAgain, codes.FailedPrecondition: fault.ClassAgain,
	codes.Aborted: fault.ClassAgain, codes.OutOfRange: fault.ClassAgain, codes.Unimplemented: fault.ClassPermanent,
	codes.Internal: fault.ClassAgain, codes.Unavailable: fault.ClassLater, codes.DataLoss: fault.ClassAgain,
	codes.Unauthenticated: fault.ClassPermanent,
}

func TestEveryCodeHasItsClass(t *testing.T) {
	t.Parallel()
	srv, client := setup(t)
	srv.On(query, blocks(t, block.Range{End: 1}))
	for code := codes.Canceled; code <= codes.Unauthenticated; code++ {
		for message, wanted := range answers {
			if code == codes.Canceled && strings.HasPrefix(message, "stream terminated") {
				continue // decided alike
			}
			class, kind := ofCode[code], error(nil)
			switch code {
			case codes.Internal, codes.Unknown:
				class, kind = wanted.class, wanted.kind
			case codes.InvalidArgument:
				if wanted.kind == amp.ErrNotStreamable {
					kind = amp.ErrNotStreamable
				}
			case codes.ResourceExhausted:
				kind = amp.ErrTooMuch
			case codes.Unavailable:
				if strings.HasPrefix(message, "stream terminated") {
					class = fault.ClassAgain
				}
			}
			for op, injected := range map[string]amptest.Fault{
				"GetFlightInfo": amptest.Refuse(code, message),
				"DoGet":         amptest.FailAfter(0, code, message),
				"DoGet ":        amptest.FailAfter(2, code, message),
			} {
				srv.Next(func(amptest.Query) amptest.Fault { return injected })
				_, err := collect(t.Context(), t, client, query)
				if got := fault.Of(err); err == nil || got != class {
					t.Errorf("%s: %v: class %v, want %v", op, err, got, class)
				}
				var answer *amp.Error
				if !errors.As(err, &answer) || answer.Op != strings.TrimSpace(op) || answer.Code != code.String() || status.Code(err) != code {
					t.Errorf("%s: %v: told %+v", op, err, answer)
				}
				for _, sentinel := range []error{amp.ErrTooMuch, amp.ErrRow, amp.ErrNotStreamable, amp.ErrMessageSize} {
					if errors.Is(err, sentinel) != (sentinel == kind) {
						t.Errorf("%s: %v: is %q: %v", op, err, sentinel, sentinel != kind)
					}
				}
				if strings.Contains(err.Error(), "\n") || len(err.Error()) > 700 {
					t.Errorf("%s: not a line: %v", op, err)
				}
			}
		}
	}
}

func TestTooMuch(t *testing.T) {
	t.Parallel()
	srv, client := setup(t)
	srv.On(query, blocks(t, block.Range{End: 1}))
	const limit = "query execution error | Caused by: Resources exhausted: global memory limit of 1024.0 KB exceeded"
	for _, code := range []codes.Code{codes.ResourceExhausted, codes.Internal} {
		srv.Next(func(amptest.Query) amptest.Fault { return amptest.FailAfter(1, code, limit) })
		_, err := collect(t.Context(), t, client, query)
		if !errors.Is(err, amp.ErrTooMuch) || errors.Is(err, amp.ErrMessageSize) || fault.Of(err) != fault.ClassAgain {
			t.Errorf("%v (%v)", err, fault.Of(err))
		}
	}
}

func TestMessageSize(t *testing.T) {
	t.Parallel()
	srv := amptest.Start(t, nil)
	client := open(t, amp.Config{URL: srv.URL(), MaxMessage: 32 << 20})
	srv.On(query, blocks(t, block.Range{End: 1}))
	srv.Next(func(amptest.Query) amptest.Fault { return amptest.OversizeAfter(1, 32<<20) })
	_, err := collect(t.Context(), t, client, query)
	if !errors.Is(err, amp.ErrMessageSize) || errors.Is(err, amp.ErrTooMuch) || fault.Of(err) != fault.ClassPermanent {
		t.Fatalf("%v (%v)", err, fault.Of(err))
	}
	if !strings.Contains(err.Error(), "source.max_message (now 32 MiB)") {
		t.Errorf("%q does not name the setting", err)
	}
	// A server that says the same of what it received has another limit.
	srv.Next(func(amptest.Query) amptest.Fault {
		return amptest.Refuse(codes.ResourceExhausted, "grpc: received message larger than max (5000000 vs. 4194304)")
	})
	if _, err := client.Info(t.Context(), query); errors.Is(err, amp.ErrMessageSize) {
		t.Errorf("%v is taken for our own limit", err)
	}
}

func TestConnectionLost(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(*amptest.Server){
		"cut":     (*amptest.Server).CutAll,
		"stopped": func(s *amptest.Server) { go s.Stop() },
	} {
		srv, client := setup(t)
		answer := blocks(t, block.Range{End: 1})
		answer.Hold = true
		srv.On(query, answer)
		var last error
		rows := int64(0)
		for m, err := range client.Fetch(t.Context(), query) {
			last = err
			if err == nil {
				rows += m.Record.NumRows()
				if m.Complete {
					lose(srv)
				}
			}
		}
		if rows != 1 || fault.Of(last) != fault.ClassLater || fault.After(last) <= 0 {
			t.Errorf("%s: %d rows, %v (%v)", name, rows, last, fault.Of(last))
		}
	}
}

func TestCutAfter(t *testing.T) {
	t.Parallel()
	srv, client := setup(t)
	srv.On(query, blocks(t, block.Range{End: 1}, block.Range{Start: 1, End: 2}))
	srv.Next(func(amptest.Query) amptest.Fault { return amptest.CutAfter(2) })
	messages, err := collect(t.Context(), t, client, query)
	if len(messages) > 1 || fault.Of(err) != fault.ClassLater {
		t.Errorf("%d messages, %v (%v)", len(messages), err, fault.Of(err))
	}
	if _, err := collect(t.Context(), t, client, query); err != nil {
		t.Errorf("the next query: %v", err)
	}
}

// TestUnreachable asks a server that is away, and again when it is there: the
// same client must find it.
func TestUnreachable(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	client := open(t, amp.Config{URL: "grpc://" + address})
	_, err = client.Info(t.Context(), query)
	if fault.Of(err) != fault.ClassLater || !strings.Contains(err.Error(), "grpc://"+address) {
		t.Fatalf("%v (%v)", err, fault.Of(err))
	}
	if listener, err = net.Listen("tcp", address); err != nil {
		t.Skipf("the port was taken meanwhile: %v", err)
	}
	srv := amptest.Serve(t, listener, nil)
	srv.On(query, blocks(t))
	err = fault.Retry(t.Context(), fault.Backoff{}, func(ctx context.Context) error {
		_, err := client.Info(ctx, query)
		return err
	}, nil)
	if err != nil {
		t.Error(err)
	}
}

func TestErrorsAreReadable(t *testing.T) {
	t.Parallel()
	srv, client := setup(t)
	fields := strings.Repeat("ds.blocks.some_column, ", 100)
	for said, want := range map[string]string{
		"failed to infer SQL output schema | Caused by: Schema error: No field named q. Valid fields are q.hash. -> Schema error: No field named q. Valid fields are q.hash. -> No field named q. Valid fields are q.hash.": "failed to infer SQL output schema: Schema error: No field named q. Valid fields are q.hash.",
		"failed to execute plan | Caused by: failed to execute plan -> output schema contains duplicate field names -> Error during planning: Duplicate field names detected in plan schema: [a]":                           "failed to execute plan: output schema contains duplicate field names: Error during planning: Duplicate field names detected in plan schema: [a]",
		"x | Caused by: amp::invalid_input\ncaused by\nError during planning: y\nDid you mean z? -> Error during planning: y\nDid you mean z?":                                                                              "x: amp::invalid_input: Error during planning: y Did you mean z?",
		"plain": "plain",
	} {
		srv.Next(func(amptest.Query) amptest.Fault { return amptest.Refuse(codes.InvalidArgument, said) })
		_, err := client.Info(t.Context(), query)
		if want = "GetFlightInfo: " + want + " (InvalidArgument)"; err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
	srv.Next(func(amptest.Query) amptest.Fault {
		return amptest.Refuse(codes.Internal, "failed | Caused by: Schema error: No field named ü. Valid fields are "+fields)
	})
	_, err := client.Info(t.Context(), query)
	if text := err.Error(); len(text) > 600 || !strings.Contains(text, "No field named ü.") || fault.Of(err) != fault.ClassPermanent {
		t.Errorf("%d bytes: %s", len(text), text)
	}
}
