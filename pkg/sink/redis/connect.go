package redis

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/fault"
)

// errURL stands for whatever the driver says about a URL: that may quote it, and
// with it the password.
var errURL = fault.Permanent(errors.New("url: it cannot be read; write redis://user:password@host:6379/0 with special " +
	"characters of the password as %XX"))

// Times of a connection. A call of the script is some milliseconds; a server
// that does not answer for so long is in trouble.
const (
	dialTime  = 5 * time.Second
	replyTime = 30 * time.Second
	dials     = 1 // trying again is for the apply loop, which says so
)

// connect makes a client for a single server, behind Sentinel, or for a Cluster.
// It does not connect. Nothing is sent twice by it: that is for the apply loop. In a
// Cluster it is, where a node says that another one has the slot or a connection
// breaks; every step is harmless when it comes twice (decision 26). watched has the
// connections to a single server: behind Sentinel, and in a Cluster, the driver finds
// out itself where to go.
func connect(cfg config.Redis, watched *connections) (redis.UniversalClient, error) {
	silence() // what the driver would print, its errors say as well
	quiet := &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	size := config.MostWriters + 1 // the writers, which bound what is used, may become more
	switch {
	case cfg.Cluster:
		address, trusting := withoutVerify(string(cfg.URL))
		o, err := redis.ParseClusterURL(address)
		if err != nil {
			return nil, errURL
		}
		if trusting && o.TLSConfig != nil {
			o.TLSConfig.InsecureSkipVerify = true // the user asks for it
		}
		o.PoolSize, o.Protocol, o.DisableIdentity, o.MaintNotificationsConfig = size, 2, true, quiet
		o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.ContextTimeoutEnabled = dialTime, replyTime, replyTime, true
		o.DialerRetries = dials
		return redis.NewClusterClient(o), nil
	case cfg.Sentinel != "":
		o, err := redis.ParseFailoverURL(string(cfg.URL))
		if err != nil {
			return nil, errURL
		}
		o.MasterName = cfg.Sentinel
		o.PoolSize, o.Protocol, o.DisableIdentity, o.MaxRetries = size, 2, true, -1
		o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.ContextTimeoutEnabled = dialTime, replyTime, replyTime, true
		o.DialerRetries = dials
		return redis.NewFailoverClient(o), nil
	default:
		o, err := redis.ParseURL(string(cfg.URL))
		if err != nil {
			return nil, errURL
		}
		o.PoolSize, o.Protocol, o.DisableIdentity, o.MaxRetries, o.MaintNotificationsConfig = size, 2, true, -1, quiet
		o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.ContextTimeoutEnabled = dialTime, replyTime, replyTime, true
		o.DialerRetries = dials
		watched.watch(o)
		return redis.NewClient(o), nil
	}
}

// classify marks an error of the driver with what to do about it and says so.
// Errors that are classed already stay as they are.
func classify(what string, err error) error {
	if err == nil || fault.Of(err) != fault.ClassAgain {
		return err
	}
	if a, known := adviceFor(err.Error()); known {
		return fault.As(a.class, fmt.Errorf("%s: %s: %w", what, a.text, err))
	}
	switch {
	case untrusted(err):
		return fault.Permanent(fmt.Errorf("%s: TLS with the server fails; check the scheme of the url and the server's certificate: %w",
			what, err))
	case lost(err):
		return fault.Later(fmt.Errorf("%s: the server cannot be reached: %w", what, err), 0)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// withoutVerify takes skip_verify, which the driver does not know for a Cluster, out of a
// URL, and reports whether it was set.
func withoutVerify(address string) (rest string, trusting bool) {
	u, err := url.Parse(address)
	if err != nil {
		return address, false
	}
	q := u.Query()
	trusting = q.Get("skip_verify") == "true"
	q.Del("skip_verify")
	u.RawQuery = q.Encode()
	return u.String(), trusting
}

func untrusted(err error) bool {
	_, certificate := errors.AsType[*tls.CertificateVerificationError](err)
	_, host := errors.AsType[x509.HostnameError](err)
	_, header := errors.AsType[tls.RecordHeaderError](err)
	_, authority := errors.AsType[x509.UnknownAuthorityError](err)
	return certificate || host || header || authority
}

func lost(err error) bool {
	if _, ok := errors.AsType[net.Error](err); ok {
		return true
	}
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		strings.Contains(err.Error(), "all sentinels") || strings.Contains(err.Error(), "connection pool timeout")
}

// ambiguous reports whether a connection was made and then gave no answer, which is what
// happens if one side speaks TLS and the other does not.
func ambiguous(err error) bool {
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return false
	}
	return lost(err)
}

// classed classifies an error, unless the caller has given up.
func (w *Writer) classed(ctx context.Context, what string, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%s of %s: %w", what, w.target, context.Cause(ctx))
	}
	if nodes, clustered := w.client.(*redis.ClusterClient); clustered && fault.Of(err) == fault.ClassAgain {
		// The driver asks who has which slots when a node says that it has one no
		// more, but not when a node is gone: that would be a minute.
		nodes.ReloadState(ctx)
	}
	if a, _ := adviceFor(err.Error()); a.anew {
		w.connections.drop()
	}
	return classify(what+" of "+w.target.String(), err)
}

// driverLog is set once: the driver has one logger for a whole process, which writes to
// standard error unless it is replaced.
var driverLog sync.Once

// LogTo passes on what the driver would print to standard error by itself: mostly what its
// errors say as well. It replaces the logger of go-redis for the whole process, and has no
// effect after the first call, or once a Writer has connected, from when on the driver
// prints nothing.
func LogTo(fn func(text string)) {
	driverLog.Do(func() { redis.SetLogger(driverLogger(fn)) })
}

func silence() { driverLog.Do(logging.Disable) }

// driverLogger is what [redis.SetLogger] takes.
type driverLogger func(text string)

// Printf passes a line on.
func (l driverLogger) Printf(_ context.Context, format string, args ...any) {
	l(fmt.Sprintf(format, args...))
}
