// Package queue is what the processes share: the log of entries, the tasks and the state,
// in NATS JetStream, on a server of its own or inside this process. It is the only
// package that knows NATS.
package queue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ampipe/ampipe/pkg/fault"
)

// Config is where the queue is.
type Config struct {
	Server   *Server // embedded; then URL, TLS and what identifies the user are not used
	URL      string  // nats:// or tls://, several separated by commas
	User     string  // with Password, if the URL holds none
	Password string
	NKey     string // file with the seed of an nkey
	Creds    string // credentials file
	TLS      TLS
	Replicas int // of streams, in a cluster; default 1

	// Role is what this process does: planner, extractor, sink-NAME, operator or
	// run. Replies come below _INBOX.Role, so that a user can be allowed to read those
	// of its own role only; default run. It is shown by the server's monitoring.
	Role string

	// MustExist makes a stream that is missing an error, fault.Later, instead of
	// making it: only the planner needs the right to do so, and its configuration
	// decides how streams are kept.
	MustExist bool

	// OnState is called when a connection is lost, with the reason, and when none is
	// any more, with nil. Calls do not overlap. Each [Consumer] has a connection of
	// its own, so a restart of the server is reported several times.
	OnState func(reason error)
}

// TLS names the files of a TLS connection; all may be empty.
type TLS struct{ CA, Cert, Key string }

// Conn is a connection to the queue. It reconnects for ever. Its methods may be
// called concurrently.
type Conn struct {
	cfg    Config
	nc     *nats.Conn
	js     jetstream.JetStream
	server *Server // nil if external

	stateMu sync.Mutex // around OnState
	lost    map[*nats.Conn]bool

	*refusals
}

// refusals are what the server has refused without an answer.
type refusals struct {
	refused  atomic.Pointer[refusal] // the first
	silenced atomic.Pointer[refusal] // of the document of this process, see [ProcessWriter]
}

const (
	// minMajor and minMinor are the first version with atomic batches.
	minMajor, minMinor = 2, 12
	// dialWait bounds one attempt to connect.
	dialWait = 5 * time.Second
	// pingEvery and maxPings are how a server that has vanished is noticed: after
	// three intervals without an answer. The library's default takes four minutes.
	pingEvery = 5 * time.Second
	maxPings  = 2
	// pingInside is the same for a server in this process, which cannot vanish: the end of
	// its connection is known at once.
	pingInside = time.Minute
	// apiWait bounds a request that stores nothing large. One that was under way to a
	// node of a cluster that is killed is lost, and has to be repeated before the next
	// node may go.
	apiWait = 3 * time.Second
	// requestWait bounds any other request. Storing some MiB on a busy disk counts.
	requestWait = 10 * time.Second
	// headerRoom is what a message's headers may take of its payload limit.
	headerRoom = 4 << 10
	// maxEntry is the most bytes of an entry even if the server allows more: NATS cuts
	// connections that have 64 MiB on their way.
	maxEntry = 32<<20 - headerRoom
	// minPayload is the smallest max_payload that makes sense.
	minPayload = 64 << 10
)

