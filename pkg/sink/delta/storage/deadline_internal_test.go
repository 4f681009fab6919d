package storage

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestARequestIsNotWaitedForForEver: a storage that accepts and never answers, that
// stops in the middle of an answer, and one that is merely slow.
func TestARequestIsNotWaitedForForEver(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		size    int  // of the request
		unsaid  bool // the request does not say it
		answers func(conn net.Conn)
		took    time.Duration
		hangs   bool
	}{
		"no answer":                       {0, false, func(net.Conn) {}, answerTime, true},
		"no answer to a file":             {64 << 20, false, func(net.Conn) {}, answerTime + 512*time.Second, true},
		"no answer to a file of any size": {1 << 20, true, func(net.Conn) {}, answerTime + 128*time.Second, true},
		"half an answer": {0, false, func(conn net.Conn) {
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
		}, answerTime, true},
		"a slow answer": {0, false, func(conn net.Conn) {
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
			for range 10 {
				time.Sleep(20 * time.Second)
				_, _ = io.WriteString(conn, "x")
			}
		}, 200 * time.Second, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				near, far := net.Pipe()
				defer far.Close()
				transport := limitedTransport{&http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return near, nil }}}
				defer transport.CloseIdleConnections()
				go func() {
					_, _ = io.ReadFull(far, make([]byte, 16+c.size))
					go func() { _, _ = io.Copy(io.Discard, far) }()
					c.answers(far)
				}()
				began := time.Now()
				client := http.Client{Transport: transport}
				var body io.Reader = strings.NewReader(strings.Repeat("x", c.size))
				if c.unsaid {
					body = io.MultiReader(body)
				}
				request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://bucket/name", body)
				if err != nil {
					t.Fatal(err)
				}
				response, err := client.Do(request)
				if err == nil {
					_, err = io.ReadAll(response.Body)
					_ = response.Body.Close()
				}
				if took := time.Since(began); errors.Is(err, errNoAnswer) != c.hangs || took < c.took || took > c.took+time.Second {
					t.Errorf("after %v, want %v: %v", took, c.took, err)
				}
			})
		})
	}
}
