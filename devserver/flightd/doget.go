package flightd

import (
	"time"

	"github.com/ampipe/ampipe/devserver/sqlrun"
	"github.com/ampipe/ampipe/devserver/table"
	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/flight"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// DoGet plans the query of a ticket again and answers it.
func (s *Server) DoGet(t *flight.Ticket, stream flight.FlightService_DoGetServer) error {
	began := time.Now()
	ticket, err := DecodeTicket(t.GetTicket())
	if err == nil {
		err = s.answer(ticket, stream)
	}
	err = statusOf(err)
	s.log.Debug().Str("rpc", "DoGet").Str("query", ticket.SQL).Dur("took", time.Since(began)).AnErr("status", err).Msg("call")
	return err
}

func (s *Server) answer(t Ticket, stream flight.FlightService_DoGetServer) error {
	ctx := stream.Context()
	plan, err := s.engine.Plan(ctx, t.SQL)
	if err != nil {
		return err
	}
	if t.Streaming {
		return status.Error(codes.Unimplemented, "streaming queries are not offered by this development server yet")
	}
	return s.batch(plan, stream)
}

// batch answers a batch query (AP 1.5): schema, at least one batch, and an
// empty one that closes, all with the ranges of one snapshot.
func (s *Server) batch(plan *sqlrun.Plan, stream flight.FlightService_DoGetServer) error {
	snapshots := map[*table.Table]table.Snapshot{}
	snapshot := func(t *table.Table) table.Snapshot {
		if snapshots[t] == nil {
			snapshots[t] = t.Source.Snapshot()
		}
		return snapshots[t]
	}
	rows, err := plan.Run(stream.Context(), snapshot)
	if err != nil {
		return err
	}
	metadata := amp.Metadata{Ranges: commonRanges(plan.Tables(), snapshot)}
	open, err := metadata.AppendJSON(nil)
	if err != nil {
		return err
	}
	metadata.Complete = true
	closing, err := metadata.AppendJSON(nil)
	if err != nil {
		return err
	}
	schema, err := schemaMessage(plan.Schema)
	if err != nil {
		return err
	}
	if err := stream.Send(&flight.FlightData{DataHeader: schema}); err != nil {
		return err
	}
	sent := 0
	for batch, err := range rows {
		if err != nil {
			return err
		}
		n, err := s.send(batch, open, stream)
		batch.Release()
		sent += n
		if err != nil {
			return err
		}
	}
	empty := emptyBatch(plan.Schema)
	defer empty.Release()
	if sent == 0 {
		if _, err := s.send(empty, open, stream); err != nil {
			return err
		}
	}
	_, err = s.send(empty, closing, stream)
	return err
}

// send splits, encodes and sends a batch; it gives the number of messages.
func (s *Server) send(batch arrow.RecordBatch, metadata []byte, stream flight.FlightService_DoGetServer) (int, error) {
	pieces := split(batch, targetBytes)
	defer func() {
		for _, p := range pieces {
			p.Release()
		}
	}()
	for i, piece := range pieces {
		message, err := encodeBatch(piece, metadata)
		if err != nil {
			return i, err
		}
		if err := stream.Send(message); err != nil {
			return i, err
		}
	}
	return len(pieces), nil
}
