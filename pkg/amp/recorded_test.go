package amp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/flight"
	pb "github.com/apache/arrow-go/v18/arrow/flight/gen/flight"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/amp/amptest"
	"github.com/ampipe/ampipe/pkg/fault"
)

// TestRecordedBatches fetches every batch query that was recorded: the client must
// give the rows that another reader finds in the same bytes, and the rows, ranges,
// completeness and class of error that the account of the recording shows.
func TestRecordedBatches(t *testing.T) {
	t.Parallel()
	tested := 0
	for _, r := range amptest.Recordings(t) {
		if r.Stream() {
			continue
		}
		tested++
		t.Run(r.Name, func(t *testing.T) {
			t.Parallel()
			srv, client := setup(t)
			srv.Replay(r)
			messages, err := collect(t.Context(), t, client, r.SQL)
			checkOutcome(t, err, r.Info, r.End)
			account := r.Messages[min(1, len(r.Messages)):] // the first is the schema
			if len(messages) != len(account) {
				t.Fatalf("%d messages, recorded %d", len(messages), len(account))
			}
			reference, _ := readRaw(t, srv, r)
			for i, m := range messages {
				want, err := amp.ParseMetadata([]byte(account[i].Metadata))
				if err != nil {
					t.Fatal(err)
				}
				if m.Record.NumRows() != account[i].Rows || fmt.Sprint(m.Metadata) != fmt.Sprint(want) {
					t.Errorf("message %d: %d rows, %+v; recorded %+v", i, m.Record.NumRows(), m.Metadata, account[i])
				}
				if !array.RecordEqual(m.Record, reference[i].Data) {
					t.Errorf("message %d: other rows than another reader finds", i)
				}
			}
			if len(messages) > 0 {
				schema, err := client.Info(t.Context(), r.SQL)
				if err != nil || schema.NumFields() != messages[0].Record.Schema().NumFields() {
					t.Errorf("schema of Info: %v, %v", schema, err)
				}
			}
		})
	}
	if tested == 0 {
		t.Fatal("no batch query was recorded")
	}
}

// TestRecordedStreams replays every recorded stream through another reader, to
// hold the scripted server to the account; following a stream is more than reading
// it. Every metadata must be readable, and the client must class a refusal.
func TestRecordedStreams(t *testing.T) {
	t.Parallel()
	tested := 0
	for _, r := range amptest.Recordings(t) {
		if !r.Stream() {
			continue
		}
		tested++
		t.Run(r.Name, func(t *testing.T) {
			t.Parallel()
			srv, client := setup(t)
			srv.Replay(r)
			if len(r.Messages) == 0 && r.End.Code != "" {
				_, err := collect(t.Context(), t, client, r.SQL)
				checkOutcome(t, err, r.Info, r.End)
			}
			chunks, err := readRaw(t, srv, r)
			if r.End.Code != "" && status.Code(err).String() != r.End.Code {
				t.Errorf("ended with %v, recorded %+v", err, r.End)
			}
			account := r.Messages[min(1, len(r.Messages)):]
			if len(chunks) != len(account) {
				t.Fatalf("%d messages, recorded %d", len(chunks), len(account))
			}
			for i, chunk := range chunks {
				if chunk.Data.NumRows() != account[i].Rows || string(chunk.AppMetadata) != account[i].Metadata {
					t.Errorf("message %d: %d rows, %s; recorded %+v", i, chunk.Data.NumRows(), chunk.AppMetadata, account[i])
				}
				if _, err := amp.ParseMetadata(chunk.AppMetadata); err != nil {
					t.Error(err)
				}
			}
		})
	}
	if tested == 0 {
		t.Fatal("no stream was recorded")
	}
}

// TestRecordedErrors serves the status and text of every failure that was recorded,
// at the call and after the messages shown.
func TestRecordedErrors(t *testing.T) {
	t.Parallel()
	srv, client := setup(t)
	for _, f := range amptest.Failures(t) {
		srv.On(f.SQL, f.Answer())
		_, err := collect(t.Context(), t, client, f.SQL)
		t.Logf("%v: %v", fault.Of(err), err)
		checkOutcome(t, err, f.Info, f.End)
	}
}

// checkOutcome compares an error with the recorded outcomes of the two calls.
func checkOutcome(t *testing.T, err error, info, get amptest.Outcome) {
	t.Helper()
	op, outcome := "GetFlightInfo", info
	if info.Code == codes.OK.String() {
		op, outcome = "DoGet", get
	}
	if outcome.Code == codes.OK.String() {
		if err != nil {
			t.Errorf("%v, recorded OK", err)
		}
		return
	}
	var told *amp.Error
	if !errors.As(err, &told) || told.Op != op || told.Code != outcome.Code {
		t.Errorf("%v, recorded %+v of %s", err, outcome, op)
	}
	// Nothing that was recorded would pass by itself, but for a row that is not computed
	// elsewhere.
	if permanent := fault.Of(err) == fault.ClassPermanent; permanent == errors.Is(err, amp.ErrRow) {
		t.Errorf("%v is classed %v", err, fault.Of(err))
	}
}

// readRaw asks a recorded query with the generated client and arrow-go's own
// reader, sends the recorded headers, and leaves when everything that was recorded
// has arrived. The records live until the test ends.
func readRaw(t *testing.T, srv *amptest.Server, r amptest.Recording) ([]flight.StreamChunk, error) {
	t.Helper()
	conn, err := grpc.NewClient(srv.URL()[len("grpc://"):], grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20)))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithCancel(metadata.NewOutgoingContext(t.Context(), r.Header))
	defer cancel()
	command, err := anypb.New(&pb.CommandStatementQuery{Query: r.SQL})
	if err != nil {
		t.Fatal(err)
	}
	cmd, err := proto.Marshal(command)
	if err != nil {
		t.Fatal(err)
	}
	client := pb.NewFlightServiceClient(conn)
	info, err := client.GetFlightInfo(ctx, &pb.FlightDescriptor{Type: pb.FlightDescriptor_CMD, Cmd: cmd})
	if err != nil {
		return nil, err
	}
	stream, err := client.DoGet(ctx, info.GetEndpoint()[0].GetTicket())
	if err != nil {
		return nil, err
	}
	if len(r.Messages) == 0 {
		if r.End.Code == "" {
			return nil, nil // nothing ever came
		}
		_, err := stream.Recv()
		return nil, err
	}
	reader, err := flight.NewRecordReader(stream)
	if err != nil {
		return nil, err
	}
	defer reader.Release()
	var chunks []flight.StreamChunk
	for len(chunks) < len(r.Messages)-1 && reader.Next() {
		chunk := reader.Chunk()
		chunk.Data.Retain()
		t.Cleanup(chunk.Data.Release)
		chunks = append(chunks, chunk)
	}
	if r.End.Code != "" && len(chunks) == len(r.Messages)-1 && !reader.Next() {
		if err := reader.Err(); err != nil && !errors.Is(err, io.EOF) {
			return chunks, err
		}
	}
	return chunks, nil
}
