package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"

	"github.com/apache/arrow-go/v18/arrow/flight/gen/flight"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// receive reads the answer to a query by gRPC alone: nothing of the messages is looked at.
func (e *env) receive(ctx context.Context, query string) error {
	at, err := url.Parse(e.amp)
	if err != nil {
		return err
	}
	conn, err := grpc.NewClient(at.Host, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithStaticStreamWindowSize(8<<20), grpc.WithStaticConnWindowSize(32<<20), grpc.WithReadBufferSize(256<<10),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(256<<20)))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // everything was received
	command, err := anypb.New(&flight.CommandStatementQuery{Query: query})
	if err != nil {
		return err
	}
	text, err := proto.Marshal(command)
	if err != nil {
		return err
	}
	info, err := flight.NewFlightServiceClient(conn).GetFlightInfo(ctx,
		&flight.FlightDescriptor{Type: flight.FlightDescriptor_CMD, Cmd: text})
	if err != nil {
		return err
	}
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true},
		"/arrow.flight.protocol.FlightService/DoGet", grpc.ForceCodecV2(dropping{}))
	if err == nil {
		err = stream.SendMsg(info.GetEndpoint()[0].GetTicket())
	}
	if err == nil {
		err = stream.CloseSend()
	}
	for err == nil {
		err = stream.RecvMsg(nil)
	}
	if !errors.Is(err, io.EOF) {
		return fmt.Errorf("receive an answer: %w", err)
	}
	return nil
}

// dropping is a codec that drops what is received.
type dropping struct{}

func (dropping) Name() string                         { return "" }
func (dropping) Unmarshal(mem.BufferSlice, any) error { return nil }

func (dropping) Marshal(v any) (mem.BufferSlice, error) {
	message, ok := v.(proto.Message)
	if !ok {
		return nil, fmt.Errorf("marshal %T: not a message", v)
	}
	text, err := proto.Marshal(message)
	return mem.BufferSlice{mem.SliceBuffer(text)}, err
}
