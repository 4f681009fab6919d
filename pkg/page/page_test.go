package page_test

import (
	"errors"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/ampipe/ampipe/pkg/page"
	"github.com/ampipe/ampipe/pkg/status"
)

// TestContents: the page has the sentence of status, and everything that it stands on.
func TestContents(t *testing.T) {
	t.Parallel()
	v := viewOf(facts(1000))
	answer, html := serve(t, v).get("/")
	if answer.StatusCode != http.StatusOK || answer.Header.Get("Content-Type") != "text/html; charset=utf-8" {
		t.Errorf("%s %v", answer.Status, answer.Header)
	}
	text := words(html)
	for what, want := range map[string]string{
		"level":     "degraded " + v.Sentence,
		"next":      "Next: " + v.Next,
		"facts":     "history [0, 100000), 99 % loaded partitions 998 done, 1 running, 1 FAILED",
		"live":      "live up to block 100,009",
		"map":       "read 99 %, 100 failed lake 99 % warehouse 99 % 0 100,000",
		"sinks":     "lake loading 99 %",
		"failed":    `[100, 200) 3 column "name" holds <script>alert(1)</script> 1 in all.`,
		"retry":     "ampipe retry eth-logs --all",
		"reorgs":    "60 s ago 100,007 3 not known",
		"processes": "run running node-1 77 v1.2.3 60 m 2.0 s ago",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%s: the page lacks %q:\n%s", what, want, text)
		}
	}
	if strings.Contains(html, "<script>alert") {
		t.Error("an error of a partition is a script in the page")
	}
	// What is drawn has a text, what scrolls can be reached by the keyboard and has a name.
	for _, svg := range regexp.MustCompile(`<svg[^>]*>`).FindAllString(html, -1) {
		if !strings.Contains(svg, `role="img" aria-label="`) {
			t.Errorf("%s has no text", svg)
		}
	}
	for _, name := range regexp.MustCompile(`tabindex="0" role="region" id="[^"]+" aria-labelledby="([^"]+)"`).FindAllStringSubmatch(html, -1) {
		if !strings.Contains(html, `<h3 id="`+name[1]+`">`) {
			t.Errorf("a table is named by %q, which is not there", name[1])
		}
	}
	if n := strings.Count(html, `class="scroll"`); n != 4 || strings.Count(html, `role="region"`) != n {
		t.Errorf("%d tables can be scrolled, want 4, each a region", n)
	}
	if want := `aria-label="read: 99 %, 100 failed, 100 in partitions that are being read"`; !strings.Contains(html, want) {
		t.Errorf("the map lacks %s", want)
	}
	// Of the 625 blocks of the first piece 100 are being read, 100 have failed.
	for _, path := range []string{
		`<path class="lost" d="M0 0h1v1h-1z"/>`, `<path class="reading" d="M0 2h1v6h-1z"/>`, `<path class="read" d="M0 3h1v5h-1zM1 0h159v8h-159z"/>`, `<path class="held" d="M0 3h1v5h-1zM1 0h159v8h-159z"/>`,
	} {
		if !strings.Contains(html, path) {
			t.Errorf("the map lacks %s", path)
		}
	}
}

// TestSeveralPipelines: the first words are about the worst of them.
func TestSeveralPipelines(t *testing.T) {
	t.Parallel()
	other := facts(3)
	other.Name = "eth-blocks"
	unseen := page.View{Overview: status.Summarize([]status.Pipeline{status.Build(other, status.Options{}), status.Unseen("x", errors.New("NATS is <away>"))})}
	for name, c := range map[string]struct {
		view page.View
		want []string
	}{
		"two":         {viewOf(facts(10), other), []string{`id="p0-map"`, `id="p1-map"`, "eth-blocks"}},
		"one unseen":  {unseen, []string{"failed x: it cannot be seen how the pipeline is: NATS is <away>", "eth-blocks"}},
		"never begun": {viewOf(status.Facts{Name: "p", Now: now}), []string{"failed nothing was started yet"}},
	} {
		_, html := serve(t, c.view).get("/")
		for _, want := range c.want {
			if !strings.Contains(words(html), want) && !strings.Contains(html, want) {
				t.Errorf("%s: the page lacks %q:\n%s", name, want, words(html))
			}
		}
		if strings.Contains(html, "cannot be shown") {
			t.Errorf("%s: %s", name, words(html))
		}
	}
}

