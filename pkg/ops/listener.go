package ops

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Health is what a process says of itself on /healthz, which is red while a part
// of it is stuck, and on /readyz, which is red until it has started. It is safe
// for concurrent use.
type Health struct {
	stuck func() map[string]string
	ready atomic.Bool
}

// NewHealth makes the health of a process that is starting. stuck gives the
// parts of it that wait for something, with the reasons.
func NewHealth(stuck func() map[string]string) *Health { return &Health{stuck: stuck} }

// Ready says that the process has started.
func (h *Health) Ready() { h.ready.Store(true) }

func (h *Health) answer(w http.ResponseWriter, ok bool) {
	w.Header().Set("Content-Type", "application/json")
	if !ok {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	// The client is gone if this fails; there is nobody to tell.
	_ = json.NewEncoder(w).Encode(map[string]any{"ready": h.ready.Load(), "stuck": h.stuck()})
}

// Serve answers /metrics, /healthz and /readyz on addr until ctx ends. It calls
// ready, if not nil, with the address it listens on.
func Serve(ctx context.Context, addr string, metrics prometheus.Gatherer, h *Health, ready func(net.Addr)) error {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { h.answer(w, len(h.stuck()) == 0) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { h.answer(w, h.ready.Load()) })
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("listen for metrics: %w", err)
	}
	if ready != nil {
		ready(listener.Addr())
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
	err = server.Serve(listener)
	if errors.Is(err, http.ErrServerClosed) {
		<-stopped
		return nil
	}
	return fmt.Errorf("serve metrics: %w", err)
}
