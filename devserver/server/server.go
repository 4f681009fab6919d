// Package server puts the parts of the development Amp server together: a
// catalogue, an engine, Flight on one listener and the control API on another.
// The command and the tests start it the same way.
package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/ampipe/ampipe/devserver/chain"
	"github.com/ampipe/ampipe/devserver/faults"
	"github.com/ampipe/ampipe/devserver/flightserver"
	"github.com/ampipe/ampipe/devserver/sqlengine"
	"github.com/ampipe/ampipe/devserver/table"
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
)

// Options are what a server offers and where. The zero value listens on a free
// port of the loopback interface, without a control API.
type Options struct {
	Catalog *table.Catalog
	Listen  string // host:port; empty is 127.0.0.1:0
	// Miners drive the chains of the catalogue, at most one per chain. They run as
	// long as the server does.
	Miners []*chain.Miner
	// Control is host:port of the control API; empty is none.
	Control string
	Faults  faults.Switches
	// Streaming is how streaming queries are answered.
	Streaming flightserver.Streaming
	Log       zerolog.Logger
}

// Server is a running server.
type Server struct {
	// Faults sets faults and counts what is served, at any time.
	Faults *faults.Controller

	engine  *sqlengine.Engine
	miners  []*chain.Miner
	conns   *flightserver.Conns
	grpc    *grpc.Server
	flight  net.Listener
	control net.Listener // nil if there is no control API
	http    *http.Server

	serving errgroup.Group
	stop    context.CancelFunc // of the miners
}

// Start begins to serve and returns at once. The caller closes the server; ctx
// covers only the start.
func Start(ctx context.Context, o Options) (_ *Server, err error) {
	s := &Server{Faults: new(faults.Controller), miners: o.Miners, grpc: grpc.NewServer(flightserver.Options()...)}
	if err := s.Faults.Set(o.Faults); err != nil {
		return nil, err
	}
	if s.engine, err = sqlengine.Open(ctx, o.Catalog); err != nil {
		return nil, err
	}
	if err := s.listen(ctx, o); err != nil {
		return nil, errors.Join(err, s.engine.Close())
	}
	s.conns = flightserver.NewConns(s.flight)
	flightserver.New(s.engine, s.Faults, s.conns, o.Streaming, o.Log).Register(s.grpc)
	s.serving.Go(func() error {
		if err := s.grpc.Serve(s.conns); err != nil {
			return fmt.Errorf("serve Flight: %w", err)
		}
		return nil
	})
	mining, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stop = stop
	for _, m := range s.miners {
		s.serving.Go(func() error { return m.Run(mining) })
	}
	if s.control != nil {
		s.serving.Go(func() error {
			if err := s.http.Serve(s.control); !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("serve the control API: %w", err)
			}
			return nil
		})
	}
	return s, nil
}

func (s *Server) listen(ctx context.Context, o Options) (err error) {
	address := o.Listen
	if address == "" {
		address = "127.0.0.1:0"
	}
	if s.flight, err = new(net.ListenConfig).Listen(ctx, "tcp", address); err != nil {
		return fmt.Errorf("listen for Flight: %w", err)
	}
	if o.Control == "" {
		return nil
	}
	if s.control, err = new(net.ListenConfig).Listen(ctx, "tcp", o.Control); err != nil {
		return errors.Join(fmt.Errorf("listen for the control API: %w", err), s.flight.Close())
	}
	s.http = &http.Server{Handler: s.handler(), ReadHeaderTimeout: 5 * time.Second}
	return nil
}

// Addr returns host:port of the Flight listener.
func (s *Server) Addr() string { return s.flight.Addr().String() }

// URL returns the address in the form of a pipeline's configuration.
func (s *Server) URL() string { return "grpc://" + s.Addr() }

// ControlURL returns where the control API is; empty if there is none.
func (s *Server) ControlURL() string {
	if s.control == nil {
		return ""
	}
	return "http://" + s.control.Addr().String()
}

// Cut closes every connection of clients at once, and with them every stream; it
// returns how many there were. New ones are accepted.
func (s *Server) Cut() int { return s.conns.Cut() }

// Close cuts every call at once, as a real server does when it is stopped
// (AP 1.1), and waits for all of them.
func (s *Server) Close() error {
	s.stop()
	s.grpc.Stop()
	var closed error
	if s.http != nil {
		closed = s.http.Close()
	}
	return errors.Join(closed, s.serving.Wait(), s.engine.Close())
}
