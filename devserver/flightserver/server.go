// Package flightserver speaks Arrow Flight SQL as an Amp server does: GetFlightInfo
// and DoGet for one kind of command, every detail of the answers, and the texts
// of its refusals (AP 1-6). It also misbehaves when asked to.
package flightserver

import (
	"cmp"
	"context"
	"time"

	"github.com/ampipe/ampipe/devserver/faults"
	"github.com/ampipe/ampipe/devserver/sqlengine"
	"github.com/apache/arrow-go/v18/arrow/flight"
	"github.com/rs/zerolog"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
)

// Server answers Flight calls. It is safe for concurrent use.
type Server struct {
	flight.BaseFlightServer
	engine *sqlengine.Engine
	faults *faults.Controller
	conns  *Conns
	log    zerolog.Logger

	streaming Streaming
}

// New makes a server over an engine, which it does not close. The controller may be
// used by others meanwhile; conns is the listener that the server will be
// reached by.
func New(engine *sqlengine.Engine, controller *faults.Controller, conns *Conns, streaming Streaming, log zerolog.Logger) *Server {
	streaming.Window = cmp.Or(streaming.Window, defaultWindow)
	streaming.KeepAlive = cmp.Or(streaming.KeepAlive, defaultKeepAlive)
	return &Server{engine: engine, faults: controller, conns: conns, streaming: streaming, log: log}
}

// Register puts the service on a gRPC server, which should have been made with
// [Options].
func (s *Server) Register(g *grpc.Server) { flight.RegisterFlightServiceServer(g, s) }

// Options returns the settings of a gRPC server that offers what a real one does and
// streams large messages fast.
func Options() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.UnaryInterceptor(refuseUnary), grpc.StreamInterceptor(refuseStream),
		grpc.WriteBufferSize(1 << 20),
		grpc.InitialWindowSize(1 << 20), grpc.InitialConnWindowSize(4 << 20),
		grpc.WaitForHandlers(true),
		grpc.MaxSendMsgSize(1<<31 - 1), grpc.MaxRecvMsgSize(4 << 20),
		// A real server answers pings however often they come (AP 1.1).
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Second, PermitWithoutStream: true}),
	}
}

// GetFlightInfo plans a query by schemas only (AP 1.3).
func (s *Server) GetFlightInfo(ctx context.Context, d *flight.FlightDescriptor) (*flight.FlightInfo, error) {
	began := time.Now()
	info, sql, err := s.info(ctx, d)
	err = statusOf(err)
	s.log.Debug().Str("rpc", "GetFlightInfo").Str("query", sql).Dur("took", time.Since(began)).AnErr("status", err).Msg("call")
	return info, err
}

func (s *Server) info(ctx context.Context, d *flight.FlightDescriptor) (*flight.FlightInfo, string, error) {
	if err := s.faults.Info(ctx); err != nil {
		return nil, "", err
	}
	sql, err := command(d)
	if err != nil {
		return nil, "", err
	}
	plan, err := s.engine.Plan(ctx, sql)
	if err != nil {
		return nil, sql, err
	}
	md, _ := metadata.FromIncomingContext(ctx)
	ticket, err := Ticket{SQL: sql, Streaming: streamHeader(md, plan.Streaming), Cursor: resumeHeader(md)}.Encode()
	if err != nil {
		return nil, sql, err
	}
	schema, err := encapsulated(plan.Schema)
	if err != nil {
		return nil, sql, err
	}
	return &flight.FlightInfo{
		Schema:           schema,
		FlightDescriptor: d,
		Endpoint:         []*flight.FlightEndpoint{{Ticket: &flight.Ticket{Ticket: ticket}}},
		TotalRecords:     -1,
		TotalBytes:       -1,
	}, sql, nil
}
