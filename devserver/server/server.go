// Package server puts the parts of the development Amp server together: a
// catalogue, an engine, Flight on one listener and the control API on another.
// The command and the tests start it the same way.
package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	"github.com/ampipe/ampipe/devserver/flightd"
	"github.com/ampipe/ampipe/devserver/sqlrun"
	"github.com/ampipe/ampipe/devserver/table"
	"github.com/rs/zerolog"
	"google.golang.org/grpc"
)

// Options say what a server offers and where. The zero value listens on a free
// port of the loopback interface, without a control API.
type Options struct {
	Catalog *table.Catalog
	Listen  string // host:port; empty is 127.0.0.1:0
	Log     zerolog.Logger
}

// Server is a running server.
type Server struct {
	engine *sqlrun.Engine
	grpc   *grpc.Server
	flight net.Listener

	serving sync.WaitGroup
	failed  error // of the serving goroutine, read after Wait
}

// Start begins to serve and returns at once.
func Start(ctx context.Context, o Options) (*Server, error) {
	if o.Listen == "" {
		o.Listen = "127.0.0.1:0"
	}
	engine, err := sqlrun.Open(ctx, o.Catalog)
	if err != nil {
		return nil, err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", o.Listen)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("listen for Flight: %w", err), engine.Close())
	}
	s := &Server{engine: engine, flight: listener, grpc: grpc.NewServer(flightd.Options()...)}
	flightd.New(engine, o.Log).Register(s.grpc)
	s.serving.Go(func() {
		if err := s.grpc.Serve(listener); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			s.failed = fmt.Errorf("serve Flight: %w", err)
		}
	})
	return s, nil
}

// Addr is host:port of the Flight listener.
func (s *Server) Addr() string { return s.flight.Addr().String() }

// URL is the address as a pipeline's configuration has it.
func (s *Server) URL() string { return "grpc://" + s.Addr() }

// Close cuts every call, as a real server does when it is stopped (AP 1.1), and
// waits for all of them.
func (s *Server) Close() error {
	s.grpc.Stop()
	s.serving.Wait()
	return errors.Join(s.failed, s.engine.Close())
}
