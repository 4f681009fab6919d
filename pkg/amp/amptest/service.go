package amptest

import (
	"context"
	"fmt"
	"strings"

	"github.com/apache/arrow-go/v18/arrow/flight/gen/flight"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// service is the Flight side of a Server. Like Amp it knows two calls (AP 1.2).
type service struct {
	flight.UnimplementedFlightServiceServer
	server *Server
}

// asked is what a ticket stands for.
type asked struct {
	query  Query
	answer Answer
	fault  Fault
}

// GetFlightInfo looks up the answer, and the fault, of a query.
func (s *service) GetFlightInfo(ctx context.Context, d *flight.FlightDescriptor) (*flight.FlightInfo, error) {
	sql, err := statement(d)
	if err != nil {
		return nil, err
	}
	q := Query{SQL: sql, Header: headers(ctx)}
	defer close(s.server.received("GetFlightInfo", q))
	if err := s.authorized("GetFlightInfo", q.Header); err != nil {
		return nil, err
	}
	a := s.server.lookUp(q)
	if a.fault.delay != nil {
		select {
		case <-a.fault.delay:
		case <-ctx.Done():
			return nil, status.FromContextError(ctx.Err()).Err()
		}
	}
	switch {
	case a.fault.refuse != nil:
		return nil, a.fault.refuse
	case a.answer.RefuseInfo != nil:
		return nil, a.answer.RefuseInfo
	case a.answer.recorded != nil:
		info := a.answer.recorded.FlightInfo
		s.server.issue(info.GetEndpoint()[0].GetTicket().GetTicket(), a)
		return info, nil
	}
	schema, err := schemaBytes(a.answer.Schema)
	if err != nil {
		return nil, err
	}
	ticket := s.server.issue(nil, a)
	info := infoOf(schema, ticket)
	info.FlightDescriptor = d
	return info, nil
}

func infoOf(schema, ticket []byte) *flight.FlightInfo {
	return &flight.FlightInfo{
		Schema: schema, TotalRecords: -1, TotalBytes: -1,
		Endpoint: []*flight.FlightEndpoint{{Ticket: &flight.Ticket{Ticket: ticket}}},
	}
}

// statement unpacks the one command that Amp understands (AP 1.2).
func statement(d *flight.FlightDescriptor) (string, error) {
	if d.GetType() != flight.FlightDescriptor_CMD {
		return "", status.Errorf(codes.InvalidArgument, "unsupported flight descriptor type: %d", d.GetType())
	}
	var command anypb.Any
	var query flight.CommandStatementQuery
	if err := proto.Unmarshal(d.GetCmd(), &command); err != nil {
		return "", status.Errorf(codes.InvalidArgument, "ProtocolBuffers decoding error: %v", err)
	}
	if err := command.UnmarshalTo(&query); err != nil {
		return "", status.Errorf(codes.InvalidArgument, "unsupported flight descriptor command: %s", command.GetTypeUrl())
	}
	return query.GetQuery(), nil
}

func headers(ctx context.Context) map[string][]string {
	in, _ := metadata.FromIncomingContext(ctx) // a call without metadata has none
	return in
}

func (s *service) authorized(method string, header map[string][]string) error {
	s.server.mu.Lock()
	accept := s.server.accept
	s.server.mu.Unlock()
	token := strings.TrimPrefix(strings.Join(header["authorization"], ","), "Bearer ")
	if accept == nil || accept(method, token) {
		return nil
	}
	return status.Error(codes.Unauthenticated, "the token is not accepted")
}

// lookUp finds the fault and the answer of a query.
func (s *Server) lookUp(q Query) asked {
	s.mu.Lock()
	var decide func(Query) Fault
	if len(s.next) > 0 {
		decide, s.next = s.next[0], s.next[1:]
	}
	answer, known := s.answers[q.SQL]
	s.mu.Unlock()
	a := asked{query: q}
	if decide != nil {
		a.fault = decide(q)
	}
	switch {
	case a.fault.instead != nil:
		a.answer = *a.fault.instead
	case known:
		a.answer = answer(q)
	case s.handle != nil:
		a.answer = s.handle(q)
	default:
		a.answer.RefuseInfo = status.Errorf(codes.InvalidArgument, "amptest: nothing is scripted for %q", q.SQL)
	}
	return a
}

// issue remembers what a ticket stands for; nil makes up a new ticket.
func (s *Server) issue(ticket []byte, a asked) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ticket == nil {
		ticket = fmt.Appendf(nil, "ticket %d", len(s.tickets)+1)
	}
	s.tickets[string(ticket)] = a
	return ticket
}
