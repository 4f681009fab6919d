package amptest

import (
	"context"
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
	goOn, err := g.answer(a)
	if goOn && err == nil {
		return a.answer.End
	}
	return err
}

// getting is one DoGet under way.
type getting struct {
	stream flight.FlightService_DoGetServer
	server *Server
	fault  Fault
	sent   int
}

// answer sends everything; goOn is false when the fault has ended the answer.
func (g *getting) answer(a asked) (goOn bool, err error) {
	if a.answer.recorded != nil {
		for _, message := range a.answer.recorded.Data {
			if goOn, err := g.send(message); !goOn || err != nil {
				return goOn, err
			}
			if a.answer.sent != nil {
				a.answer.sent(g.sent)
			}
		}
	} else if goOn, err := g.sendParts(a.answer, a.query.Stream()); !goOn || err != nil {
		return goOn, err
	}
	if goOn, err := g.meet(); !goOn || err != nil {
		return goOn, err
	}
	if a.answer.Hold {
		return true, g.wait(nil)
	}
	return true, nil
}

func (g *getting) sendParts(a Answer, streaming bool) (goOn bool, err error) {
	schema := a.Schema
	if a.Moved != nil {
		schema = a.Moved
	}
	if !streaming {
		if goOn, err := g.sendSchema(schema); !goOn || err != nil {
			return goOn, err
		}
	}
	for _, p := range a.Parts {
		if goOn, err := g.sendPart(schema, p); !goOn || err != nil {
			return goOn, err
		}
	}
	for a.Feed != nil {
		select {
		case p, open := <-a.Feed:
			if !open {
				return true, nil
			}
			if goOn, err := g.sendPart(schema, p); !goOn || err != nil {
				return goOn, err
			}
		case <-g.stream.Context().Done():
			return false, status.FromContextError(g.stream.Context().Err()).Err()
		}
	}
	if a.Script != nil {
		return g.sendScript(schema, a.Script)
	}
	return true, nil
}

// errAborted is what a script receives when a fault has ended its answer.
var errAborted = errors.New("amptest: the answer has ended")

func (g *getting) sendScript(schema *arrow.Schema, script func(context.Context, func(Part) error) error) (goOn bool, err error) {
	aborted := false
	var with error
	err = script(g.stream.Context(), func(p Part) error {
		goOn, err := g.sendPart(schema, p)
		if err == nil && goOn {
			return nil
		}
		aborted, with = true, err
		if err == nil {
			err = errAborted
		}
		return err
	})
	if aborted {
		return false, with
	}
	return err == nil, err
}

func (g *getting) sendSchema(schema *arrow.Schema) (goOn bool, err error) {
	message, err := schemaData(schema)
	if err != nil {
		return false, err
	}
	return g.send(message)
}

func (g *getting) sendPart(schema *arrow.Schema, p Part) (goOn bool, err error) {
	if p.Wait != nil {
		if err := g.wait(p.Wait); err != nil {
			return false, err
		}
	}
	if g.sent == 0 {
		if goOn, err := g.sendSchema(schema); !goOn || err != nil {
			return goOn, err
		}
	}
	g.server.encoding.Lock()
	message, err := partData(schema, p)
	g.server.encoding.Unlock()
	if err != nil {
		return false, err
	}
	return g.send(message)
}

// send sends one message, unless the fault ends the answer before it.
func (g *getting) send(message *flight.FlightData) (goOn bool, err error) {
	if goOn, err := g.meet(); !goOn || err != nil {
		return goOn, err
	}
	g.sent++
	return true, g.stream.Send(message)
}

// meet injects the fault once enough messages were sent.
func (g *getting) meet() (goOn bool, err error) {
	if g.fault.act == nil || g.sent < g.fault.after {
		return true, nil
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
