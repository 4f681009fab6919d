package amp_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/amp/amptest"
	"github.com/ampipe/ampipe/pkg/fault"
)

// loginService is the service that refreshes tokens. Each refresh token is good
// for one use, as in the real one.
type loginService struct {
	*httptest.Server
	mu       sync.Mutex
	refreshs int
	current  string                    // the refresh token that is good
	answer   func(http.ResponseWriter) // if not nil, instead of a refresh
}

func startLogin(t *testing.T) *loginService {
	t.Helper()
	s := &loginService{current: "refresh-0"}
	s.Server = httptest.NewServer(http.HandlerFunc(s.handle))
	t.Cleanup(func() {
		s.Client().CloseIdleConnections()
		s.Close()
	})
	return s
}

func (s *loginService) handle(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.answer != nil {
		s.answer(w)
		return
	}
	var request map[string]string
	if json.NewDecoder(r.Body).Decode(&request) != nil || r.Method != http.MethodPost || request["user_id"] != "did:privy:me" ||
		request["refresh_token"] != s.current || r.Header.Get("Authorization") != "Bearer access-"+strconv.Itoa(s.refreshs) {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	s.refreshs++
	s.current = "refresh-" + strconv.Itoa(s.refreshs)
	fmt.Fprintf(w, `{"token":"access-%d","refresh_token":%q,"session_update_action":"set","expires_in":3600,"user":{"id":"did:privy:me","accounts":null}}`,
		s.refreshs, s.current)
}

// count is how many refreshes there were.
func (s *loginService) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refreshs
}

// tokenFile writes a file as the CLI does, with a token that ends then.
func tokenFile(t *testing.T, ends time.Time) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "amp_cli_auth")
	text := fmt.Sprintf(`{"accessToken":"access-0","refreshToken":"refresh-0","userId":"did:privy:me","accounts":["0xabc"],"expiry":%d,"theirs":{"kept":true}}`,
		ends.UnixMilli())
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// setupLogin returns a server that accepts only the given tokens, and the client of a
// token file.
func setupLogin(t *testing.T, path string, accepted func(token string) bool) (*loginService, *amptest.Server, func() *amp.Client) {
	t.Helper()
	login := startLogin(t)
	srv := amptest.Start(t, nil)
	srv.On(query, amptest.Batch(amptest.Schema, nil))
	srv.Authorize(func(_, token string) bool { return accepted(token) })
	return login, srv, func() *amp.Client {
		return open(t, amp.Config{URL: srv.URL(), TokenFile: path, RefreshURL: login.URL, HTTP: login.Client()})
	}
}

func TestTokenFileThatIsFresh(t *testing.T) {
	t.Parallel()
	path := tokenFile(t, time.Now().Add(time.Hour))
	login, _, client := setupLogin(t, path, func(token string) bool { return token == "access-0" })
	if _, err := collect(t.Context(), t, client(), query); err != nil {
		t.Error(err)
	}
	if login.count() != 0 {
		t.Error("a fresh token was refreshed")
	}
}

