package amp_test

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
)

// pipes is a network inside the test, for simulated time. It can die: then nothing
// arrives any more, in either direction, and nobody is notified.
type pipes struct {
	incoming chan net.Conn
	closed   chan struct{}
	once     sync.Once
	dead     atomic.Bool
}

func newPipes() *pipes {
	return &pipes{incoming: make(chan net.Conn), closed: make(chan struct{})}
}

func (p *pipes) dial(ctx context.Context, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case p.incoming <- server:
		return &mortalConn{Conn: client, network: p}, nil
	case <-p.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *pipes) die() { p.dead.Store(true) }

// Accept, Close and Addr make it a listener.
func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.incoming:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }

type mortalConn struct {
	net.Conn
	network *pipes
}

func (c *mortalConn) Write(b []byte) (int, error) {
	if c.network.dead.Load() {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

func (c *mortalConn) Read(b []byte) (int, error) {
	for {
		n, err := c.Conn.Read(b)
		if err != nil || !c.network.dead.Load() {
			return n, err
		}
	}
}
