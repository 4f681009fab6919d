package amptest

import (
	"net"
)

// trackedListener remembers the connections it accepts, so that a test can break
// them.
type trackedListener struct {
	net.Listener
	server *Server
}

func (l *trackedListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.server.mu.Lock()
	defer l.server.mu.Unlock()
	l.server.conns[conn.RemoteAddr().String()] = conn
	return &trackedConn{Conn: conn, server: l.server}, nil
}

type trackedConn struct {
	net.Conn
	server *Server
}

func (c *trackedConn) Close() error {
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	delete(c.server.conns, c.RemoteAddr().String())
	return c.Conn.Close()
}

// reset ends a connection without the courtesy of sending what is buffered.
func reset(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // fails only on a connection that is closed already
	}
	_ = conn.Close()
}
