package flightserver

import (
	"context"

	"github.com/apache/arrow-go/v18/arrow/flight"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// A real server answers every other call with UNIMPLEMENTED and the name of the
// call (AP 1.2); it panics in Handshake, which nobody should rely on.

func unoffered(name string) error { return status.Error(codes.Unimplemented, name) }

// Handshake implements the Flight service.
func (s *Server) Handshake(flight.FlightService_HandshakeServer) error { return unoffered("Handshake") }

// GetSchema implements the Flight service.
func (s *Server) GetSchema(context.Context, *flight.FlightDescriptor) (*flight.SchemaResult, error) {
	return nil, unoffered("GetSchema")
}

// PollFlightInfo implements the Flight service.
func (s *Server) PollFlightInfo(context.Context, *flight.FlightDescriptor) (*flight.PollInfo, error) {
	return nil, unoffered("PollFlightInfo")
}

// ListFlights implements the Flight service.
func (s *Server) ListFlights(*flight.Criteria, flight.FlightService_ListFlightsServer) error {
	return unoffered("ListFlights")
}

// DoPut implements the Flight service.
func (s *Server) DoPut(flight.FlightService_DoPutServer) error { return unoffered("DoPut") }

// DoExchange implements the Flight service.
func (s *Server) DoExchange(flight.FlightService_DoExchangeServer) error {
	return unoffered("DoExchange")
}

// DoAction implements the Flight service.
func (s *Server) DoAction(*flight.Action, flight.FlightService_DoActionServer) error {
	return unoffered("DoAction")
}

// ListActions implements the Flight service.
func (s *Server) ListActions(*flight.Empty, flight.FlightService_ListActionsServer) error {
	return unoffered("ListActions")
}
