package amptest

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/flight/gen/flight"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
)

// Query is what GetFlightInfo was asked.
type Query struct {
	SQL    string
	Header map[string][]string // gRPC metadata; names are in lower case
}

// Stream reports whether the headers ask for a stream (AP 1.4).
func (q Query) Stream() bool {
	value := strings.ToLower(strings.Join(q.Header["amp-stream"], ","))
	return value == "true" || value == "1"
}

// Resume returns the cursor that the headers ask to resume from; empty: none.
func (q Query) Resume() string { return strings.Join(q.Header["amp-resume"], ",") }

// Request is one call that the server has received.
type Request struct {
	Method string // "GetFlightInfo" or "DoGet"
	Query  Query  // for DoGet the SQL of its ticket, with the headers of the call itself
	// Done is closed when the server has nothing more to do for it.
	Done <-chan struct{}
}

// Server is a running scripted server. Its methods may be called by many
// goroutines at once.
type Server struct {
	url    string
	grpc   *grpc.Server
	served chan struct{}
	handle func(Query) Answer

	// Streams may send the same records, and arrow counts the nulls of a slice when it is
	// encoded for the first time.
	encoding sync.Mutex

	mu       sync.Mutex
	answers  map[string]func(Query) Answer
	next     []func(Query) Fault
	tickets  map[string]asked
	requests []Request
	conns    map[string]net.Conn // by the client's address
	accept   func(method, token string) bool
}

// Start runs a server on a loopback port until the test ends. handle answers the
// queries for which there is no [Server.On]; nil refuses them.
func Start(t testing.TB, handle func(Query) Answer) *Server {
	t.Helper()
	s := NewServer(handle)
	t.Cleanup(s.Stop)
	return s
}

// NewServer is [Start] for an example, which has no test to end with: the caller stops
// the server. Like httptest's, it panics if there is no port to listen on.
func NewServer(handle func(Query) Answer) *Server {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(fmt.Sprintf("amptest: listen on a loopback port: %v", err))
	}
	return serve(listener, handle)
}

// Serve is [Start] on a listener of the test's own, for TLS or without a network.
func Serve(t testing.TB, listener net.Listener, handle func(Query) Answer) *Server {
	t.Helper()
	s := serve(listener, handle)
	t.Cleanup(s.Stop)
	return s
}

func serve(listener net.Listener, handle func(Query) Answer) *Server {
	s := &Server{
		url:     "grpc://" + listener.Addr().String(),
		served:  make(chan struct{}),
		handle:  handle,
		answers: map[string]func(Query) Answer{},
		tickets: map[string]asked{},
		conns:   map[string]net.Conn{},
		grpc: grpc.NewServer(
			grpc.WaitForHandlers(true),
			// Amp's server lets clients ping as often as they like (AP 1.1); grpc-go's
			// would cut them off.
			grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Second, PermitWithoutStream: true}),
			grpc.MaxRecvMsgSize(4<<20), // of tonic: the longest SQL (AP 1.6)
		),
	}
	flight.RegisterFlightServiceServer(s.grpc, &service{server: s})
	go func() {
		defer close(s.served)
		// The error is that of a stopped listener.
		_ = s.grpc.Serve(&trackedListener{Listener: listener, server: s})
	}()
	return s
}

// URL returns the server's address as [amp.Config] takes it.
func (s *Server) URL() string { return s.url }

// Stop cuts every stream at once, as Amp does when it shuts down (AP 1.1),
// and waits for the end. The end of a test that has called [Start] does it too.
func (s *Server) Stop() {
	s.grpc.Stop()
	<-s.served
}

// On answers every query with exactly this SQL.
func (s *Server) On(sql string, a Answer) { s.answer(sql, func(Query) Answer { return a }) }

func (s *Server) answer(sql string, with func(Query) Answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers[sql] = with
}

// Next sets the fault of the next query that has none set yet; later ones are answered as
// scripted. decide is called once, when GetFlightInfo arrives.
func (s *Server) Next(decide func(Query) Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next = append(s.next, decide)
}

// Authorize lets accept decide on the bearer token of every call; the token is
// empty if there was none. Those not accepted are answered UNAUTHENTICATED.
func (s *Server) Authorize(accept func(method, token string) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accept = accept
}

// Requests lists the calls received so far.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// CutAll breaks every connection.
func (s *Server) CutAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, conn := range s.conns {
		reset(conn)
	}
}

// received records a request; the caller closes the channel when it is done.
func (s *Server) received(method string, q Query) chan struct{} {
	done := make(chan struct{})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, Request{Method: method, Query: q, Done: done})
	return done
}
