package redis

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
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
var errURL = fault.Permanent(errors.New("url: it cannot be read; write redis://user:password@host:6379/0 with special characters of the password as %XX"))

// silence is for the driver's logger, of which a process has one.
var silence sync.Once

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
// breaks; every step is harmless when it comes twice (decision 26).
func connect(cfg config.Redis) (redis.UniversalClient, error) {
	silence.Do(logging.Disable) // what the driver would print, its errors say as well
	quiet := &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	size := max(1, cfg.Writers) + 1
	switch {
	case cfg.Cluster:
		o, err := redis.ParseClusterURL(string(cfg.URL))
		if err != nil {
			return nil, errURL
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
		return redis.NewClient(o), nil
	}
}

// advices are what the first word of a server's error means to the user.
var advices = map[string]struct {
	class fault.Class
	text  string
}{
	"NOAUTH":      {fault.ClassPermanent, "the server wants a password; put user and password into the url"},
	"WRONGPASS":   {fault.ClassPermanent, "the server does not let this user in; check user and password of the url"},
	"NOPERM":      {fault.ClassPermanent, "the user of the url has not the right to do that; docs/redis.md lists the rights that are needed"},
	"WRONGTYPE":   {fault.ClassPermanent, "a key that is to be written holds something else; remove it, or choose another key"},
	"OOM":         {fault.ClassLater, "the server is full; raise its maxmemory, or set ttl"},
	"LOADING":     {fault.ClassLater, "the server is starting"},
	"BUSY":        {fault.ClassLater, "the server is busy with a script"},
	"READONLY":    {fault.ClassLater, "the server is a replica and takes no writes"},
	"MASTERDOWN":  {fault.ClassLater, "the server is a replica without a master"},
	"CLUSTERDOWN": {fault.ClassLater, "the cluster is down"},
	"TRYAGAIN":    {fault.ClassLater, "the cluster is moving keys"},
	"MISCONF":     {fault.ClassLater, "the server cannot write its snapshot to disk, and so takes no writes"},
	"NOREPLICAS":  {fault.ClassLater, "the server has too few replicas to take writes"},
	"UNKILLABLE":  {fault.ClassLater, "the server is busy with a script"},
	"NOSCRIPT":    {fault.ClassAgain, "the server has forgotten the script"},
}

// classify marks an error of the driver with what to do about it and says so.
// Errors that are classed already stay as they are.
func classify(what string, err error) error {
	if err == nil || fault.Of(err) != fault.ClassAgain {
		return err
	}
	word, _, _ := strings.Cut(err.Error(), " ")
	if a, known := advices[word]; known {
		return fault.As(a.class, fmt.Errorf("%s: %s: %w", what, a.text, err))
	}
	switch {
	case strings.Contains(err.Error(), "equal or smaller than the target stream top item"):
		return fault.Permanent(fmt.Errorf("%s: the stream holds entries that others have added; remove it, or choose another key: %w", what, err))
	case strings.Contains(err.Error(), "The user executing the script can't"): // Redis 7.0, of what a script may not do
		return fault.Permanent(fmt.Errorf("%s: %s: %w", what, advices["NOPERM"].text, err))
	case strings.Contains(err.Error(), "invalid username-password pair"):
		return fault.Permanent(fmt.Errorf("%s: the server does not let this user in; check user and password of the url: %w", what, err))
	case strings.Contains(err.Error(), "cluster support disabled"):
		return fault.Permanent(fmt.Errorf("%s: the server is not a Redis Cluster; remove cluster: true: %w", what, err))
	case strings.Contains(err.Error(), "unknown command"):
		return fault.Permanent(fmt.Errorf("%s: the server lacks a command that ampipe needs: %w", what, err))
	case strings.Contains(err.Error(), "can't parse") || strings.Contains(err.Error(), "invalid reply"):
		return fault.Permanent(fmt.Errorf("%s: what answers there is not Redis; check host and port of the url: %w", what, err))
	case untrusted(err):
		return fault.Permanent(fmt.Errorf("%s: TLS with the server fails; check the scheme of the url and the server's certificate: %w", what, err))
	case lost(err):
		return fault.Later(fmt.Errorf("%s: the server cannot be reached: %w", what, err), 0)
	}
	return fmt.Errorf("%s: %w", what, err)
}

func untrusted(err error) bool {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return true
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return true
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return true
	}
	_, ok := errors.AsType[x509.UnknownAuthorityError](err)
	return ok
}

func lost(err error) bool {
	if _, ok := errors.AsType[net.Error](err); ok {
		return true
	}
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		strings.Contains(err.Error(), "all sentinels") || strings.Contains(err.Error(), "connection pool timeout")
}

// ambiguous tells whether a connection was made and then gave no answer, which is what
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
	return classify(what+" of "+w.target.String(), err)
}
