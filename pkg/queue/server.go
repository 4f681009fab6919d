package queue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/ampipe/ampipe/pkg/fault"
)

// ServerConfig is how the embedded NATS server runs.
type ServerConfig struct {
	Dir        string // the store, of this server alone; created if it is missing
	MaxPayload int    // bytes of the largest message; default 8 MiB
	MaxStore   int64  // bytes of all streams together; default: nine tenths of what the disk has for them

	// Listen is a loopback address ("127.0.0.1:4222"; port 0 picks one) for
	// other processes of this machine. Empty: nobody can connect from outside.
	// There is no password, so other addresses are refused.
	Listen string

	// Commands lets those in who can read the folder, through a loopback port and with a
	// key that is in the folder while the server runs: see [RunningServer]. Not with Listen.
	Commands bool

	// Brief says that this process is such a command, which found no server to ask and has
	// the folder for a moment: one that is to run waits for it.
	Brief bool

	// OnNotice is called with what the server would log as a warning or an error. It
	// may be called concurrently, and not after Close.
	OnNotice func(text string)
}

// Server is a NATS server inside this process. Everything it acknowledges is on
// the disk (sync_interval: always). Its methods may be called concurrently.
type Server struct {
	cfg    ServerConfig
	nats   natsServer
	lock   *os.File
	access *access // nil: only this process, and whom cfg.Listen lets in
	close  sync.Once

	mu     sync.Mutex
	failed error
	gone   chan struct{} // closed once failed is set
}

// natsServer is what is needed of a server that has been started. It is an interface so
// that a program which only connects does not link the server: the linker keeps what
// [StartServer] refers to only where that is called.
type natsServer interface {
	nats.InProcessConnProvider
	ClientURL() string
	NumClients() int
	ShutdownJetStream() error
	Shutdown()
	WaitForShutdown()
}

// EmbeddedPayload is the most bytes of a message of an embedded server, unless
// [ServerConfig.MaxPayload] says otherwise.
const EmbeddedPayload = 8 << 20

// startWait is how long a server may take to open its store. Large stores are
// read in part.
const startWait = 2 * time.Minute

// StartServer starts the embedded server and waits until it serves. Its errors
// are permanent: a folder that is in use, cannot be written or has no room, an
// address that is taken.
func StartServer(ctx context.Context, cfg ServerConfig) (*Server, error) {
	cfg.MaxPayload = cmp.Or(cfg.MaxPayload, EmbeddedPayload)
	opts := &server.Options{
		ServerName: "ampipe",
		DontListen: cfg.Listen == "",
		MaxPayload: int32(cfg.MaxPayload),
		NoSigs:     true,
		NoLog:      true,
		JetStream:  true,
		SyncAlways: true,
	}
	if cfg.Listen != "" {
		host, port, err := loopback(cfg.Listen)
		if err != nil {
			return nil, fault.Permanent(err)
		}
		opts.Host, opts.Port = host, port
		if port == 0 {
			opts.Port = server.RANDOM_PORT
		}
	}
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return nil, folderError(cfg.Dir, err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, folderError(dir, err)
	}
	lock, err := takeFolder(ctx, dir, cfg.Brief)
	if err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, lock: lock, gone: make(chan struct{})}
	if err := s.letIn(dir, opts); err != nil {
		lock.Close()
		return nil, folderError(dir, err)
	}
	opts.StoreDir = dir
	if s.cfg.MaxStore == 0 {
		if s.cfg.MaxStore, err = storeRoom(dir, dir); err != nil {
			lock.Close()
			return nil, folderError(dir, err)
		}
	}
	opts.JetStreamMaxStore = s.cfg.MaxStore
	opts.JetStreamMaxMemory = 64 << 20 // for ephemeral consumers; all streams are files
	started, err := server.NewServer(opts)
	if err != nil {
		lock.Close()
		return nil, fault.Permanent(fmt.Errorf("start NATS: %w", err))
	}
	s.nats = started
	started.SetLoggerV2((*notices)(s), false, false, false)
	err = s.start(ctx, started)
	if err == nil && s.access != nil {
		err = s.access.publish(s.nats.ClientURL())
		if err != nil { // a disk that is full may have room when it is tried again
			err = fault.Later(folderError(dir, err), 0)
		}
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// letIn prepares the server for commands, if they are to be let in, and removes what a
// process that was killed has left for them.
func (s *Server) letIn(dir string, opts *server.Options) error {
	a, err := newAccess(dir)
	if err != nil {
		return err
	}
	if err := a.withdraw(); err != nil || !s.cfg.Commands {
		return err
	}
	s.access = a
	opts.DontListen, opts.Host, opts.Port = false, "127.0.0.1", server.RANDOM_PORT
	opts.Nkeys = []*server.NkeyUser{{Nkey: a.name}}
	return nil
}

// start runs the server until it is ready, has failed or ctx ends.
func (s *Server) start(ctx context.Context, server *server.Server) error {
	started := make(chan struct{})
	go func() {
		defer close(started)
		server.Start()
	}()
	defer func() { <-started }()
	deadline := time.Now().Add(startWait)
	for !server.ReadyForConnections(20 * time.Millisecond) {
		switch {
		case s.Failed() != nil:
			return fault.Permanent(s.Failed())
		case ctx.Err() != nil:
			server.Shutdown()
			return context.Cause(ctx)
		case time.Now().After(deadline):
			server.Shutdown()
			return fmt.Errorf("start NATS in %s: it is not ready after %v; start again, and look at the disk if it stays so", s.cfg.Dir, startWait)
		}
	}
	if failed := s.Failed(); failed != nil {
		return fault.Permanent(failed)
	}
	return nil
}

// URL returns the address for other processes; empty if the server does not listen.
func (s *Server) URL() string {
	if s.cfg.Listen == "" {
		return ""
	}
	return s.nats.ClientURL()
}

// Failed returns the reason why the server can no longer serve, such as a full
// disk, or nil.
func (s *Server) Failed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed
}

