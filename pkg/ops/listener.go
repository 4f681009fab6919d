package ops

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Health is what a process says of itself on /healthz and /readyz. The zero
// value is alive and not ready. It is safe for concurrent use.
type Health struct {
	mu    sync.Mutex
	ready bool
	stuck map[string]string
}

// Ready says that the process has started.
func (h *Health) Ready() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ready = true
}

// Stuck says that part of the process waits for something, and why; an empty
// reason says that it goes on.
func (h *Health) Stuck(part, reason string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if reason == "" {
		delete(h.stuck, part)
		return
	}
	if h.stuck == nil {
		h.stuck = map[string]string{}
	}
	h.stuck[part] = reason
}

func (h *Health) answer(w http.ResponseWriter, wantReady bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	status := http.StatusOK
	if len(h.stuck) > 0 || wantReady && !h.ready {
		status = http.StatusServiceUnavailable
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// The client is gone if this fails; there is nobody to tell.
	_ = json.NewEncoder(w).Encode(map[string]any{"ready": h.ready, "stuck": h.stuck})
}

// Serve answers /metrics, /healthz and /readyz on addr until ctx ends. It calls
// ready, if not nil, with the address it listens on.
func Serve(ctx context.Context, addr string, metrics prometheus.Gatherer, h *Health, ready func(net.Addr)) error {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { h.answer(w, false) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { h.answer(w, true) })
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
