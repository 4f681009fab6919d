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

// wanted is the class of a status by the page on the protocol (AP 6.2), written
// apart from the client's own rules.
func wanted(code codes.Code, message string) fault.Class {
	switch code {
	case codes.InvalidArgument, codes.NotFound, codes.Unimplemented, codes.PermissionDenied, codes.Unauthenticated:
		return fault.ClassPermanent
	case codes.Unavailable:
		return fault.ClassLater
	case codes.Internal, codes.Unknown:
		for _, about := range []string{
			"Error during planning:",
			// The page's list of texts that are not worth a second try,
			"No field named", "Dataset not found", "Invalid function", "cross-network join", "multiple networks",
			"failed to convert cursor", "Duplicate field names",
			// and the rows of its table that are mistakes in the query.
			"Projections require unique expression names", "type_coercion", "simplify_expressions", "not found in dataset",
			"no dict id for field", "from a multi-table context",
		} {
			if strings.Contains(message, about) {
				return fault.ClassPermanent
			}
		}
		if strings.Contains(message, "table '") && strings.Contains(message, "' not found") {
			return fault.ClassPermanent
		}
	}
	return fault.ClassAgain
}

func TestEveryCodeHasItsClass(t *testing.T) {
	t.Parallel()
	srv, client := setup(t)
	srv.On(query, blocks(t, block.Range{End: 1}))
	for code := codes.Canceled; code <= codes.Unauthenticated; code++ {
		for _, message := range []string{
			"query execution error | Caused by: something",
			"failed to infer SQL output schema | Caused by: Schema error: No field named x. Valid fields are a, b.",
			"error creating physical catalog | Caused by: Dataset not found",
			"failed to infer SQL output schema | Caused by: Error during planning: table 'amp.a.b' not found",
			"error creating physical catalog | Caused by: table a.b has not been synced",
			"query execution error | Caused by: Error during planning: evm_decode_hex: expected Array, but got FixedSizeBinary(20)",
		} {
			for op, fate := range map[string]amptest.Fate{
				"GetFlightInfo": amptest.Refuse(code, message),
				"DoGet":         amptest.FailAfter(0, code, message),
				"DoGet ":        amptest.FailAfter(2, code, message),
			} {
				srv.Next(func(amptest.Query) amptest.Fate { return fate })
				_, err := collect(t.Context(), t, client, query)
				if got, want := fault.Of(err), wanted(code, message); err == nil || got != want {
					t.Errorf("%s: %v: class %v, want %v", op, err, got, want)
				}
				var told *amp.Error
				if !errors.As(err, &told) || told.Op != strings.TrimSpace(op) || told.Code != code.String() || status.Code(err) != code {
					t.Errorf("%s: %v: told %+v", op, err, told)
				}
				if errors.Is(err, amp.ErrTooMuch) != (code == codes.ResourceExhausted) || errors.Is(err, amp.ErrMessageSize) {
					t.Errorf("%s: %v has the wrong sentinel", op, err)
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
		srv.Next(func(amptest.Query) amptest.Fate { return amptest.FailAfter(1, code, limit) })
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
	srv.Next(func(amptest.Query) amptest.Fate { return amptest.OversizeAfter(1, 32<<20) })
	_, err := collect(t.Context(), t, client, query)
	if !errors.Is(err, amp.ErrMessageSize) || errors.Is(err, amp.ErrTooMuch) || fault.Of(err) != fault.ClassPermanent {
		t.Fatalf("%v (%v)", err, fault.Of(err))
	}
	if !strings.Contains(err.Error(), "MaxMessage") {
		t.Errorf("%q does not name the setting", err)
	}
	// A server that says the same of what it received has another limit.
	srv.Next(func(amptest.Query) amptest.Fate {
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
			if last = err; err == nil {
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
	srv.Next(func(amptest.Query) amptest.Fate { return amptest.CutAfter(2) })
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
		srv.Next(func(amptest.Query) amptest.Fate { return amptest.Refuse(codes.InvalidArgument, said) })
		_, err := client.Info(t.Context(), query)
		if want = "GetFlightInfo: " + want + " (InvalidArgument)"; err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
	srv.Next(func(amptest.Query) amptest.Fate {
		return amptest.Refuse(codes.Internal, "failed | Caused by: Schema error: No field named ü. Valid fields are "+fields)
	})
	_, err := client.Info(t.Context(), query)
	if text := err.Error(); len(text) > 600 || !strings.Contains(text, "No field named ü.") || fault.Of(err) != fault.ClassPermanent {
		t.Errorf("%d bytes: %s", len(text), text)
	}
}
