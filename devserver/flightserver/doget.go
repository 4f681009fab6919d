package flightserver

import (
	"context"
	"errors"
	"time"

	"github.com/apache/arrow-go/v18/arrow/flight"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// DoGet plans the query of a ticket again and answers it.
func (s *Server) DoGet(t *flight.Ticket, stream flight.FlightService_DoGetServer) error {
	began := time.Now()
	a, sql, err := s.answer(t, stream)
	if errors.Is(err, errDropped) {
		a.cut(stream.Context())
	}
	err = statusOf(err)
	s.log.Debug().Str("rpc", "DoGet").Str("query", sql).Int("messages", a.messages).Int64("rows", a.rows).
		Dur("took", time.Since(began)).AnErr("status", err).Msg("call")
	return err
}

func (s *Server) answer(raw *flight.Ticket, stream flight.FlightService_DoGetServer) (a answer, sql string, err error) {
	ctx := stream.Context()
	t, err := s.faults.Stream(ctx)
	defer t.End()
	if err != nil {
		return a, "", err
	}
	ticket, err := DecodeTicket(raw.GetTicket())
	if err != nil {
		return a, "", err
	}
	if err := t.Refusal(); err != nil {
		return a, ticket.SQL, err
	}
	plan, err := s.engine.Plan(ctx, ticket.SQL)
	if err != nil {
		return a, ticket.SQL, err
	}
	a = answer{stream: stream, faults: t, plan: plan, conn: s.conns.of(ctx)}
	if a.conn != nil {
		a.before = a.conn.total()
	}
	if ticket.Streaming {
		err = s.follow(ctx, &a, ticket.Cursor)
	} else {
		err = a.batch(ctx, s.snapshots(t.Switches))
	}
	return a, ticket.SQL, err
}

// errDropped ends an answer whose connection is to be cut.
var errDropped = status.Error(codes.Unavailable, "the connection was dropped on request")

// cut closes the connection under an answer once the answer is on the wire.
func (a *answer) cut(ctx context.Context) {
	if a.conn != nil {
		a.conn.cut(ctx, a.before+a.sent)
	}
}
