package amp

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/flight/gen/flight"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/ampipe/ampipe/pkg/arrowguard"
)

// planned is what GetFlightInfo says about a query.
type planned struct {
	schema *arrow.Schema
	ticket *flight.Ticket
}

// plan asks GetFlightInfo. headers are pairs of name and value; Amp reads those
// of its own (amp-stream, amp-resume) here and nowhere else (AP 1.4).
func (c *Client) plan(ctx context.Context, sql string, headers ...string) (planned, error) {
	command, err := anypb.New(&flight.CommandStatementQuery{Query: sql})
	if err != nil {
		return planned{}, fmt.Errorf("pack query: %w", err)
	}
	cmd, err := proto.Marshal(command)
	if err != nil {
		return planned{}, fmt.Errorf("pack query: %w", err)
	}
	descriptor := &flight.FlightDescriptor{Type: flight.FlightDescriptor_CMD, Cmd: cmd}
	var info *flight.FlightInfo
	ctx, wait := newDeadline(ctx)
	defer wait.close()
	wait.limit = c.cfg.forAnswer()
	wait.start()
	err = c.authorized(metadata.AppendToOutgoingContext(ctx, headers...), opInfo, func(ctx context.Context) (err error) {
		info, err = c.flight.GetFlightInfo(ctx, descriptor)
		return err
	})
	if err != nil {
		return planned{}, err
	}
	if n := len(info.GetEndpoint()); n != 1 {
		return planned{}, violation(opInfo, fmt.Errorf("%d endpoints instead of one", n))
	}
	schema, err := arrowguard.ReadSchema(info.GetSchema())
	if err != nil {
		return planned{}, damaged(opInfo, err)
	}
	return planned{schema: schema, ticket: info.GetEndpoint()[0].GetTicket()}, nil
}

// answer is an open DoGet whose schema has been read and checked.
type answer struct {
	client *Client
	ctx    context.Context // the caller's, with the wait's end
	wait   *deadline
	in     *inbox
	reader *arrowguard.Reader
}

// get opens the answer to a planned query. It returns when the schema has arrived,
// which for a stream may take as long as the chain takes (AP 1.5), and must not take
// longer than limit allows. The limit is that of each message as well, until it is
// changed.
func (c *Client) get(ctx context.Context, p planned, limit patience) (*answer, error) {
	a := &answer{client: c}
	a.ctx, a.wait = newDeadline(ctx)
	a.wait.limit = limit
	a.wait.start()
	err := c.authorized(a.ctx, opGet, func(ctx context.Context) error { return a.open(ctx, p.ticket) })
	a.wait.stop()
	if err != nil {
		a.close()
		return nil, err
	}
	// DoGet plans the query again, and a tag such as "latest" may have moved in
	// between (AP 1.3).
	if err := sameSchema(p.schema, a.reader.Schema()); err != nil {
		a.close()
		return nil, fmt.Errorf("%s: %w: %w", opGet, ErrSchemaChanged, err)
	}
	return a, nil
}

func (a *answer) open(ctx context.Context, ticket *flight.Ticket) error {
	conn := a.client.conn
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, methodGet,
		grpc.ForceCodecV2(frameCodec{}))
	if err != nil {
		return err
	}
	// The status of a stream that ended early comes from receiving, not sending.
	if err := stream.SendMsg(ticket); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	return a.read(stream)
}

// read waits for the schema.
func (a *answer) read(stream grpc.ClientStream) (err error) {
	a.in = &inbox{stream: stream, frame: frame{alloc: a.client.bodies}}
	a.reader, err = arrowguard.NewReader(a.in)
	switch {
	case err == nil:
		return nil
	case errors.Is(a.in.err, io.EOF):
		return fmt.Errorf("%s: %w", opGet, ErrIncomplete)
	case a.in.err != nil:
		return a.in.err
	}
	return damaged(opGet, err)
}

// next returns the next message, io.EOF at the regular end of the answer, or an
// error that is classed.
func (a *answer) next() (Message, error) {
	a.wait.start()
	record, err := a.reader.Next()
	a.wait.stop()
	switch {
	case a.in.err != nil && !errors.Is(a.in.err, io.EOF):
		return Message{}, a.client.explain(a.ctx, opGet, a.in.err)
	case errors.Is(err, io.EOF):
		return Message{}, io.EOF
	case err != nil:
		return Message{}, damaged(opGet, err)
	}
	m, err := ParseMetadata(a.in.frame.metadata)
	if err != nil {
		return Message{}, violation(opGet, err)
	}
	return Message{Record: record, Metadata: m, release: a.reader.Drop}, nil
}

// close ends the call, if it has not ended, and releases the current record.
func (a *answer) close() {
	a.wait.close()
	if a.reader != nil {
		a.reader.Release()
	}
}

// inbox hands the messages of a DoGet stream to the reader.
type inbox struct {
	stream grpc.ClientStream
	frame  frame
	err    error // why no message came, as the transport said it
}

// Next waits for the next message.
func (b *inbox) Next() (header []byte, body *memory.Buffer, err error) {
	if b.err = b.stream.RecvMsg(&b.frame); b.err != nil {
		return nil, nil, b.err
	}
	if len(b.frame.header) == 0 {
		b.frame.release()
		return nil, nil, errors.New("a message without an Arrow header")
	}
	return b.frame.header, b.frame.take(), nil
}