// Open connects and checks that the server can do what is needed. An
// unreachable server is fault.Later; everything that the user has to fix
// (version, JetStream, limits, credentials) is permanent and says how.
func Open(ctx context.Context, cfg Config) (*Conn, error) {
	cfg.Replicas = cmp.Or(cfg.Replicas, 1)
	cfg.Role = cmp.Or(cfg.Role, "run")
	c := &Conn{cfg: cfg, server: cfg.Server, refusals: &refusals{}}
	nc, err := c.dial()
	if err != nil {
		return nil, err
	}
	c.nc = nc
	if err := c.check(ctx); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// alone reports whether nobody but this process works with the queue: the server is in it, and
// lets in only commands, which look.
func (c *Conn) alone() bool { return c.server != nil && c.server.cfg.Listen == "" }

// Looking returns the same connection for what only looks: as with [Config.MustExist], what
// is opened with it is neither made nor changed. It ends with c and is not to be closed.
func (c *Conn) Looking() *Conn {
	cfg := c.cfg
	cfg.MustExist = true
	return &Conn{cfg: cfg, nc: c.nc, js: c.js, server: c.server, refusals: c.refusals}
}

// dial makes one more connection by the same configuration. Options that are added
// replace those of it.
func (c *Conn) dial(added ...nats.Option) (*nats.Conn, error) {
	opts := append([]nats.Option{
		nats.Name("ampipe " + c.cfg.Role),
		nats.CustomInboxPrefix("_INBOX." + c.cfg.Role),
		nats.ErrorHandler(c.asyncError),
		nats.Timeout(dialWait),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(500 * time.Millisecond),
		nats.IgnoreAuthErrorAbort(),
		nats.NoCallbacksAfterClientClose(), // closing it is no loss of the connection
		nats.PingInterval(pingEvery),
		nats.MaxPingsOutstanding(maxPings),
		nats.DisconnectErrHandler(func(nc *nats.Conn, err error) {
			if err == nil {
				err = errors.New("the connection was closed")
			}
			c.onDisconnect(nc, fmt.Errorf("connection to NATS is lost: %w", err))
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) { c.onReconnect(nc) }),
	}, added...)
	if c.server != nil {
		opts = append(opts, nats.PingInterval(pingInside))
		if c.server.access != nil {
			opts = append(opts, c.server.access.option())
		}
		nc, err := nats.Connect("", append(opts, nats.InProcessServer(c.server.nats))...)
		if err != nil {
			return nil, fmt.Errorf("connect to the embedded NATS server: %w", err)
		}
		return nc, nil
	}
	if err := checkURL(c.cfg.URL); err != nil {
		return nil, fault.Permanent(err)
	}
	if c.cfg.User != "" {
		opts = append(opts, nats.UserInfo(c.cfg.User, c.cfg.Password))
	}
	if c.cfg.NKey != "" {
		key, err := nats.NkeyOptionFromSeed(c.cfg.NKey)
		if err != nil {
			return nil, fault.Permanent(fmt.Errorf("connect to NATS: read nkey file %s: %w: it must hold the seed of a user, SU…", c.cfg.NKey, err))
		}
		opts = append(opts, key)
	}
	for _, file := range []struct {
		name string
		opt  func(string) nats.Option
	}{
		{c.cfg.Creds, func(name string) nats.Option { return nats.UserCredentials(name) }},
		{c.cfg.TLS.CA, func(name string) nats.Option { return nats.RootCAs(name) }},
		{c.cfg.TLS.Cert, func(name string) nats.Option { return nats.ClientCert(name, c.cfg.TLS.Key) }},
	} {
		if file.name == "" {
			continue
		}
		if _, err := os.Stat(file.name); err != nil {
			return nil, fault.Permanent(fmt.Errorf("connect to NATS: %w", err))
		}
		opts = append(opts, file.opt(file.name))
	}
	nc, err := nats.Connect(c.cfg.URL, opts...)
	if err != nil {
		return nil, dialError(c.cfg.URL, err)
	}
	return nc, nil
}

// onDisconnect reports that one of the connections is lost.
func (c *Conn) onDisconnect(nc *nats.Conn, reason error) {
	c.stateMu.Lock()
	defer c.stateMu.Unlock()
	if nc.IsClosed() { // by closeConn, before this callback
		return
	}
	if c.lost == nil {
		c.lost = map[*nats.Conn]bool{}
	}
	c.lost[nc] = true
	if c.cfg.OnState != nil {
		c.cfg.OnState(reason)
	}
}

// onReconnect reports that NATS can be reached again, when the last of the connections
// that were lost is back or is not wanted any more.
func (c *Conn) onReconnect(nc *nats.Conn) {
	c.stateMu.Lock()
	defer c.stateMu.Unlock()
	if !c.lost[nc] {
		return
	}
	delete(c.lost, nc)
	if len(c.lost) == 0 && c.cfg.OnState != nil {
		c.cfg.OnState(nil)
	}
}

// closeConn closes a connection of dial. If it was lost, nobody waits for it now.
func (c *Conn) closeConn(nc *nats.Conn) {
	nc.Close()
	c.onReconnect(nc)
}

// checkURL refuses what nats.go would quote in its error, secrets included.
func checkURL(text string) error {
	if text == "" {
		return errors.New("connect to NATS: no URL is given, want nats://host:4222")
	}
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		if !strings.Contains(part, "://") {
			part = "nats://" + part
		}
		if u, err := url.Parse(part); err != nil || u.Host == "" {
			return errors.New("connect to NATS: the URL is malformed, want nats://host:4222")
		}
	}
	return nil
}

