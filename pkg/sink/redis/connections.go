package redis

import (
	"context"
	"net"
	"sync"
	"syscall"

	"github.com/redis/go-redis/v9"
)

// connections are those of a client, so that all can be closed at once: a name may lead
// to another server by now. The client makes new ones.
type connections struct {
	mu   sync.Mutex
	open map[net.Conn]struct{}
}

// tracked is a connection that is taken out when it is closed.
type tracked struct {
	net.Conn
	of *connections
}

func (c *tracked) Close() error {
	c.of.mu.Lock()
	delete(c.of.open, c)
	c.of.mu.Unlock()
	return c.Conn.Close()
}

// trackedSocket is one whose socket the client can look at, to find out whether the
// server is still there. It does so with no other.
type trackedSocket struct {
	*tracked
	syscall.Conn
}

// watch makes a client dial through c.
func (c *connections) watch(o *redis.Options) {
	dial := redis.NewDialer(o)
	o.Dialer = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		t := &tracked{conn, c}
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.open == nil {
			c.open = make(map[net.Conn]struct{})
		}
		c.open[t] = struct{}{}
		if socket, ok := conn.(syscall.Conn); ok {
			return trackedSocket{t, socket}, nil
		}
		return t, nil
	}
}

// drop closes all.
func (c *connections) drop() {
	c.mu.Lock()
	all := make([]net.Conn, 0, len(c.open))
	for conn := range c.open {
		all = append(all, conn)
	}
	c.mu.Unlock()
	for _, conn := range all {
		_ = conn.Close() // nobody wants anything from it
	}
}
