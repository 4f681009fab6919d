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
	open sync.Map // of *tracked
}

// tracked is a connection that is taken out when it is closed.
type tracked struct {
	net.Conn
	of *connections
}

func (c *tracked) Close() error {
	c.of.open.Delete(c)
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
		c.open.Store(t, nil)
		if socket, ok := conn.(syscall.Conn); ok {
			return trackedSocket{t, socket}, nil
		}
		return t, nil
	}
}

// drop closes all.
func (c *connections) drop() {
	c.open.Range(func(conn, _ any) bool {
		_ = conn.(*tracked).Close() // nobody wants anything from it
		return true
	})
}
