package ops

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/ampipe/ampipe/pkg/health"
)

// Listen opens an address. Its errors are the user's to mend, and say what it is for, and
// what sets it: "for metrics and health (--listen)".
func Listen(ctx context.Context, address, what string) (net.Listener, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err == nil {
		return listener, nil
	}
	advice := "write it as in :9090 or 127.0.0.1:9090"
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		advice = "another process listens there: stop that one, or choose another address"
	case errors.Is(err, syscall.EACCES):
		advice = "this user may not use that port: choose one above 1023"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		advice = "this machine does not have that address; all of its addresses are meant by :PORT"
	}
	return nil, Config(fmt.Errorf("listen on %q %s: %w: %s", address, what, err, advice))
}

// Serve answers /metrics, and /livez, /readyz and /healthz by what know returns, until
// ctx ends. It closes the listener.
func Serve(ctx context.Context, listener net.Listener, metrics prometheus.Gatherer, know func() []health.Pipeline) error {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	for question, judge := range map[string]func(time.Time, []health.Pipeline) health.Answer{
		health.Livez: health.Live, health.Readyz: health.Ready, health.Healthz: health.Healthy,
	} {
		mux.HandleFunc("GET /"+question, func(w http.ResponseWriter, _ *http.Request) { answer(w, judge(time.Now(), know())) })
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		<-ctx.Done()
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = server.Shutdown(grace) // at worst a scrape is cut
	}()
	err := server.Serve(listener)
	if errors.Is(err, http.ErrServerClosed) {
		<-stopped
		return nil
	}
	return fmt.Errorf("serve metrics and health: %w", err)
}

func answer(w http.ResponseWriter, a health.Answer) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if !a.OK {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	lines := json.NewEncoder(w)
	lines.SetEscapeHTML(false)
	lines.SetIndent("", "  ")
	_ = lines.Encode(a) // the client has gone if this fails
}
