// Package page serves a web page that shows how pipelines are: the sentence, the map of
// their blocks, sinks, reorgs, failed partitions and processes. It is rendered here, of the
// model and in the words of package status, and kept current by server-sent events. It needs
// nothing from elsewhere. Nothing can be changed by it unless it has a token: signing in with
// that brings buttons.
package page

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/ampipe/ampipe/pkg/status"
)

// View is what the page shows at a moment.
type View struct {
	status.Overview
	Details []status.Detail // in the order of the pipelines
	Unseen  bool            // some could not be read
}

// Pieces is how many pieces the history of a pipeline is drawn in.
const Pieces = 160

const (
	// busy and idle are after how many times its own length a look is repeated, while
	// somebody watches and while nobody does.
	busy, idle = 60, 400
	// The bounds of the time between two looks while somebody watches. On a busy machine a look
	// may take a second because it waits, and what changes meanwhile is to be seen all the same.
	leastPace, mostPace = 2 * time.Second, 15 * time.Second
	// The bounds while nobody does. Such a look is for the charts only.
	leastSample, mostSample = 15 * time.Second, 10 * time.Minute
)

// Options are what a page may have besides what it shows.
type Options struct {
	// Token is what somebody signs in with to use the buttons; empty: there are none.
	Token string
	// Do does what a button asks for, and returns what the command of that name prints.
	Do func(context.Context, Action) (said string, err error)
	// Refused is told from where a wrong token came, once a minute at most.
	Refused func(from string)
	// Routes are further patterns of [http.ServeMux] that the listener answers.
	Routes map[string]http.Handler
}

// Server serves the page.
type Server struct {
	look     func(context.Context) View
	asks     chan chan moment
	steering *steering               // nil: there are no buttons
	also     map[string]http.Handler // further patterns that are answered
	changed  atomic.Bool             // by a button: what was seen before does not count
	// watchers holds a token for each browser that is sent updates.
	watchers chan struct{}
}

// mostWatchers is how many browsers are sent updates at a time.
const mostWatchers = 64

//go:embed assets
var assets embed.FS

// New returns a server of a page that shows what look returns. Looks do not overlap.
func New(look func(context.Context) View, o Options) *Server {
	s := &Server{look: look, asks: make(chan chan moment), also: o.Routes, watchers: make(chan struct{}, mostWatchers)}
	if o.Token != "" {
		s.steering = newSteering(o)
	}
	return s
}

// moment is what was seen last.
type moment struct {
	at       time.Time
	took     time.Duration // to look and to render
	version  string
	sections []section
	history  []sample
	lines    []named // of the charts
}

// pace is how long after a look the next one is worth while somebody watches.
func (m moment) pace() time.Duration { return min(max(busy*m.took, leastPace), mostPace) }

// run looks when somebody asks and what is there is too old, and now and then for the
// charts, until ctx ends.
func (s *Server) run(ctx context.Context) {
	var now moment
	next := time.NewTimer(leastPace)
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case answer := <-s.asks:
			changed := s.changed.Swap(false)
			if changed || time.Since(now.at) >= now.pace() {
				now = s.see(ctx, now)
			}
			answer <- now
		case <-next.C:
			pause := min(max(idle*now.took, leastSample), mostSample)
			if time.Since(now.at) >= pause {
				now = s.see(ctx, now)
			}
			next.Reset(pause)
		}
	}
}

// see looks and renders.
func (s *Server) see(ctx context.Context, before moment) moment {
	began := time.Now()
	view := s.look(ctx)
	m := moment{sections: render(view, s.steering != nil), history: withSample(before.history, view), lines: linesOf(view.Overview)}
	m.version = version(m.sections)
	m.at = time.Now()
	if !view.Unseen { // else it has waited, and it may be over any moment
		m.took = m.at.Sub(began)
	}
	return m
}

// version identifies a page whose sections can be updated one by one: that of another
// program, or of other pipelines, has to be loaded anew.
func version(sections []section) string {
	hash := sha256.New()
	hash.Write([]byte(whole(moment{}, visitor{})))
	for _, name := range []string{"page.js", "page.css"} {
		text, _ := assets.ReadFile("assets/" + name) // it is embedded
		hash.Write(text)
	}
	for _, one := range sections {
		hash.Write([]byte(one.ID + "\n" + one.of + "\n"))
	}
	return hex.EncodeToString(hash.Sum(nil)[:8])
}