// TestTokenFileIsRefreshedOnce lets many goroutines of several clients, which
// stand for processes, meet a token that is about to expire.
func TestTokenFileIsRefreshedOnce(t *testing.T) {
	t.Parallel()
	path := tokenFile(t, time.Now().Add(4*time.Minute))
	login, _, client := setupLogin(t, path, func(token string) bool { return token == "access-1" })
	var wg sync.WaitGroup
	for range 4 {
		c := client()
		for range 4 {
			wg.Go(func() {
				if _, err := c.Info(t.Context(), query); err != nil {
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
	if n := login.count(); n != 1 {
		t.Errorf("%d refreshes, want 1", n)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file has mode %v, %v", info.Mode(), err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var written struct {
		AccessToken, RefreshToken, UserID string
		Accounts                          []string
		Expiry                            int64
		Theirs                            struct{ Kept bool }
	}
	if err := json.Unmarshal(text, &written); err != nil {
		t.Fatal(err)
	}
	left := time.Until(time.UnixMilli(written.Expiry))
	if written.AccessToken != "access-1" || written.RefreshToken != "refresh-1" || written.UserID != "did:privy:me" ||
		written.Accounts == nil || !written.Theirs.Kept || left < 58*time.Minute || left > time.Hour {
		t.Errorf("the file holds %s", text)
	}
	files, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(files) != 2 { // the file and its lock
		t.Errorf("left behind: %v, %v", files, err)
	}
}

func TestTokenFileWithoutExpiryOrAccountsIsRefreshed(t *testing.T) {
	t.Parallel()
	for _, without := range []string{`"accounts":["0xabc"],`, `,"expiry":` + strconv.FormatInt(time.Unix(4e9, 0).UnixMilli(), 10)} {
		path := tokenFile(t, time.Unix(4e9, 0))
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(strings.Replace(string(text), without, "", 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		login, _, client := setupLogin(t, path, func(token string) bool { return token == "access-1" })
		c := client()
		for range 2 {
			if _, err := c.Info(t.Context(), query); err != nil {
				t.Error(err)
			}
		}
		if n := login.count(); n != 1 {
			t.Errorf("without %s: %d refreshes, want 1", without, n)
		}
	}
}

// TestRefusedTokenIsRefreshed lets a token run out between GetFlightInfo and DoGet,
// though the file says that it is good for an hour.
func TestRefusedTokenIsRefreshed(t *testing.T) {
	t.Parallel()
	path := tokenFile(t, time.Now().Add(time.Hour))
	login, srv, client := setupLogin(t, path, nil)
	srv.Authorize(func(method, token string) bool { return token == "access-1" || method == "GetFlightInfo" })
	if _, err := collect(t.Context(), t, client(), query); err != nil {
		t.Error(err)
	}
	if n := login.count(); n != 1 {
		t.Errorf("%d refreshes, want 1", n)
	}
}

func TestTokenRefusedAgain(t *testing.T) {
	t.Parallel()
	path := tokenFile(t, time.Now().Add(time.Hour))
	login, _, client := setupLogin(t, path, func(string) bool { return false })
	_, err := client().Info(t.Context(), query)
	if fault.Of(err) != fault.ClassPermanent || !strings.Contains(err.Error(), "log in again") {
		t.Errorf("%v (%v)", err, fault.Of(err))
	}
	if n := login.count(); n != 1 {
		t.Errorf("%d refreshes, want 1", n)
	}
	checkNoSecret(t, err)
}

func TestRefreshFails(t *testing.T) {
	t.Parallel()
	reply := func(code int, header, body string) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) {
			if header != "" {
				w.Header().Set("Retry-After", header)
			}
			w.WriteHeader(code)
			_, _ = io.WriteString(w, body)
		}
	}
	date := time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)
	for name, c := range map[string]struct {
		answer      func(http.ResponseWriter)
		class       fault.Class
		least, most time.Duration // of the pause
		says        string
	}{
		"401":            {reply(401, "", `{"error_description":"token access-0 revoked, refresh-0 too"}`), fault.ClassPermanent, 0, 0, "revoked"},
		"403":            {reply(403, "", ``), fault.ClassPermanent, 0, 0, "log in again"},
		"400":            {reply(400, "", `{"error_description":"bad request"}`), fault.ClassPermanent, 0, 0, "bad request"},
		"429 in seconds": {reply(429, "7", ``), fault.ClassLater, 7 * time.Second, 7 * time.Second, "429"},
		"429 at a date":  {reply(429, date, ``), fault.ClassLater, 58 * time.Minute, time.Hour, "429"},
		"429":            {reply(429, "soon", ``), fault.ClassLater, time.Minute, time.Minute, "429"},
		"500":            {reply(500, "", `access-0`), fault.ClassAgain, 0, 0, "500"},
		"not JSON":       {reply(200, "", `refresh-0`), fault.ClassAgain, 0, 0, "cannot be read"},
		"no token":       {reply(200, "", `{"expires_in":3600,"user":{"id":"did:privy:me"}}`), fault.ClassAgain, 0, 0, "cannot be read"},
		"another user":   {reply(200, "", `{"token":"secret-x","expires_in":3600,"user":{"id":"other"}}`), fault.ClassPermanent, 0, 0, "another user"},
	} {
		path := tokenFile(t, time.Now())
		before, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		login, _, client := setupLogin(t, path, func(string) bool { return true })
		login.answer = c.answer
		_, err = client().Info(t.Context(), query)
		if pause := fault.After(err); fault.Of(err) != c.class || pause < c.least || pause > c.most || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v (%v after %v)", name, err, fault.Of(err), pause)
		}
		checkNoSecret(t, err)
		if after, err := os.ReadFile(path); err != nil || string(after) != string(before) {
			t.Errorf("%s: the file was changed to %s (%v)", name, after, err)
		}
	}
}

func TestLoginServiceIsAway(t *testing.T) {
	t.Parallel()
	login, _, client := setupLogin(t, tokenFile(t, time.Now()), func(string) bool { return true })
	c := client()
	login.Close()
	_, err := c.Info(t.Context(), query)
	if fault.Of(err) != fault.ClassLater {
		t.Errorf("%v (%v)", err, fault.Of(err))
	}
	checkNoSecret(t, err)
}

func TestTokenFileThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	for name, text := range map[string]string{
		"missing":   "",
		"not JSON":  `secret-x`,
		"list":      `["secret-x"]`,
		"no user":   `{"accessToken":"secret-x","refreshToken":"refresh-0"}`,
		"odd types": `{"accessToken":"secret-x","refreshToken":7,"userId":"u"}`,
	} {
		path := filepath.Join(folder, name)
		if text != "" {
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		_, err := amp.Open(t.Context(), amp.Config{URL: "grpc://localhost", TokenFile: path})
		if fault.Of(err) != fault.ClassPermanent || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "log in") {
			t.Errorf("%s: %v (%v)", name, err, fault.Of(err))
		}
		checkNoSecret(t, err)
	}
}

// checkNoSecret fails if a token stands anywhere in the chain of an error.
func checkNoSecret(t *testing.T, err error) {
	t.Helper()
	for ; err != nil; err = errors.Unwrap(err) {
		for _, secret := range []string{"access-", "refresh-", "secret-"} {
			if text := fmt.Sprintf("%v %+v", err, err); strings.Contains(text, secret) {
				t.Errorf("a token shows in %q", text)
			}
		}
	}
}
