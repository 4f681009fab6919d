package page

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

const (
	// answerWait is how often a browser that waits for a look that takes long is sent
	// something, so that it knows that the process lives.
	answerWait = 5 * time.Second
	// sendWait bounds one sending to a browser: one that does not read is dropped.
	sendWait = 10 * time.Second
)

// Serve serves the page until ctx ends. It closes the listener.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.page)
	mux.HandleFunc("GET /events", s.events)
	for name, kind := range map[string]string{
		"page.js": "text/javascript", "page.css": "text/css",
		"uplot.js": "text/javascript", "uplot.css": "text/css", "uplot.LICENSE": "text/plain",
	} {
		mux.HandleFunc("GET /assets/"+name, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", kind+"; charset=utf-8")
			http.ServeFileFS(w, r, assets, "assets/"+name)
		})
	}
	for pattern, handler := range s.also {
		mux.Handle(pattern, handler)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.routes(ctx, mux, cookieOf(listener))
	server := &http.Server{
		Handler:     guard(isLoopback(listener.Addr()), form(mux)),
		BaseContext: func(net.Listener) context.Context { return ctx }, // ends what watches, too
		// Each update has a limit of its own: they are sent for as long as the page is open.
		ReadHeaderTimeout: 5 * time.Second, WriteTimeout: time.Minute, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
	}
	looking := make(chan struct{})
	go func() {
		defer close(looking)
		s.run(ctx)
	}()
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		<-ctx.Done()
		grace, done := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer done()
		if server.Shutdown(grace) != nil {
			_ = server.Close() // a browser is cut that has not read
		}
	}()
	err := server.Serve(listener)
	cancel()
	<-stopped
	<-looking
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve the page: %w", err)
}

// page answers with the page as it is now.
func (s *Server) page(w http.ResponseWriter, r *http.Request) {
	answer := make(chan moment, 1)
	asks := s.asks
	for {
		select {
		case <-r.Context().Done():
			return // nobody waits for it, or the process ends
		case asks <- answer:
			asks = nil
		case now := <-answer:
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			_, _ = io.WriteString(w, whole(now, s.visitor(r))) // the browser has gone if this fails
			return
		}
	}
}

// news are what a browser is sent: the sections that have changed.
type news struct {
	Version  string    `json:"version,omitempty"` // empty: nothing was seen, but the process lives
	Sections []section `json:"sections,omitempty"`
	Charts   []chart   `json:"charts,omitempty"`
}

// events sends what changes, until the browser goes.
func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	select {
	case s.watchers <- struct{}{}:
		defer func() { <-s.watchers }()
	default:
		http.Error(w, fmt.Sprintf("%d pages are open already: close some", mostWatchers), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	sent := map[string]section{}
	var charted time.Time
	for {
		now, err := s.next(w, r)
		if err != nil {
			return
		}
		n := news{Version: now.version}
		for _, one := range now.sections {
			if sent[one.ID] != one {
				sent[one.ID] = one
				n.Sections = append(n.Sections, one)
			}
		}
		if last := len(now.history) - 1; last >= 0 && now.history[last].at != charted {
			charted = now.history[last].at
			n.Charts = charts(now.history, now.lines)
		}
		if send(w, n) != nil || !wait(w, r, now.pace()) {
			return
		}
	}
}

// next returns what is seen next. It is said meanwhile that the process lives.
func (s *Server) next(w http.ResponseWriter, r *http.Request) (moment, error) {
	alive := time.NewTicker(answerWait)
	defer alive.Stop()
	answer := make(chan moment, 1)
	asks := s.asks
	for {
		select {
		case <-r.Context().Done():
			return moment{}, context.Cause(r.Context())
		case asks <- answer:
			asks = nil
		case now := <-answer:
			return now, nil
		case <-alive.C:
			if err := send(w, news{}); err != nil {
				return moment{}, err
			}
		}
	}
}

// wait waits, says meanwhile that the process lives, and reports whether the browser is
// still there.
func wait(w http.ResponseWriter, r *http.Request, pause time.Duration) bool {
	over := time.NewTimer(pause)
	defer over.Stop()
	alive := time.NewTicker(answerWait)
	defer alive.Stop()
	for {
		select {
		case <-r.Context().Done():
			return false
		case <-over.C:
			return true
		case <-alive.C:
			if send(w, news{}) != nil {
				return false
			}
		}
	}
}

func send(w http.ResponseWriter, n news) error {
	text, err := json.Marshal(n)
	if err != nil {
		return err
	}
	to := http.NewResponseController(w)
	if err := to.SetWriteDeadline(time.Now().Add(sendWait)); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(w, "data: %s\n\n", text); err != nil {
		return err
	}
	return to.Flush()
}