// AwaitFailure waits until the server can no longer serve, and returns why, as a permanent
// error; nil when ctx ends.
func (s *Server) AwaitFailure(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-s.gone:
		return fault.Permanent(s.Failed())
	}
}

// Close stops the server and waits until its store is closed. Connections
// should have been closed before.
func (s *Server) Close() error {
	var err error
	s.close.Do(func() {
		if s.access != nil {
			err = s.access.withdraw()
		}
		if s.deserted() {
			// Shutdown would tell consumers that their requests have ended, and wait 50 ms for
			// that to arrive.
			err = errors.Join(err, s.nats.ShutdownJetStream())
		}
		s.nats.Shutdown()
		s.nats.WaitForShutdown()
		err = errors.Join(err, s.lock.Close())
	})
	return err
}

// leaveWait is how long the server may take to notice that connections have been closed.
const leaveWait = 10 * time.Millisecond

// deserted waits a moment until nobody is connected, and reports whether that is so.
func (s *Server) deserted() bool {
	for deadline := time.Now().Add(leaveWait); s.nats.NumClients() > 0; time.Sleep(leaveWait / 10) {
		if time.Now().After(deadline) {
			return false
		}
	}
	return true
}

// ServerError is why an embedded server can serve no more.
type ServerError struct {
	text string
	// Again says that it may serve when the process is started again, without a change of the
	// configuration or of rights.
	Again bool
}

// Error returns what has happened, and what to do.
func (e *ServerError) Error() string { return e.text }

// fail notes why the server gave up, and what to do.
func (s *Server) fail(text string) {
	again := true
	switch lower := strings.ToLower(text); {
	case strings.Contains(lower, "no space") || strings.Contains(lower, "out of"):
		text = fmt.Sprintf("the disk of folder %s is full: make room and start again (%s)", s.cfg.Dir, text)
	case strings.Contains(lower, "permission"):
		again = false
		text = fmt.Sprintf("folder %s cannot be written: give this user the right, or use another folder (%s)", s.cfg.Dir, text)
	case strings.Contains(lower, "address already in use"):
		again = false
		text = fmt.Sprintf("address %s is taken: choose another one to listen on (%s)", s.cfg.Listen, text)
	default:
		text = "NATS stopped: " + text
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed == nil {
		s.failed = &ServerError{text, again}
		close(s.gone)
	}
}

func (s *Server) notice(text string) {
	if s.cfg.OnNotice != nil {
		s.cfg.OnNotice(text)
	}
}

// notices is a Server as the logger of its NATS server, the only way to learn why that
// has given up.
type notices Server

func (n *notices) Noticef(string, ...any) {}
func (n *notices) Debugf(string, ...any)  {}
func (n *notices) Tracef(string, ...any)  {}

func (n *notices) Warnf(format string, v ...any) {
	(*Server)(n).notice(fmt.Sprintf(format, v...))
}

func (n *notices) Errorf(format string, v ...any) {
	text := fmt.Sprintf(format, v...)
	if strings.Contains(text, "will be DISABLED") || strings.Contains(text, "no space left") {
		(*Server)(n).fail(text)
	}
	(*Server)(n).notice(text)
}

func (n *notices) Fatalf(format string, v ...any) {
	text := fmt.Sprintf(format, v...)
	(*Server)(n).fail(text)
	(*Server)(n).notice(text)
}

// loopback parses an address that only this machine reaches.
func loopback(address string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, fmt.Errorf("address %q of the embedded NATS server: want host:port", address)
	}
	if port, err = strconv.Atoi(text); err != nil || port < 0 || port > 65535 {
		return "", 0, fmt.Errorf("address %q of the embedded NATS server: want a port number", address)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return "", 0, fmt.Errorf("address %q of the embedded NATS server: it has no password, "+
			"so only loopback addresses are allowed; run a NATS server of its own for a network", address)
	}
	return host, port, nil
}
