package health_test

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/ampipe/ampipe/pkg/health"
)

func TestDialable(t *testing.T) {
	for listen, want := range map[string][]string{
		":9090":          {"127.0.0.1:9090", "[::1]:9090"},
		"0.0.0.0:9090":   {"127.0.0.1:9090", "[::1]:9090"},
		"[::]:9090":      {"[::1]:9090", "127.0.0.1:9090"},
		"localhost:9090": {"localhost:9090"},
		"10.1.2.3:9090":  {"10.1.2.3:9090"},
		"[::1]:9090":     {"[::1]:9090"},
		":metrics":       {"127.0.0.1:metrics", "[::1]:metrics"},
	} {
		got, err := health.Dialable(listen)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %q %v, want %q", listen, got, err, want)
		}
	}
	for _, listen := range []string{"", "9090", "localhost", "http://localhost:9090", ":", "127.0.0.1:0", "::1:9090"} {
		if got, err := health.Dialable(listen); !errors.Is(err, health.ErrAddress) || !strings.Contains(err.Error(), "--listen") {
			t.Errorf("%q: %q %v, want an error that says how to write it", listen, got, err)
		}
	}
}

func TestAsk(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	answers := map[string]struct {
		status int
		body   string
	}{
		"/livez":  {200, `{"ok": true, "parts": []}`},
		"/readyz": {503, `{"ok": false, "parts": [{"pipeline": "p", "part": "sink lake", "state": "not ready", "blocks_missing": 7}]}`},
		"/lying":  {200, `{"ok": false, "parts": []}`},
		"/page":   {200, `<html>`},
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a, known := answers[r.URL.Path]
		if !known {
			http.NotFound(w, r)
			return
		}
		w.WriteHeader(a.status)
		_, _ = fmt.Fprint(w, a.body)
	}))
	defer server.Close()
	address := server.Listener.Addr().String()
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	for _, address := range []string{address, ":" + port, "0.0.0.0:" + port, "[::]:" + port} { // it listens on 127.0.0.1 alone
		live, err := health.Ask(t.Context(), health.Livez, address)
		if err != nil || !live.OK {
			t.Errorf("%s: %+v %v", address, live, err)
		}
	}
	ready, err := health.Ask(t.Context(), health.Readyz, address)
	if err != nil || ready.OK || len(ready.Parts) != 1 || ready.Parts[0].BlocksMissing != 7 {
		t.Errorf("%+v %v", ready, err)
	}
	for question, want := range map[string]string{
		"lying": "does not answer as ampipe does", "page": "does not answer as ampipe does", "missing": "does ampipe listen there?",
	} {
		if a, err := health.Ask(t.Context(), question, address); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %+v %v, want %q", question, a, err, want)
		}
	}
	server.Close()
	if _, err := health.Ask(t.Context(), health.Livez, ":"+port); err == nil || !strings.Contains(err.Error(), "no process listens on :"+port) {
		t.Errorf("nobody listens: %v", err)
	}
}
