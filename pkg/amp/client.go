package amp

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/apache/arrow-go/v18/arrow/flight/gen/flight"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/experimental"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/ampipe/ampipe/pkg/fault"
)

// Client talks to one Amp server over one connection. It may be used by many
// goroutines at once: grpc reopens the connection's receive window as data
// arrives, so that a slow reader of one answer never delays the others. Eight
// fetches over two, four or eight connections were no faster than over one.
type Client struct {
	cfg    Config
	at     endpoint
	conn   *grpc.ClientConn
	flight flight.FlightServiceClient
	bearer *bearer
	bodies memory.Allocator // of the messages' bodies

	prepared preparedQueries
	answered atomic.Bool // the server has answered a call: its address is right
}

const (
	// A window far above a message keeps the server sending while a message is
	// being read, and hides the round trip: 8 MiB per answer is what one fetch can
	// hold in memory beyond the batch that its reader uses. On one machine 16
	// were no faster, and over a round trip of 50 ms 8 still carry 160 MiB/s.
	streamWindow = 8 << 20
	connWindow   = 32 << 20
	readBuffer   = 256 << 10

	keepAliveTimeout = 20 * time.Second
)

// Open checks the configuration and finds the token; it does not connect, so a
// server that cannot be reached is noticed by the first query. Every error is permanent.
// The caller must [Client.Close] the client.
func Open(_ context.Context, cfg Config) (*Client, error) {
	cfg, at, err := cfg.checked()
	if err != nil {
		return nil, err
	}
	bearer, err := newBearer(cfg)
	if err != nil {
		return nil, fmt.Errorf("open Amp client: %w", err)
	}
	transport := insecure.NewCredentials()
	if at.secure {
		transport = credentials.NewTLS(cfg.TLS.Clone())
	}
	if cfg.OnSilence != nil {
		transport = watchedTransport{transport, cfg.OnSilence}
	}
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(transport),
		grpc.WithUserAgent("ampipe"),
		grpc.WithDisableServiceConfig(),
		grpc.WithStaticStreamWindowSize(int32(cfg.Window)),
		grpc.WithStaticConnWindowSize(connWindow),
		grpc.WithReadBufferSize(readBuffer),
		experimental.WithBufferPool(&framePool{}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(cfg.MaxMessage)),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: cfg.KeepAlive, Timeout: keepAliveTimeout}),
		// grpc's own pauses grow to two minutes, so that a server would be back long
		// before the client notices; callers pause between queries as it is.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 200 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: unreachablePause},
			MinConnectTimeout: 10 * time.Second,
		}),
	}
	target := "dns:///" + at.address
	if cfg.Dial != nil {
		target = "passthrough:///" + at.address
		options = append(options, grpc.WithContextDialer(cfg.Dial))
	}
	conn, err := grpc.NewClient(target, options...)
	if err != nil {
		return nil, fault.Permanent(fmt.Errorf("open Amp client for %s: %w", at.url, err))
	}
	c := &Client{cfg: cfg, at: at, conn: conn, flight: flight.NewFlightServiceClient(conn), bearer: bearer, bodies: cfg.Allocator}
	if cfg.Recycle {
		c.bodies = &pooledAllocator{from: cfg.Allocator}
	}
	return c, nil
}

// URL returns the server's address as people should see it, without secrets.
func (c *Client) URL() string { return c.at.url }

// Close ends the connection. Queries that are under way fail.
func (c *Client) Close() error { return c.conn.Close() }

// authorized runs one call with the bearer token. When the server refuses the
// token and there is a file to refresh it from, the call is repeated once with a
// new one: a token may expire between GetFlightInfo and DoGet.
func (c *Client) authorized(ctx context.Context, op string, call func(context.Context) error) error {
	token, err := c.bearer.token(ctx, "")
	if err != nil {
		return c.explain(ctx, op, err)
	}
	err = call(withToken(ctx, token))
	if status.Code(err) == codes.Unauthenticated && c.bearer.file != nil {
		if token, err = c.bearer.token(ctx, token); err == nil {
			err = call(withToken(ctx, token))
		}
	}
	return c.explain(ctx, op, err)
}

func withToken(ctx context.Context, token string) context.Context {
	if token == "" {
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
}
