package amp

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/ampipe/ampipe/pkg/fault"
)

// Config says where Amp is and how to talk to it. Only URL is required; every
// other zero value means the default named here.
type Config struct {
	// URL is grpc://host:port or http://host:port for plaintext, grpcs:// or
	// https:// for TLS. The port defaults to 1602, Amp's own, and to 443 for
	// https://, where a gateway stands in front.
	URL string
	// Token is sent as a bearer token with every call, also over plaintext, which
	// is how Amp runs inside a cluster: use a TLS URL on networks you do not trust.
	// Defaults to the environment variable AMP_AUTH_TOKEN, then to TokenFile.
	Token string
	// TokenFile is the file the Amp CLI writes when one logs in, usually
	// ~/.amp/cache/amp_cli_auth. It is refreshed and rewritten when the token in it
	// is about to expire. Defaults to none: no token is sent.
	TokenFile string
	// MaxMessage is the largest message accepted, in bytes. Amp aims at 2 MiB, but
	// one huge row is one huge message (AP 1.6). Defaults to 256 MiB; less than
	// 32 MiB, the limit of Amp's own client, is refused.
	MaxMessage int
	// Window is how many bytes of an answer the server may send before they are read,
	// beyond the message that is being read. Defaults to 8 MiB, and is 512 KiB at least.
	Window int
	// KeepAlive is the time of silence after which a live connection is probed, so
	// that a stream that may be silent for hours notices a dead server within this
	// and 20 s more. Defaults to 10 s; less than 10 s is refused, because gateways
	// punish it.
	KeepAlive time.Duration
	// AnswerTimeout is how long a call may take that brings no rows: the schema, the
	// head, where a stream begins. Defaults to 1 minute.
	AnswerTimeout time.Duration
	// FirstRowsTimeout is how long a batch query may take to bring its first rows,
	// which a server may have to sort before (AP 4.5). Defaults to 15 minutes.
	FirstRowsTimeout time.Duration
	// NextRowsTimeout is how long a batch query, or a stream within a range that it has
	// begun, may be silent after that. Between ranges a stream is silent for as long as
	// the chain is. Defaults to 10 minutes.
	NextRowsTimeout time.Duration
	// OnSilence is called when the server holds the connection and has answered nothing, a
	// ping included, for KeepAlive and 3 s: with the time when something last came, and with
	// zero when it has answered or the connection has ended. Its calls do not overlap for
	// one connection; it must not block. May be nil.
	OnSilence func(since time.Time)
	// Allocator provides the memory of record batches. Defaults to Go's heap.
	Allocator memory.Allocator
	// Recycle uses the memory of released records for later messages, which saves a
	// third of the time that receiving takes. A record, and any text or bytes taken
	// from it, must then not be touched after its release. Defaults to leaving the
	// memory to Go's collector.
	Recycle bool
	// TLS replaces the system's certificate roots for grpcs:// and https://.
	TLS *tls.Config
	// Dial replaces the dialing of host:port, for tests. Defaults to TCP, through
	// the proxy of the environment if there is one.
	Dial func(ctx context.Context, address string) (net.Conn, error)
	// RefreshURL is where the token of TokenFile is refreshed. Defaults to
	// [DefaultRefreshURL].
	RefreshURL string
	// HTTP makes the refresh calls. Defaults to [http.DefaultClient].
	HTTP *http.Client
}

const (
	defaultPort       = "1602"
	defaultMaxMessage = 256 << 20
	leastMaxMessage   = 32 << 20
	leastWindow       = 512 << 10
	defaultKeepAlive  = 10 * time.Second

	defaultAnswerTimeout    = time.Minute
	defaultFirstRowsTimeout = 15 * time.Minute
	defaultNextRowsTimeout  = 10 * time.Minute
	leastKeepAlive          = 10 * time.Second
)

// checked fills in the defaults and joins every complaint into one permanent
// error.
func (cfg Config) checked() (Config, endpoint, error) {
	at, err := parseURL(cfg.URL)
	cfg.MaxMessage = cmp.Or(cfg.MaxMessage, defaultMaxMessage)
	if cfg.MaxMessage < leastMaxMessage {
		err = errors.Join(err, fmt.Errorf("MaxMessage is %d bytes; it must be at least %d", cfg.MaxMessage, leastMaxMessage))
	}
	cfg.Window = max(cmp.Or(cfg.Window, streamWindow), leastWindow)
	cfg.KeepAlive = cmp.Or(cfg.KeepAlive, defaultKeepAlive)
	if cfg.KeepAlive < leastKeepAlive {
		err = errors.Join(err, fmt.Errorf("KeepAlive is %v; it must be at least %v", cfg.KeepAlive, leastKeepAlive))
	}
	cfg.AnswerTimeout = cmp.Or(cfg.AnswerTimeout, defaultAnswerTimeout)
	cfg.FirstRowsTimeout = cmp.Or(cfg.FirstRowsTimeout, defaultFirstRowsTimeout)
	cfg.NextRowsTimeout = cmp.Or(cfg.NextRowsTimeout, defaultNextRowsTimeout)
	if min(cfg.AnswerTimeout, cfg.FirstRowsTimeout, cfg.NextRowsTimeout) < 0 {
		err = errors.Join(err, errors.New("a timeout must not be negative"))
	}
	if cfg.Allocator == nil {
		cfg.Allocator = memory.DefaultAllocator
	}
	cfg.RefreshURL = cmp.Or(cfg.RefreshURL, DefaultRefreshURL)
	cfg.HTTP = cmp.Or(cfg.HTTP, http.DefaultClient)
	if err != nil {
		return Config{}, endpoint{}, fault.Permanent(fmt.Errorf("open Amp client: %w", err))
	}
	return cfg, at, nil
}

// endpoint is a parsed URL.
type endpoint struct {
	url     string // as people should see it; never holds a secret
	address string // host:port
	secure  bool
}

var errURL = errors.New("write grpc://host:port, or grpcs://host:port for TLS")

func parseURL(text string) (endpoint, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil: // the error of url.Parse repeats the text, which may hold a password
		return endpoint{}, fmt.Errorf("the URL of Amp cannot be read: %w", errURL)
	case u.User != nil:
		return endpoint{}, errors.New("the URL of Amp must not hold a user or password; set a token instead")
	case u.Hostname() == "" || u.Opaque != "":
		return endpoint{}, fmt.Errorf("the URL of Amp, %q, has no host: %w", text, errURL)
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return endpoint{}, fmt.Errorf("the URL of Amp must end after the host and port: %w", errURL)
	}
	var at endpoint
	port := defaultPort
	switch u.Scheme {
	case "grpc", "http":
	case "grpcs":
		at.secure = true
	case "https":
		at.secure, port = true, "443"
	default:
		return endpoint{}, fmt.Errorf("the URL of Amp has the unknown scheme %q: %w", u.Scheme, errURL)
	}
	if p := u.Port(); p != "" {
		port = p
	}
	at.address = net.JoinHostPort(u.Hostname(), port)
	at.url = u.Scheme + "://" + at.address
	return at, nil
}
