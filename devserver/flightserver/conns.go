package flightserver

import (
	"context"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc/peer"
)

// Conns is a listener that remembers its connections, so that the connection
// under a call can be cut.
type Conns struct {
	net.Listener

	mu   sync.Mutex
	open map[string]*conn // by the client's address
}

// NewConns wraps a listener.
func NewConns(l net.Listener) *Conns { return &Conns{Listener: l, open: map[string]*conn{}} }

// Accept implements [net.Listener].
func (c *Conns) Accept() (net.Conn, error) {
	raw, err := c.Listener.Accept()
	if err != nil {
		return nil, err
	}
	tracked := &conn{Conn: raw, conns: c, wrote: make(chan struct{}, 1), closed: make(chan struct{})}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open[raw.RemoteAddr().String()] = tracked
	return tracked, nil
}

// Cut closes every connection at once, and with them every call. It returns how
// many there were.
func (c *Conns) Cut() int {
	c.mu.Lock()
	open := slices.Collect(maps.Values(c.open))
	c.mu.Unlock()
	for _, conn := range open {
		_ = conn.Close() // an error means that it is closed
	}
	return len(open)
}

// of finds the connection of a call.
func (c *Conns) of(ctx context.Context) *conn {
	p, found := peer.FromContext(ctx)
	if !found {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.open[p.Addr.String()]
}

// conn counts what has been written to a connection.
type conn struct {
	net.Conn
	conns  *Conns
	once   sync.Once
	wrote  chan struct{} // has room for one word that written has grown
	closed chan struct{}

	mu      sync.Mutex
	written dataCount
}

// Write implements [net.Conn].
func (c *conn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.mu.Lock()
	c.written.add(b[:n])
	c.mu.Unlock()
	select {
	case c.wrote <- struct{}{}:
	default:
	}
	return n, err
}

// total returns how many bytes of gRPC messages, with their prefixes, have been
// written to the connection.
func (c *conn) total() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.written.data
}

// Close implements [net.Conn].
func (c *conn) Close() error {
	c.once.Do(func() {
		close(c.closed)
		c.conns.mu.Lock()
		defer c.conns.mu.Unlock()
		delete(c.conns.open, c.RemoteAddr().String())
	})
	return c.Conn.Close()
}

// cut ends the connection once total has reached a size: what a stream has sent
// arrives, and nothing after it. It reports that nothing more comes before it closes,
// because a socket that is closed with something unread throws away what it has
// still to send.
func (c *conn) cut(ctx context.Context, after int64) {
	for c.total() < after {
		select {
		case <-c.wrote:
		case <-c.closed:
			return
		case <-ctx.Done():
			return
		}
	}
	if half, can := c.Conn.(interface{ CloseWrite() error }); can && half.CloseWrite() == nil {
		patience := time.NewTimer(time.Second)
		defer patience.Stop()
		select {
		case <-c.closed:
		case <-patience.C:
		}
	}
	_ = c.Close() // an error means that it is closed
}
