package amp_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/amp/amptest"
	"github.com/ampipe/ampipe/pkg/fault"
)

// listening accepts connections until the test ends.
func listening(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				serve(conn)
			}()
		}
	}()
	return listener.Addr().String()
}

// web starts a server of HTTP/2, without TLS unless secure, that answers every request.
func web(t *testing.T, secure bool, answer http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(answer)
	s.Config.ErrorLog = nil
	s.EnableHTTP2 = true
	if secure {
		s.StartTLS()
	} else {
		s.Config.Protocols = new(http.Protocols)
		s.Config.Protocols.SetUnencryptedHTTP2(true)
		s.Start()
	}
	t.Cleanup(s.Close)
	return s
}

func page(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(status)
		_, _ = fmt.Fprint(w, "<html>"+strings.Repeat("sorry ", 1000)+"</html>")
	}
}

// TestWhatIsNotAmp asks what else may listen at the address.
func TestWhatIsNotAmp(t *testing.T) {
	t.Parallel()
	secure := web(t, true, page(http.StatusOK))
	roots := x509.NewCertPool()
	roots.AddCert(secure.Certificate())
	trusted := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	plain := amptest.Start(t, nil).URL()
	one := httptest.NewServer(page(http.StatusOK))
	t.Cleanup(one.Close)
	address := func(url string) string { return url[strings.LastIndex(url, "/")+1:] }
	for name, c := range map[string]struct {
		cfg   amp.Config
		class fault.Class
		want  string
	}{
		"plain text, asked by TLS": {amp.Config{URL: "grpcs://" + address(plain)}, fault.ClassPermanent, "write grpc:// instead of grpcs://"},
		"TLS, asked in plain text": {amp.Config{URL: "grpc://" + address(secure.URL)}, fault.ClassLater, "write grpcs:// instead of grpc://"},
		"an unknown authority":     {amp.Config{URL: "grpcs://" + address(secure.URL)}, fault.ClassPermanent, "source.tls.ca"},
		"another host":             {amp.Config{URL: "grpcs://localhost:" + port(t, secure.URL), TLS: trusted}, fault.ClassPermanent, "the host that the certificate is for"},
		"HTTP/1.1":                 {amp.Config{URL: "grpc://" + address(one.URL)}, fault.ClassPermanent, "speaks HTTP/1.1, not gRPC"},
		"a page over TLS":          {amp.Config{URL: "grpcs://" + address(secure.URL), TLS: trusted}, fault.ClassAgain, "the answer of a proxy, or of another server than Amp, at grpcs://"},
		"404":                      {amp.Config{URL: "grpc://" + address(web(t, false, page(http.StatusNotFound)).URL)}, fault.ClassAgain, "the answer of a proxy"},
		"502":                      {amp.Config{URL: "grpc://" + address(web(t, false, page(http.StatusBadGateway)).URL)}, fault.ClassLater, "does not reach Amp behind it"},
		"503":                      {amp.Config{URL: "grpc://" + address(web(t, false, page(http.StatusServiceUnavailable)).URL)}, fault.ClassLater, "does not reach Amp behind it"},
		"401":                      {amp.Config{URL: "grpc://" + address(web(t, false, page(http.StatusUnauthorized)).URL), Token: "old"}, fault.ClassPermanent, "set a token that is still valid"},
		"a server that hangs up":   {amp.Config{URL: "grpc://" + listening(t, func(net.Conn) {})}, fault.ClassLater, "is Amp running at grpc://"},
		"one that is asked by TLS": {amp.Config{URL: "grpcs://" + listening(t, func(net.Conn) {})}, fault.ClassLater, "is it running at grpcs://"},
		"an alert of TLS": {amp.Config{URL: "grpc://" + listening(t, func(c net.Conn) {
			_, _ = io.CopyN(io.Discard, c, 24) // the preface of HTTP/2
			_, _ = c.Write([]byte{21, 3, 3, 0, 2, 2, 70})
		})}, fault.ClassLater, "write grpcs:// instead of grpc://"},
		"a TLS server that hangs up": {amp.Config{URL: "grpcs://" + listening(t, func(c net.Conn) {
			_ = tls.Server(c, &tls.Config{Certificates: secure.TLS.Certificates, NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS12}).Handshake()
		}), TLS: trusted}, fault.ClassLater, "does a proxy before it reach it?"},
		"a server that says an error": {amp.Config{URL: "grpc://" + listening(t, func(c net.Conn) {
			_, _ = fmt.Fprint(c, "E\x00\x00\x00\x60SFATAL\x00C0A000\x00Munsupported frontend protocol\x00\x00")
			_, _ = io.Copy(io.Discard, c)
		})}, fault.ClassPermanent, "does not speak plain gRPC"},
		"a name that is not there": {amp.Config{URL: "grpc://nowhere.invalid:1602"}, fault.ClassLater, "cannot be found by its name"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := open(t, c.cfg)
			_, err := client.Info(t.Context(), query)
			if err == nil || fault.Of(err) != c.class || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v (%v)", err, fault.Of(err))
			}
			if err != nil && strings.HasPrefix(c.cfg.URL, "grpcs") && strings.Contains(err.Error(), "write grpcs://") {
				t.Errorf("TLS is advised where it is used: %v", err)
			}
			if err != nil && (strings.Contains(err.Error(), "\n") || len(err.Error()) > 700) {
				t.Errorf("not a line: %v", err)
			}
		})
	}
}

