package amp_test

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/amp/amptest"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/fault"
)

func TestURL(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"grpc://localhost":                         "grpc://localhost:1602",
		"grpcs://amp.example":                      "grpcs://amp.example:1602",
		"http://10.0.0.1:7/":                       "http://10.0.0.1:7",
		"https://gateway.amp.staging.thegraph.com": "https://gateway.amp.staging.thegraph.com:443",
		"grpc://[::1]":                             "grpc://[::1]:1602",
	} {
		client, err := amp.Open(t.Context(), amp.Config{URL: text})
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if client.URL() != want {
			t.Errorf("%s is %s, want %s", text, client.URL(), want)
		}
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	}
	for _, text := range []string{
		"", "localhost", "localhost:1602", "grpc://", "grpc://:1602", "postgres://localhost", "grpc://a/b", "grpc://a?b=c",
		"grpc://user:secret-x@localhost", "grpc://user:secret-x@local host", "grpc://localhost:secret-x",
	} {
		_, err := amp.Open(t.Context(), amp.Config{URL: text})
		if fault.Of(err) != fault.ClassPermanent {
			t.Errorf("%q: %v (%v)", text, err, fault.Of(err))
		}
		checkNoSecret(t, err)
	}
}

func TestConfigIsRefusedWhole(t *testing.T) {
	t.Parallel()
	_, err := amp.Open(t.Context(), amp.Config{URL: "ftp://a", MaxMessage: 1, KeepAlive: time.Second})
	for _, complaint := range []string{"ftp", "MaxMessage", "KeepAlive"} {
		if err == nil || !strings.Contains(err.Error(), complaint) {
			t.Errorf("%v does not complain about %s", err, complaint)
		}
	}
}

func TestTokenIsSentWithEveryCall(t *testing.T) {
	t.Setenv("AMP_AUTH_TOKEN", "from the environment")
	for configured, want := range map[string]string{"": "Bearer from the environment", "configured": "Bearer configured"} {
		srv := amptest.Start(t, nil)
		srv.On(query, blocks(t))
		client := open(t, amp.Config{URL: srv.URL(), Token: configured, TokenFile: "/not/looked/at"})
		if _, err := collect(t.Context(), t, client, query); err != nil {
			t.Fatal(err)
		}
		for _, request := range srv.Requests() {
			if got := request.Query.Header["authorization"]; len(got) != 1 || got[0] != want {
				t.Errorf("%s was sent authorization %q, want %q", request.Method, got, want)
			}
		}
	}
}

func TestNoTokenNoHeader(t *testing.T) {
	t.Setenv("AMP_AUTH_TOKEN", "")
	srv, client := setup(t)
	srv.On(query, blocks(t))
	if _, err := collect(t.Context(), t, client, query); err != nil {
		t.Fatal(err)
	}
	for _, request := range srv.Requests() {
		if got, sent := request.Query.Header["authorization"]; sent {
			t.Errorf("%s was sent authorization %q", request.Method, got)
		}
	}
}

func TestFixedTokenIsRefused(t *testing.T) {
	t.Parallel()
	srv := amptest.Start(t, nil)
	srv.On(query, blocks(t))
	client := open(t, amp.Config{URL: srv.URL(), Token: "secret-x"})
	for code, says := range map[codes.Code]string{codes.Unauthenticated: "still valid", codes.PermissionDenied: "no right"} {
		srv.Next(func(amptest.Query) amptest.Fault { return amptest.Refuse(code, "no") })
		_, err := client.Info(t.Context(), query)
		if fault.Of(err) != fault.ClassPermanent || !strings.Contains(err.Error(), says) {
			t.Errorf("%v (%v)", err, fault.Of(err))
		}
		checkNoSecret(t, err)
	}
	if n := len(srv.Requests()); n != 2 {
		t.Errorf("%d calls, want no second try", n)
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	certificate := httptest.NewTLSServer(nil) // for its certificate
	defer certificate.Close()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := amptest.Serve(t, tls.NewListener(listener, &tls.Config{
		Certificates: certificate.TLS.Certificates, NextProtos: []string{"h2"},
	}), nil)
	srv.On(query, blocks(t, block.Range{End: 3}))
	roots := certificate.Client().Transport.(*http.Transport).TLSClientConfig
	for _, scheme := range []string{"grpcs", "https"} {
		url := strings.Replace(srv.URL(), "grpc", scheme, 1)
		client := open(t, amp.Config{URL: url, TLS: roots})
		if messages, err := collect(t.Context(), t, client, query); err != nil || messages[0].Record.NumRows() != 3 {
			t.Errorf("%s: %v", scheme, err)
		}
		stranger := open(t, amp.Config{URL: url})
		if _, err := stranger.Info(t.Context(), query); err == nil || !strings.Contains(err.Error(), "certificate") {
			t.Errorf("%s: a certificate nobody vouches for gives %v", scheme, err)
		}
	}
}

// TestSilence follows an answer that is silent for hours and then continues, and one
// whose server is dead and just as silent: pings tell the two apart.
func TestSilence(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		network := newPipes()
		answer := blocks(t, block.Range{End: 1})
		srv := amptest.Serve(t, network, nil)
		defer srv.Stop()
		srv.On(query, answer)
		client, err := amp.Open(t.Context(), amp.Config{URL: "grpc://pipe", Dial: network.dial, NextRowsTimeout: 48 * time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()

		wake := make(chan struct{})
		time.AfterFunc(24*time.Hour, func() { close(wake) })
		srv.Next(func(amptest.Query) amptest.Fault { return amptest.HoldAfter(2, wake) })
		if messages, err := collect(t.Context(), t, client, query); err != nil || len(messages) != 2 {
			t.Errorf("after a day of silence: %d messages, %v", len(messages), err)
		}

		dead := make(chan struct{})
		srv.Next(func(amptest.Query) amptest.Fault { return amptest.HoldAfter(2, nil).Notify(dead) })
		go func() {
			<-dead
			network.die()
		}()
		began := time.Now()
		_, err = collect(t.Context(), t, client, query)
		if took := time.Since(began); fault.Of(err) != fault.ClassLater || took > time.Minute {
			t.Errorf("a dead server was noticed after %v: %v (%v)", took, err, fault.Of(err))
		}
	})
}
