package page

import (
	"crypto/rand"
	"crypto/sha256"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	sessionTime  = 12 * time.Hour
	mostSessions = 64
	// outcomeTime is how long the page says what became of the last button.
	outcomeTime = 5 * time.Minute
)

// sessions are the browsers that have signed in. They are in memory: when the process is
// started again they have to sign in again.
type sessions struct {
	cookie string // its name

	mu  sync.Mutex
	all map[[sha256.Size]byte]*session // by the hash of what the cookie holds
}

// session is a browser that has signed in.
type session struct {
	ends time.Time
	last outcome
}

// outcome is what became of a button.
type outcome struct {
	at     time.Time // zero: none was pressed
	action Action
	said   string // what the command prints
	err    string
	shown  bool
}

// begin signs a browser in. The cookie holds a number that is good for nothing else, is not
// sent along by pages of other sites, and is not seen by scripts.
func (s *sessions) begin(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == nil {
		s.all = map[[sha256.Size]byte]*session{}
	}
	now := time.Now()
	maps.DeleteFunc(s.all, func(_ [sha256.Size]byte, one *session) bool { return !now.Before(one.ends) })
	if len(s.all) >= mostSessions {
		oldest := slices.MinFunc(slices.Collect(maps.Values(s.all)), func(a, b *session) int { return a.ends.Compare(b.ends) })
		maps.DeleteFunc(s.all, func(_ [sha256.Size]byte, one *session) bool { return one == oldest })
	}
	value := rand.Text()
	s.all[sha256.Sum256([]byte(value))] = &session{ends: now.Add(sessionTime)}
	s.set(w, r, value, int(sessionTime.Seconds()))
}

// end signs a browser out.
func (s *sessions) end(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if key, ok := s.key(r); ok {
		delete(s.all, key)
	}
	s.set(w, r, "", -1)
}

// set sends the cookie. Where a proxy brings TLS it is for TLS only.
func (s *sessions) set(w http.ResponseWriter, r *http.Request, value string, maxAge int) {
	http.SetCookie(w, &http.Cookie{
		Name: s.cookie, Value: value, Path: "/", MaxAge: maxAge,
		HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: strings.HasPrefix(r.Header.Get("Origin"), "https://"),
	})
}

// key returns the key of a browser's session, if it is signed in.
func (s *sessions) key(r *http.Request) (key [sha256.Size]byte, ok bool) {
	cookie, err := r.Cookie(s.cookie)
	if err != nil {
		return key, false
	}
	key = sha256.Sum256([]byte(cookie.Value))
	one := s.all[key]
	return key, one != nil && time.Now().Before(one.ends)
}

// of returns what became of the last button of a browser, and whether it is signed in.
func (s *sessions) of(r *http.Request) (last outcome, signedIn bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key, ok := s.key(r)
	if !ok {
		return outcome{}, false
	}
	last = s.all[key].last
	if time.Since(last.at) > outcomeTime {
		return outcome{}, true
	}
	s.all[key].last.shown = true
	return last, true
}

// keep keeps what became of a button for the page that follows.
func (s *sessions) keep(r *http.Request, o outcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if key, ok := s.key(r); ok {
		s.all[key].last = o
	}
}
