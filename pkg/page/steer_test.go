package page_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/ampipe/ampipe/pkg/page"
)

const token = "0123456789abcdef"

// pressed is what the buttons of a page have asked for.
type pressed struct {
	mu      sync.Mutex
	actions []page.Action
	from    []string // of wrong tokens
	said    string
	err     error
}

func (p *pressed) options() page.Options {
	return page.Options{
		Token: token,
		Do: func(_ context.Context, a page.Action) (string, error) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.actions = append(p.actions, a)
			return p.said, p.err
		},
		Refused: func(from string) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.from = append(p.from, from)
		},
	}
}

func (p *pressed) take() []page.Action {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := p.actions
	p.actions = nil
	return all
}

// signIn returns the cookie of a session.
func (s *site) signIn() string {
	s.Helper()
	answer, body := s.post("/sign-in", "token="+token)
	cookies := answer.Cookies()
	if answer.StatusCode != http.StatusSeeOther || answer.Header.Get("Location") != "./" || len(cookies) != 1 {
		s.Fatalf("signing in: %s %v\n%s", answer.Status, answer.Header, body)
	}
	c := cookies[0]
	if !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Secure || strings.Contains(c.Value, token) || len(c.Value) < 26 {
		s.Errorf("the cookie is %v", c)
	}
	return c.Name + "=" + c.Value
}

const pauseLake = "pipeline=eth-logs&sink=lake"

// TestWithoutATokenThePageIsReadOnly: there is no form, and nothing to send one to.
func TestWithoutATokenThePageIsReadOnly(t *testing.T) {
	t.Parallel()
	s := serve(t, viewOf(facts(10)))
	if _, html := s.get("/"); strings.Contains(html, "<form") || strings.Contains(html, "sign-in") {
		t.Errorf("the page has a form:\n%s", html)
	}
	for _, path := range []string{"/sign-in", "/sign-out", "/retry", "/replay", "/pause", "/resume"} {
		if answer, _ := s.post(path, "token=&"+pauseLake); answer.StatusCode != http.StatusNotFound {
			t.Errorf("POST %s: %s", path, answer.Status)
		}
	}
}

// TestButtonsNeedTheToken presses every button in every way but the right one.
func TestButtonsNeedTheToken(t *testing.T) {
	t.Parallel()
	var p pressed
	s := serveWith(t, viewOf(facts(10)), p.options())
	_, signedOut := s.get("/")
	if !strings.Contains(signedOut, `<a href="sign-in">Sign in</a>`) || strings.Contains(signedOut, `class="signed-in"`) {
		t.Errorf("before signing in: %s", signedOut)
	}
	for _, form := range []string{"", "token=", "token=0123456789abcdee", "token=" + token + "0", "token=%00"} {
		answer, html := s.post("/sign-in", form)
		if answer.StatusCode != http.StatusForbidden || len(answer.Cookies()) > 0 || !strings.Contains(html, "This is not the token of page.token.") {
			t.Errorf("%q: %s %v", form, answer.Status, answer.Cookies())
		}
	}
	p.mu.Lock()
	if len(p.from) != 1 || !strings.HasPrefix(p.from[0], "127.0.0.1:") { // the others come within a minute
		t.Errorf("of wrong tokens %q is told", p.from)
	}
	p.mu.Unlock()
	if answer, _ := s.get("/sign-in?token=" + token); len(answer.Cookies()) > 0 {
		t.Error("a token in the address signs in")
	}
	if answer, _ := s.post("/sign-in?token="+token, ""); answer.StatusCode != http.StatusForbidden {
		t.Errorf("a token in the address of a POST: %s", answer.Status)
	}
	if answer, _ := s.post("/sign-in", "token="+token+"&x="+strings.Repeat("y", 1<<20)); answer.StatusCode != http.StatusBadRequest {
		t.Errorf("a form of a megabyte: %s", answer.Status)
	}
	cookie := s.signIn()
	name, _, _ := strings.Cut(cookie, "=")
	for _, verb := range []string{"retry", "replay", "pause", "resume"} {
		for what, headers := range map[string][]string{
			"no cookie": nil, "an empty one": {"Cookie", name + "="}, "another": {"Cookie", name + "=AAAAAAAAAAAAAAAAAAAAAAAAAA"},
			"the token": {"Cookie", name + "=" + token}, "that of another port": {"Cookie", strings.Replace(cookie, "=", "0=", 1)},
		} {
			answer, html := s.post("/"+verb, pauseLake+"&blocks=all&confirmed=yes&token="+token, headers...)
			if answer.StatusCode != http.StatusForbidden || !strings.Contains(html, "Nothing was done: sign in first.") {
				t.Errorf("%s with %s: %s", verb, what, answer.Status)
			}
		}
		if answer, _ := s.get("/"+verb+"?"+pauseLake+"&blocks=all&confirmed=yes", "Cookie", cookie); answer.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("GET of %s: %s", verb, answer.Status)
		}
	}
	if _, html := s.get("/", "Cookie", cookie); !strings.Contains(html, `class="signed-in"`) || strings.Contains(html, token) {
		t.Errorf("after signing in: %s", html)
	}
	s.post("/sign-out", "", "Cookie", cookie)
	if answer, _ := s.post("/pause", pauseLake, "Cookie", cookie); answer.StatusCode != http.StatusForbidden {
		t.Errorf("after signing out: %s", answer.Status)
	}
	if all := p.take(); len(all) > 0 {
		t.Errorf("%+v were done", all)
	}
}