func port(t *testing.T, url string) string {
	t.Helper()
	_, port, err := net.SplitHostPort(url[strings.LastIndex(url, "/")+1:])
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// TestTooManyPings: the key that mends it is named, and not the question whether Amp
// runs.
func TestTooManyPings(t *testing.T) {
	t.Parallel()
	simulated(t, func(t *testing.T, _ *amptest.Chain, _ *amptest.Server, _ *amp.Client, _ *pipes) {
		network := newPipes()
		strict := grpc.NewServer(grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Minute}),
			grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
				<-stream.Context().Done()
				return nil
			}))
		go func() { _ = strict.Serve(network) }() // until it is stopped
		defer strict.Stop()
		client, err := amp.Open(t.Context(), amp.Config{URL: "grpc://pipe", Dial: network.dial, KeepAlive: 10 * time.Second, AnswerTimeout: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		_, err = client.Info(t.Context(), query)
		if fault.Of(err) != fault.ClassLater || !strings.Contains(err.Error(), "raise source.keep_alive") || strings.Contains(err.Error(), "is Amp running") {
			t.Errorf("%v (%v)", err, fault.Of(err))
		}
	})
}

// replaced returns the client of a server that has answered and is gone, and a listener at
// its address.
func replaced(t *testing.T) (*amp.Client, net.Listener) {
	t.Helper()
	srv, client := setup(t)
	srv.On(query, blocks(t))
	if _, err := client.Info(t.Context(), query); err != nil {
		t.Fatal(err)
	}
	srv.Stop()
	listener, err := net.Listen("tcp", address(srv))
	if err != nil {
		t.Skipf("the port was taken meanwhile: %v", err)
	}
	return client, listener
}

// TestAnAddressThatWasRight: a server that has answered is waited for, also when
// something else answers in its place for a while.
func TestAnAddressThatWasRight(t *testing.T) {
	t.Parallel()
	client, listener := replaced(t)
	other := &http.Server{Handler: page(http.StatusOK), ReadHeaderTimeout: time.Second}
	t.Cleanup(func() { _ = other.Close() })
	go func() { _ = other.Serve(listener) }() // until it is closed
	deadline := time.Now().Add(20 * time.Second)
	for {
		_, err := client.Info(t.Context(), query)
		if fault.Of(err) != fault.ClassLater {
			t.Fatalf("%v (%v)", err, fault.Of(err))
		}
		if strings.Contains(err.Error(), "speaks HTTP/1.1") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// TestALinkThatIsCut: when connections to a server that has answered are closed at once, the
// user is not told to change its address.
func TestALinkThatIsCut(t *testing.T) {
	t.Parallel()
	client, listener := replaced(t)
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_ = conn.Close() // nothing was sent
		}
	}()
	deadline := time.Now().Add(20 * time.Second)
	for {
		_, err := client.Info(t.Context(), query)
		if fault.Of(err) != fault.ClassLater || strings.Contains(err.Error(), "source.amp") {
			t.Fatalf("%v (%v)", err, fault.Of(err))
		}
		if strings.Contains(err.Error(), "has answered at grpc://"+listener.Addr().String()+" before") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

func address(srv *amptest.Server) string { return srv.URL()[len("grpc://"):] }
