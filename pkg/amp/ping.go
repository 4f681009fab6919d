package amp

import (
	"bytes"
	"context"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc/credentials"
)

// pingWait is how long a ping may be unanswered before that is reported.
const pingWait = 3 * time.Second

// ping is how a frame of HTTP/2 begins that the other side has to answer at once: 8 bytes
// follow, type 6, no flags, stream 0 (RFC 9113, 6.7).
var ping = []byte{0, 0, 8, 6, 0, 0, 0, 0, 0}

// watchedConn is a connection whose server may stand still: it holds the connection and answers
// nothing, not even the pings of [Config.KeepAlive]. That is reported long before grpc
// ends the connection, and everything that it carries.
type watchedConn struct {
	net.Conn
	report func(since time.Time) // zero: something has come, or the connection has ended

	mu       sync.Mutex
	heard    time.Time   // last
	waits    bool        // for the answer to a ping
	reported bool        // that it does not come
	timer    *time.Timer // of silent
}

func watchPings(conn net.Conn, report func(time.Time)) *watchedConn {
	p := &watchedConn{Conn: conn, report: report, heard: time.Now()}
	p.timer = time.AfterFunc(time.Hour, p.silent)
	p.timer.Stop()
	return p
}

// Read notes that something has come.
func (p *watchedConn) Read(b []byte) (int, error) {
	n, err := p.Conn.Read(b)
	if n > 0 {
		p.answered()
	}
	return n, err
}

// Write notes a ping. What else is sent may take long to be answered.
func (p *watchedConn) Write(b []byte) (int, error) {
	if bytes.Contains(b, ping) {
		p.mu.Lock()
		if !p.waits {
			p.waits = true
			p.timer.Reset(pingWait)
		}
		p.mu.Unlock()
	}
	return p.Conn.Write(b)
}

// Close ends the connection, and what was reported of it.
func (p *watchedConn) Close() error {
	err := p.Conn.Close()
	p.answered()
	return err
}

func (p *watchedConn) answered() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.heard = time.Now()
	if !p.waits {
		return
	}
	p.waits = false
	p.timer.Stop()
	if p.reported {
		p.reported = false
		p.report(time.Time{})
	}
}

func (p *watchedConn) silent() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waits && !p.reported {
		p.reported = true
		p.report(p.heard)
	}
}

// watchedTransport are credentials of a transport whose connections are watched.
type watchedTransport struct {
	credentials.TransportCredentials
	report func(since time.Time)
}

// ClientHandshake is part of [credentials.TransportCredentials].
func (c watchedTransport) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := c.TransportCredentials.ClientHandshake(ctx, authority, raw)
	if err != nil {
		return conn, info, err
	}
	return watchPings(conn, c.report), info, nil
}

// Clone is part of [credentials.TransportCredentials].
func (c watchedTransport) Clone() credentials.TransportCredentials {
	return watchedTransport{c.TransportCredentials.Clone(), c.report}
}