// TestOtherSitesPressNoButton has pages of other sites send the forms of somebody who has
// signed in.
func TestOtherSitesPressNoButton(t *testing.T) {
	t.Parallel()
	var p pressed
	s := serveWith(t, viewOf(facts(10)), p.options())
	cookie, host := s.signIn(), strings.TrimPrefix(s.url, "http://")
	for _, c := range []struct {
		what    string
		headers []string
		want    int
	}{
		{"the page itself", []string{"Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "navigate", "Origin", s.url}, 303},
		{"where a browser says only the origin", []string{"Origin", s.url}, 303},
		{"a form of another site", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Origin", "https://evil.example"}, 403},
		{"a form of another port", []string{"Sec-Fetch-Site", "same-site", "Sec-Fetch-Mode", "navigate", "Origin", "http://127.0.0.1:1"}, 403},
		{"a script of another site", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors"}, 403},
		{"another site, in a browser that says only the origin", []string{"Origin", "http://evil.example"}, 403},
		{"another port, there", []string{"Origin", "http://127.0.0.1:1"}, 403},
		{"a page without an origin, there", []string{"Origin", "null"}, 403},
		{"a name that was bound to loopback", []string{"Host", "evil.example", "Origin", "http://evil.example", "Sec-Fetch-Site", "same-origin"}, 403},
		{"a name that begins like ours", []string{"Host", "127.0.0.1.evil.example", "Sec-Fetch-Site", "same-origin"}, 403},
		{"a port that is none", []string{"Host", host + ".evil.example", "Sec-Fetch-Site", "same-origin"}, 403},
	} {
		for _, path := range []string{"/pause", "/resume", "/retry"} {
			if answer, body := s.post(path, pauseLake, append(c.headers, "Cookie", cookie)...); answer.StatusCode != c.want {
				t.Errorf("%s, %s: %s %s, want %d", c.what, path, answer.Status, body, c.want)
			}
		}
		want := 0
		if c.want == 303 {
			want = 3
		}
		if all := p.take(); len(all) != want {
			t.Errorf("%s: %+v were done", c.what, all)
		}
	}
	answer, _ := s.get("/", "Cookie", cookie)
	for name, want := range map[string]string{"X-Frame-Options": "DENY", "Referrer-Policy": "same-origin", "Cache-Control": "no-store"} {
		if got := answer.Header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if policy := answer.Header.Get("Content-Security-Policy"); !strings.Contains(policy, "form-action 'self'; frame-ancestors 'none'") {
		t.Errorf("the policy is %q", policy)
	}
}

// TestAButtonSaysWhatTheCommandSays: once by itself, and then it stays for a while.
func TestAButtonSaysWhatTheCommandSays(t *testing.T) {
	t.Parallel()
	p := pressed{said: "eth-logs: sink lake <is> paused\nsecond line"}
	s := serveWith(t, viewOf(facts(10)), p.options())
	cookie := s.signIn()
	if answer, _ := s.post("/pause", pauseLake, "Cookie", cookie); answer.StatusCode != http.StatusSeeOther {
		t.Errorf("pause: %s", answer.Status)
	}
	if got, want := p.take(), []page.Action{{Verb: page.Pause, Pipeline: "eth-logs", Sink: "lake"}}; !slices.Equal(got, want) {
		t.Errorf("%+v were done, want %+v", got, want)
	}
	_, first := s.get("/", "Cookie", cookie)
	_, second := s.get("/", "Cookie", cookie)
	_, other := s.get("/", "Cookie", s.signIn())
	for i, html := range []string{first, second} {
		if text := words(html); !strings.Contains(text, "UTC: done eth-logs: sink lake <is> paused second line") || strings.Contains(html, "<is>") {
			t.Errorf("%s", text)
		}
		if got := strings.Contains(html, " autofocus>"); got != (i == 0) {
			t.Errorf("look %d: the focus is there: %v", i+1, got)
		}
	}
	if strings.Contains(other, "second line") {
		t.Error("somebody else is told, too")
	}
	p.err = errors.New("no <way>\nsecond error")
	s.post("/retry", "pipeline=eth-logs&blocks=16M:17M", "Cookie", cookie)
	_, html := s.get("/", "Cookie", cookie)
	if text := words(html); !strings.Contains(text, "retry eth-logs, ") || !strings.Contains(text, ": not done eth-logs: sink lake <is> paused second line no <way> second error") {
		t.Errorf("%s", text)
	}
	if got, want := p.take(), []page.Action{{Verb: page.Retry, Pipeline: "eth-logs", Blocks: "16M:17M"}}; !slices.Equal(got, want) {
		t.Errorf("%+v were done, want %+v", got, want)
	}
}

// TestAReplayAsksFirst: the first form only says what would be done.
func TestAReplayAsksFirst(t *testing.T) {
	t.Parallel()
	p := pressed{said: "eth-logs: 100 blocks are removed"}
	s := serveWith(t, viewOf(facts(10)), p.options())
	cookie := s.signIn()
	answer, html := s.post("/replay", pauseLake+`&blocks="><script>`, "Cookie", cookie)
	if text := words(html); answer.StatusCode != 200 || !strings.Contains(text, "Replay lake of eth-logs? eth-logs: 100 blocks are removed") ||
		strings.Contains(html, "<script>") || !strings.Contains(html, `name="blocks" value="&#34;&gt;&lt;script&gt;"`) {
		t.Errorf("%s %s", answer.Status, html)
	}
	want := page.Action{Verb: page.Replay, Pipeline: "eth-logs", Sink: "lake", Blocks: `"><script>`, DryRun: true}
	if got := p.take(); !slices.Equal(got, []page.Action{want}) {
		t.Errorf("%+v were done, want %+v", got, want)
	}
	answer, _ = s.post("/replay", pauseLake+"&blocks=all&confirmed=yes", "Cookie", cookie)
	want.Blocks, want.DryRun = "all", false
	if got := p.take(); !slices.Equal(got, []page.Action{want}) || answer.StatusCode != http.StatusSeeOther {
		t.Errorf("%s: %+v were done, want %+v", answer.Status, got, want)
	}
	p.err = errors.New("somebody else has just asked")
	if answer, _ := s.post("/replay", pauseLake+"&blocks=all", "Cookie", cookie); answer.StatusCode != http.StatusSeeOther {
		t.Errorf("of a replay that is refused is asked: %s", answer.Status)
	}
}

// TestAnActionIsFinishedThoughTheBrowserGoes: as a command is, and the next one waits for it.
func TestAnActionIsFinishedThoughTheBrowserGoes(t *testing.T) {
	t.Parallel()
	var p pressed
	o := p.options()
	begun, finish, ended := make(chan page.Verb), make(chan struct{}), make(chan error, 2)
	one := make(chan struct{}, 1)
	o.Do = func(ctx context.Context, a page.Action) (string, error) {
		select {
		case one <- struct{}{}:
			defer func() { <-one }()
		default:
			t.Error("two are done at a time")
		}
		begun <- a.Verb
		<-finish
		ended <- ctx.Err()
		return "", nil
	}
	s := serveWith(t, viewOf(facts(10)), o)
	cookie := s.signIn()
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan struct{})
	go func() {
		defer close(left)
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/pause", strings.NewReader(pauseLake))
		if err != nil {
			t.Error(err)
			return
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Cookie", cookie)
		if answer, err := http.DefaultClient.Do(r); err == nil {
			_ = answer.Body.Close()
			t.Errorf("it was answered before it was done: %s", answer.Status)
		}
	}()
	<-begun
	leave()
	<-left
	next := make(chan int, 1)
	go func() {
		answer, _ := s.post("/resume", pauseLake, "Cookie", cookie)
		next <- answer.StatusCode
	}()
	close(finish)
	if err := <-ended; err != nil {
		t.Errorf("it was ended: %v", err)
	}
	if verb := <-begun; verb != page.Resume {
		t.Errorf("the next one is %s", verb)
	}
	if code := <-next; code != http.StatusSeeOther {
		t.Errorf("the next one: %d", code)
	}
}

// TestFormsHaveNames: each field has a label, each button words of its own.
func TestFormsHaveNames(t *testing.T) {
	t.Parallel()
	html := page.Render(viewOf(facts(10)))
	for _, want := range []string{
		`<label for="p0-retry">Failed blocks</label> <input id="p0-retry" name="blocks"`, `>Retry</button>`,
		`<label for="p0-replay-1">Blocks of warehouse</label> <input id="p0-replay-1" name="blocks"`,
		`>Pause lake</button>`, `>Pause warehouse</button>`, `>Replay lake…</button>`, `>Replay warehouse…</button>`,
	} {
		if !strings.Contains(html, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	if n := strings.Count(html, "<form "); n != strings.Count(html, `<form method="post" `) || n != 6 {
		t.Errorf("%d forms, want 6 that are posted", n)
	}
}

// TestFurtherRoutes: what else the listener answers has the same guard.
func TestFurtherRoutes(t *testing.T) {
	t.Parallel()
	s := serveWith(t, viewOf(facts(10)), page.Options{Routes: map[string]http.Handler{
		"GET /metrics": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ampipe_up 1")) }),
	}})
	if answer, body := s.get("/metrics"); answer.StatusCode != 200 || body != "ampipe_up 1" {
		t.Errorf("%s %s", answer.Status, body)
	}
	if answer, _ := s.get("/metrics", "Host", "evil.example"); answer.StatusCode != http.StatusForbidden {
		t.Errorf("by another name: %s", answer.Status)
	}
}
