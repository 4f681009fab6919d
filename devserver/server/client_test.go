package server_test

import (
	"context"
	"errors"
	"io"
	"testing"

	"github.com/ampipe/ampipe/devserver/server"
	"github.com/apache/arrow-go/v18/arrow/flight"
	pb "github.com/apache/arrow-go/v18/arrow/flight/gen/flight"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

var allocator = memory.DefaultAllocator

// client asks a server without the comforts of a Flight SQL client, so that a
// test sees every message as it comes.
type client struct {
	*server.Server
	flight pb.FlightServiceClient
}

// start runs a server for a test.
func start(t testing.TB, o server.Options) *client {
	t.Helper()
	s, err := server.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return &client{Server: s, flight: pb.NewFlightServiceClient(dial(t, s.Addr()))}
}

func dial(t testing.TB, addr string, more ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(addr, append([]grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(1 << 30)),
		grpc.WithInitialWindowSize(16 << 20), grpc.WithInitialConnWindowSize(32 << 20),
	}, more...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// reply is everything a server says to a query.
type reply struct {
	info *flight.FlightInfo
	data []*flight.FlightData
}

// endError is the status that a DoGet ended with, after the data of the reply.
type endError struct{ error }

// Unwrap returns the status.
func (e *endError) Unwrap() error { return e.error }

func descriptor(sql string) *flight.FlightDescriptor {
	command, err := anypb.New(&pb.CommandStatementQuery{Query: sql})
	if err != nil {
		panic(err)
	}
	packed, err := proto.MarshalOptions{Deterministic: true}.Marshal(command)
	if err != nil {
		panic(err)
	}
	return &flight.FlightDescriptor{Type: flight.DescriptorCMD, Cmd: packed}
}

// ask sends a query through both calls.
func (c *client) ask(ctx context.Context, sql string) (reply, error) {
	var r reply
	var err error
	if r.info, err = c.flight.GetFlightInfo(ctx, descriptor(sql)); err != nil {
		return r, err
	}
	r.data, err = c.redeem(ctx, r.info.Endpoint[0].Ticket)
	return r, err
}

func (c *client) redeem(ctx context.Context, ticket *flight.Ticket) ([]*flight.FlightData, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	stream, err := c.flight.DoGet(ctx, ticket)
	if err != nil {
		return nil, &endError{err}
	}
	var data []*flight.FlightData
	for {
		message, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return data, nil
		}
		if err != nil {
			return data, &endError{err}
		}
		data = append(data, message)
	}
}
