package server_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/ampipe/ampipe/devserver/flightserver"
	"github.com/apache/arrow-go/v18/arrow/flight"
	"google.golang.org/grpc/codes"
	grpcmeta "google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

func TestOtherCalls(t *testing.T) {
	s := chainServer(t, nothing)
	ctx := t.Context()
	calls := map[string]func() error{
		"GetSchema":      func() error { _, err := s.flight.GetSchema(ctx, descriptor(logs)); return err },
		"PollFlightInfo": func() error { _, err := s.flight.PollFlightInfo(ctx, descriptor(logs)); return err },
		"ListFlights": func() error {
			stream, err := s.flight.ListFlights(ctx, &flight.Criteria{})
			return errors.Join(err, received(stream.Recv()))
		},
		"DoAction": func() error {
			stream, err := s.flight.DoAction(ctx, &flight.Action{})
			return errors.Join(err, received(stream.Recv()))
		},
		"ListActions": func() error {
			stream, err := s.flight.ListActions(ctx, &flight.Empty{})
			return errors.Join(err, received(stream.Recv()))
		},
		"DoPut": func() error {
			stream, err := s.flight.DoPut(ctx)
			return errors.Join(err, received(stream.Recv()))
		},
		"DoExchange": func() error {
			stream, err := s.flight.DoExchange(ctx)
			return errors.Join(err, received(stream.Recv()))
		},
	}
	for name, call := range calls {
		err := call()
		if got, _ := status.FromError(err); got.Code() != codes.Unimplemented || !strings.Contains(got.Message(), name) {
			t.Errorf("%s ends with %v", name, err)
		}
	}
}

func received[T any](_ T, err error) error { return err }

func TestBadRequests(t *testing.T) {
	s := chainServer(t, nothing)
	packed := func(m proto.Message) []byte {
		inner, err := anypb.New(m)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := proto.Marshal(inner)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	tests := map[string]struct {
		descriptor *flight.FlightDescriptor
		text       string
	}{
		"path":    {&flight.FlightDescriptor{Type: flight.DescriptorPATH, Path: []string{"x"}}, "unsupported flight descriptor type: 1"},
		"raw SQL": {&flight.FlightDescriptor{Type: flight.DescriptorCMD, Cmd: []byte("SELECT 1")}, "ProtocolBuffers decoding error"},
		"command": {&flight.FlightDescriptor{Type: flight.DescriptorCMD, Cmd: packed(&flight.Ticket{})}, "unsupported flight descriptor command: type.googleapis.com/"},
	}
	for what, test := range tests {
		_, err := s.flight.GetFlightInfo(t.Context(), test.descriptor)
		if status.Code(err) != codes.InvalidArgument || !strings.Contains(status.Convert(err).Message(), test.text) {
			t.Errorf("%s: ends with %v", what, err)
		}
	}
	for _, ticket := range []string{"", "nonsense", "dev1{"} {
		_, err := s.redeem(t.Context(), &flight.Ticket{Ticket: []byte(ticket)})
		if got := status.Convert(errors.Unwrap(err)); got.Code() != codes.InvalidArgument || !strings.Contains(got.Message(), "ticket decoding error") {
			t.Errorf("ticket %q: ends with %v", ticket, err)
		}
	}
}

// TestModes: headers are read by GetFlightInfo with the server's leniency, and
// decide over the query (AP 1.4).
func TestModes(t *testing.T) {
	s := chainServer(t, nothing)
	streaming := logs + " SETTINGS stream = true"
	tests := []struct {
		query, header string
		stream        bool
	}{
		{logs, "", false}, {logs, "true", true}, {logs, "TRUE", true}, {logs, "1", true}, {logs, "yes", false},
		{streaming, "", true}, {streaming, "false", false}, {streaming, "0", false}, {streaming, "no", true},
	}
	for _, test := range tests {
		ctx := grpcmeta.AppendToOutgoingContext(t.Context(), "amp-stream", test.header, "amp-resume", "nonsense")
		info, err := s.flight.GetFlightInfo(ctx, descriptor(test.query))
		if err != nil {
			t.Fatal(err)
		}
		ticket, err := flightserver.DecodeTicket(info.Endpoint[0].Ticket.Ticket)
		if err != nil || ticket.Streaming != test.stream || ticket.Cursor != nil {
			t.Errorf("%s with amp-stream=%q gives the ticket %+v (%v)", test.query, test.header, ticket, err)
		}
	}
}

// TestCancel: a client that goes away ends the stream at the server.
func TestCancel(t *testing.T) {
	s := chainServer(t, nothing)
	info, err := s.flight.GetFlightInfo(t.Context(), descriptor(logs))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	stream, err := s.flight.DoGet(ctx, info.Endpoint[0].Ticket)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	cancel()
	for err == nil {
		_, err = stream.Recv()
	}
	if status.Code(err) != codes.Canceled {
		t.Errorf("ends with %v", err)
	}
}
