package amptest

import (
	"errors"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/flight/gen/flight"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

// DoGet answers a ticket, which may be redeemed any number of times.
func (s *service) DoGet(t *flight.Ticket, stream flight.FlightService_DoGetServer) error {
	s.server.mu.Lock()
	a, known := s.server.tickets[string(t.GetTicket())]
	s.server.mu.Unlock()
	header := headers(stream.Context())
	defer close(s.server.received("DoGet", Query{SQL: a.query.SQL, Header: header}))
	if err := s.authorized("DoGet", header); err != nil {
		return err
	}
	if !known {
		return status.Error(codes.InvalidArgument, "ticket decoding error")
	}
	if a.answer.RefuseGet != nil {
		return a.answer.RefuseGet
	}
	if a.answer.left != nil {
		defer a.answer.left()
	}
	g := &getting{stream: stream, server: s.server, fault: a.fault}
	err := g.answer(a)
	if errors.Is(err, errEnd) {
		return nil
	}
	return err
}

// errEnd is the error of a fault that ends an answer with OK.
var errEnd = errors.New("amptest: the answer has ended")

// getting is one DoGet under way. An error of its methods ends the answer.
type getting struct {
	stream flight.FlightService_DoGetServer
	server *Server
	fault  Fault
	sent   int
}

// answer sends everything.
func (g *getting) answer(a asked) error {
	if a.answer.recorded == nil {
		if err := g.sendParts(a.answer, a.query.Stream()); err != nil {
			return err
		}
	} else {
		for _, message := range a.answer.recorded.data {
			if err := g.send(message); err != nil {
				return err
			}
			if a.answer.sent != nil {
				a.answer.sent(g.sent)
			}
		}
	}
	if err := g.meet(); err != nil {
		return err
	}
	if a.answer.Hold {
		return g.wait(nil)
	}
	return a.answer.End
}

func (g *getting) sendParts(a Answer, streaming bool) error {
	schema := a.Schema
	if a.Moved != nil {
		schema = a.Moved
	}
	if !streaming {
		if err := g.sendSchema(schema); err != nil {
			return err
		}
	}
	for _, p := range a.Parts {
		if err := g.sendPart(schema, p); err != nil {
			return err
		}
	}
	for a.Feed != nil {
		select {
		case p, open := <-a.Feed:
			if !open {
				return nil
			}
			if err := g.sendPart(schema, p); err != nil {
				return err
			}
		case <-g.stream.Context().Done():
			return status.FromContextError(g.stream.Context().Err()).Err()
		}
	}
	if a.Script == nil {
		return nil
	}
	var failed error // counts, whatever the script makes of it
	err := a.Script(g.stream.Context(), func(p Part) error {
		failed = g.sendPart(schema, p)
		return failed
	})
	if failed != nil {
		return failed
	}
	return err
}

func (g *getting) sendSchema(schema *arrow.Schema) error {
	message, err := schemaData(schema)
	if err != nil {
		return err
	}
	return g.send(message)
}

func (g *getting) sendPart(schema *arrow.Schema, p Part) error {
	if p.Wait != nil {
		if err := g.wait(p.Wait); err != nil {
			return err
		}
	}
	if g.sent == 0 {
		if err := g.sendSchema(schema); err != nil {
			return err
		}
	}
	g.server.encoding.Lock()
	message, err := partData(schema, p)
	g.server.encoding.Unlock()
	if err != nil {
		return err
	}
	return g.send(message)
}

// send sends one message, unless the fault ends the answer before it.
func (g *getting) send(message *flight.FlightData) error {
	if err := g.meet(); err != nil {
		return err
	}
	g.sent++
	return g.stream.Send(message)
}

// meet injects the fault once enough messages were sent.
func (g *getting) meet() error {
	if g.fault.act == nil || g.sent < g.fault.after {
		return nil
	}
	act := g.fault.act
	g.fault.act = nil
	if g.fault.reached != nil {
		close(g.fault.reached)
	}
	return act(g)
}

// wait pauses until the channel is closed; for ever if it is nil. It fails when the
// client leaves.
func (g *getting) wait(until <-chan struct{}) error {
	select {
	case <-until:
		return nil
	case <-g.stream.Context().Done():
		return status.FromContextError(g.stream.Context().Err()).Err()
	}
}

// cut breaks the client's connection.
func (g *getting) cut() error {
	if p, ok := peer.FromContext(g.stream.Context()); ok {
		g.server.mu.Lock()
		defer g.server.mu.Unlock()
		if conn, found := g.server.conns[p.Addr.String()]; found {
			reset(conn)
		}
	}
	return status.Error(codes.Aborted, "amptest: cut") // never seen: the connection is gone
}

func (g *getting) sendOversize(bytes int) error {
	g.sent++
	return g.stream.Send(&flight.FlightData{DataHeader: []byte{0}, DataBody: make([]byte, bytes)})
}