// TestItLoadsNothingFromElsewhere: all that the page names is of the server itself.
func TestItLoadsNothingFromElsewhere(t *testing.T) {
	t.Parallel()
	s := serve(t, viewOf(facts(10)))
	answer, html := s.get("/")
	if policy := answer.Header.Get("Content-Security-Policy"); !strings.HasPrefix(policy, "default-src 'none'; script-src 'self';") {
		t.Errorf("the policy is %q", policy)
	}
	if regexp.MustCompile(`(?i)https?://|<script>| style="| on[a-z]+="`).MatchString(html) {
		t.Errorf("the page needs what the policy forbids:\n%s", html)
	}
	named := regexp.MustCompile(`(?:src|href)="(assets/[^"]+)"`).FindAllStringSubmatch(html, -1)
	if len(named) != 5 {
		t.Errorf("the page names %q", named)
	}
	for _, m := range named {
		answer, body := s.get("/" + m[1])
		if answer.StatusCode != http.StatusOK || len(body) < 500 || answer.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %s, %d bytes", m[1], answer.Status, len(body))
		}
	}
	if _, licence := s.get("/assets/uplot.LICENSE"); !strings.Contains(licence, "The MIT License (MIT)") {
		t.Errorf("the licence of the charts is %q", licence)
	}
	for path, want := range map[string]int{"/other": http.StatusNotFound, "/assets/": http.StatusNotFound, "/assets/page.html": http.StatusNotFound} {
		if answer, _ := s.get(path); answer.StatusCode != want {
			t.Errorf("%s: %s", path, answer.Status)
		}
	}
}

// TestOtherSitesGetNothing tries what a page of another site can have a browser ask.
func TestOtherSitesGetNothing(t *testing.T) {
	t.Parallel()
	s := serve(t, viewOf(facts(10)))
	port := s.url[strings.LastIndex(s.url, ":"):]
	for _, c := range []struct {
		what    string
		headers []string
		want    int
	}{
		{"the address bar", []string{"Sec-Fetch-Site", "none", "Sec-Fetch-Mode", "navigate"}, 200},
		{"the page itself", []string{"Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "cors"}, 200},
		{"a link", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate"}, 200},
		{"a script", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors"}, 403},
		{"a neighbour", []string{"Sec-Fetch-Site", "same-site", "Sec-Fetch-Mode", "cors"}, 403},
		{"localhost", []string{"Host", "localhost" + port}, 200},
		{"localhost of a proxy", []string{"Host", "LOCALHOST."}, 200},
		{"loopback", []string{"Host", "127.9.9.9" + port}, 200},
		{"loopback of IPv6", []string{"Host", "[::1]" + port}, 200},
		{"a name that was bound to loopback", []string{"Host", "evil.example" + port}, 403},
		{"a name like localhost", []string{"Host", "localhost.evil.example"}, 403},
		{"an address of the network", []string{"Host", "10.0.0.1" + port}, 403},
	} {
		for _, path := range []string{"/", "/assets/page.js"} {
			if answer, body := s.get(path, c.headers...); answer.StatusCode != c.want {
				t.Errorf("%s, %s: %s %s, want %d", c.what, path, answer.Status, body, c.want)
			}
		}
	}
	answer, err := http.Post(s.url+"/", "text/plain", nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: %s", answer.Status)
	}
}

// TestManyPartitions renders a page of 10,000 partitions in less than 50 ms, and of a million
// one that is no larger.
func TestManyPartitions(t *testing.T) {
	t.Parallel()
	many, best, size := facts(10_000), time.Hour, 0
	for range 5 {
		began := time.Now()
		html := page.Render(viewOf(many))
		best, size = min(best, time.Since(began)), len(html)
	}
	t.Logf("10,000 partitions: %v, %d bytes", best, size)
	if best > 50*time.Millisecond {
		t.Errorf("10,000 partitions take %v", best)
	}
	million, began := facts(1_000_000), time.Now()
	larger := len(page.Render(viewOf(million)))
	t.Logf("1,000,000 partitions: %v, %d bytes", time.Since(began), larger)
	if larger > size+1000 {
		t.Errorf("the page of 1,000,000 partitions has %d bytes, that of 10,000 has %d", larger, size)
	}
}
