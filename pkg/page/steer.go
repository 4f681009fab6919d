package page

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"strings"
	"time"
)

// Verb is what a button does.
type Verb string

// The verbs, which are those of the commands.
const (
	Retry  Verb = "retry"
	Replay Verb = "replay"
	Pause  Verb = "pause"
	Resume Verb = "resume"
)

// Action is what somebody asks for by a button.
type Action struct {
	Verb     Verb
	Pipeline string
	Sink     string // not of [Retry]
	Blocks   string // of [Retry] and [Replay]: ranges, or "all"
	DryRun   bool   // of [Replay]: only say what would be done
}

const (
	// actionTimeout bounds an action: the command that takes longest has five minutes.
	actionTimeout = 6 * time.Minute
	// formTimeout and formBytes bound what a form may take to arrive.
	formTimeout, formBytes = 10 * time.Second, 16 << 10
)

// steering is what a page has whose buttons work.
type steering struct {
	token    [sha256.Size]byte // its hash, so that a comparison takes the same time whatever is tried
	do       func(context.Context, Action) (said string, err error)
	refused  func(from string) // told that a wrong token came, now and then
	sessions sessions
	turn     chan struct{} // of the one action that runs
}

func newSteering(o Options) *steering {
	return &steering{
		token: sha256.Sum256([]byte(o.Token)), do: o.Do, refused: atIntervals(o.Refused, time.Minute),
		turn: make(chan struct{}, 1),
	}
}

// routes adds what forms are sent to. Everything that changes something is a POST of a
// browser that has signed in.
func (s *Server) routes(ctx context.Context, mux *http.ServeMux, cookie string) {
	t := s.steering
	if t == nil {
		return
	}
	t.sessions.cookie = cookie
	mux.HandleFunc("GET /sign-in", func(w http.ResponseWriter, _ *http.Request) { writeNotice(w, http.StatusOK, signInNotice("")) })
	mux.HandleFunc("POST /sign-in", func(w http.ResponseWriter, r *http.Request) {
		given := sha256.Sum256([]byte(strings.TrimSpace(r.PostForm.Get("token"))))
		if subtle.ConstantTimeCompare(given[:], t.token[:]) != 1 {
			t.refused(r.RemoteAddr)
			writeNotice(w, http.StatusForbidden, signInNotice("This is not the token of page.token."))
			return
		}
		t.sessions.begin(w, r)
		seeOther(w)
	})
	mux.HandleFunc("POST /sign-out", func(w http.ResponseWriter, r *http.Request) {
		t.sessions.end(w, r)
		seeOther(w)
	})
	for _, verb := range []Verb{Retry, Replay, Pause, Resume} {
		mux.HandleFunc("POST /"+string(verb), func(w http.ResponseWriter, r *http.Request) { s.act(ctx, w, r, verb) })
	}
}

// visitor returns for whom a page is written.
func (s *Server) visitor(r *http.Request) visitor {
	if s.steering == nil {
		return visitor{}
	}
	last, signedIn := s.steering.sessions.of(r)
	return visitor{steers: true, signedIn: signedIn, last: last}
}

// cookieOf returns the name of the cookie: browsers send the cookies of one port to all others
// of a machine, and each may have a page.
func cookieOf(listener net.Listener) string {
	_, port, _ := net.SplitHostPort(listener.Addr().String()) // without a port it is the only one
	return "ampipe-" + port
}

// form reads the form of a request, and bounds its size and its time.
func form(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			connection := http.NewResponseController(w) // always of this server: it has deadlines
			_ = connection.SetReadDeadline(time.Now().Add(formTimeout))
			r.Body = http.MaxBytesReader(w, r.Body, formBytes)
			err := r.ParseForm()
			if err != nil {
				http.Error(w, "the form cannot be read", http.StatusBadRequest)
				return
			}
			_ = connection.SetReadDeadline(time.Time{}) // else the request ends then
		}
		next.ServeHTTP(w, r)
	})
}

// act does what a button asks for, and has the page say what became of it. A replay that was
// not confirmed is only described.
func (s *Server) act(ctx context.Context, w http.ResponseWriter, r *http.Request, verb Verb) {
	t := s.steering
	if _, signedIn := t.sessions.of(r); !signedIn {
		writeNotice(w, http.StatusForbidden,
			signInNotice("Nothing was done: sign in first. A session ends after 12 hours, and when ampipe is started again."))
		return
	}
	a := Action{
		Verb: verb, Pipeline: r.PostForm.Get("pipeline"), Sink: r.PostForm.Get("sink"), Blocks: r.PostForm.Get("blocks"),
		DryRun: verb == Replay && r.PostForm.Get("confirmed") != "yes",
	}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(actionTimeout + sendWait))
	select {
	case t.turn <- struct{}{}:
		defer func() { <-t.turn }()
	case <-r.Context().Done():
		return
	}
	// It is finished though the browser goes, as a command is.
	ctx, cancel := context.WithTimeout(ctx, actionTimeout)
	defer cancel()
	said, err := t.do(ctx, a)
	done := outcome{at: time.Now(), action: a, said: said}
	if err != nil {
		done.err = err.Error()
	}
	if a.DryRun && err == nil {
		writeNotice(w, http.StatusOK, confirmNotice(a, said))
		return
	}
	s.changed.Store(true)
	t.sessions.keep(r, done)
	seeOther(w)
}

// seeOther sends the browser to the page, so that loading it again repeats nothing. The
// address is relative: a proxy may have the page in a folder.
func seeOther(w http.ResponseWriter) {
	w.Header().Set("Location", "./")
	w.WriteHeader(http.StatusSeeOther)
}

// atIntervals returns f for many calls at once, of which one at a time counts.
func atIntervals(f func(string), every time.Duration) func(string) {
	turn := make(chan time.Time, 1)
	turn <- time.Time{}
	return func(text string) {
		last := <-turn
		if now := time.Now(); now.Sub(last) >= every {
			last = now
			f(text)
		}
		turn <- last
	}
}