// hosts returns a URL for messages, without user and password.
func hosts(text string) string {
	var out []string
	for part := range strings.SplitSeq(text, ",") {
		out = append(out, part[strings.LastIndexAny(part, "@/")+1:])
	}
	return strings.Join(out, ", ")
}

func dialError(text string, err error) error {
	wrapped := fmt.Errorf("connect to NATS at %s: %w", hosts(text), err)
	d, known := decisionForClient(err)
	switch {
	case isCertificate(err):
		return ofTLS.on(wrapped)
	case known && d.class != fault.ClassAgain && d.text != silent && d.text != closed:
		return d.on(wrapped)
	default:
		return fault.Later(fmt.Errorf("%w: start the server, or correct nats.url", wrapped), 0)
	}
}

func isCertificate(err error) bool {
	text := err.Error()
	return strings.Contains(text, "x509:") || strings.Contains(text, "tls:")
}

// check asks the server for everything that later steps rely on.
func (c *Conn) check(ctx context.Context) error {
	version := c.nc.ConnectedServerVersion()
	if !recent(version) {
		return fault.Permanent(fmt.Errorf("NATS %s is too old, ampipe needs %d.%d or later: upgrade the server", version, minMajor, minMinor))
	}
	if c.MaxPayload() < minPayload {
		return fault.Permanent(fmt.Errorf("max_payload of the NATS server is %d bytes, ampipe needs %d or more (8MB is best): "+
			"raise it in the server's configuration", c.MaxPayload(), minPayload))
	}
	js, err := jetstream.New(c.nc, jetstream.WithDefaultTimeout(apiWait))
	if err != nil {
		return fmt.Errorf("use JetStream: %w", err)
	}
	c.js = js
	ctx, cancel := context.WithTimeout(ctx, dialWait)
	defer cancel()
	info, err := js.AccountInfo(ctx)
	switch {
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled):
		return fault.Permanent(errors.New("JetStream is off on the NATS server: start it with -js, " +
			"or put a jetstream section into its configuration"))
	case errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount):
		return fault.Permanent(errors.New("JetStream is off for this NATS account: enable it in the account's limits"))
	case err != nil:
		return c.classify(context.WithoutCancel(ctx), fmt.Errorf("ask JetStream for its limits: %w", err))
	case info.Limits.MaxStore == 0 && len(info.Tiers) == 0:
		return fault.Permanent(errors.New("this NATS account may not store anything in files: raise its disk storage limit"))
	}
	return nil
}

// recent reports whether a version can do what is needed; one that cannot be
// read, of a build from source, is taken as recent.
func recent(version string) bool {
	parts := strings.SplitN(version, ".", 3)
	if len(parts) < 2 {
		return true
	}
	major, err1 := strconv.Atoi(parts[0])
	minor, err2 := strconv.Atoi(parts[1])
	if err1 != nil || err2 != nil {
		return true
	}
	return major > minMajor || (major == minMajor && minor >= minMinor)
}

// disconnected returns at once the error that a request would return after requestWait if
// there is no connection at the moment.
func (c *Conn) disconnected() error {
	switch c.nc.Status() {
	case nats.CONNECTED:
		return nil
	case nats.CLOSED:
		return nats.ErrConnectionClosed
	default:
		return nats.ErrDisconnected
	}
}

// MaxPayload returns the most bytes of a message, headers included.
func (c *Conn) MaxPayload() int { return int(c.nc.MaxPayload()) }

// EntryLimit returns the most bytes that an entry's payload may have: what its
// encoder is to be set to.
func (c *Conn) EntryLimit() int { return min(c.MaxPayload()-headerRoom, maxEntry) }

// BlockLimit returns the most bytes that a block may take that needs several messages, all of
// which are published in one step.
func (c *Conn) BlockLimit() int64 { return maxBatch * int64(c.EntryLimit()) }

// Close ends the connection. What was published is not affected.
func (c *Conn) Close() { c.nc.Close() }
