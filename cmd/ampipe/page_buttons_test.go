package main

import (
	"errors"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

const pageToken = "correct-horse-battery-staple"

// answersProbes asks the listener of the page what monitoring and Kubernetes ask.
func (s *site) answersProbes(url string) {
	s.Helper()
	for path, want := range map[string]string{
		"metrics": `ampipe_partitions{pipeline="logs"`, "livez": `"ok": true`, "readyz": `"ok": true`, "healthz": `"sentence": "live; everything loaded; `,
	} {
		var text string
		s.until(path, func() bool {
			text = s.fetch(url + path)
			return strings.Contains(text, want)
		})
	}
}

// visitor is a browser without a script that has signed in.
type visitor struct {
	*testing.T
	http.Client
	url string
}

// press sends a form and returns what the page says then.
func (v *visitor) press(verb string, form url.Values) string {
	v.Helper()
	answer, err := v.PostForm(v.url+verb, form)
	if err != nil {
		v.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		v.Fatalf("%s: %v %s %s", verb, err, answer.Status, body)
	}
	return string(body)
}

var paragraph = regexp.MustCompile(`<p>(.*)</p>`)

// says reports whether each line that a command prints is a paragraph of the page.
func says(page, printed string) bool {
	said := map[string]bool{}
	for _, m := range paragraph.FindAllStringSubmatch(page, -1) {
		said[html.UnescapeString(m[1])] = true
	}
	for line := range strings.Lines(printed) {
		if !said[strings.TrimPrefix(strings.TrimSpace(line), "ampipe: ")] {
			return false
		}
	}
	return printed != ""
}

// pressButtons presses each button of the page of a pipeline that runs, and compares what it
// says with what the command prints.
func (s *site) pressButtons(address string) {
	s.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		s.Fatal(err)
	}
	v := &visitor{T: s.T, Client: http.Client{Jar: jar}, url: address}
	if html := v.press("sign-in", url.Values{"token": {pageToken}}); !strings.Contains(html, "Sign out") {
		s.Fatalf("signing in: %s", html)
	}
	form := func(pairs ...string) url.Values {
		f := url.Values{"pipeline": {"logs"}, "sink": {"lake"}}
		for i := 0; i < len(pairs); i += 2 {
			f.Set(pairs[i], pairs[i+1])
		}
		return f
	}
	if html := v.press("pause", form()); !says(html, "logs: sink lake is paused; ampipe resume lake lets it continue") || !strings.Contains(html, ">Resume lake<") {
		s.Errorf("pause: %s", html)
	}
	s.env = []string{"NATS_USER=planner"} // of commands that change something
	if _, out := s.command(firstMinute, "", "pause", "lake"); !says(v.press("pause", form()), out) {
		s.Errorf("paused again, the page does not say %q", out)
	}
	if html := v.press("resume", form()); !says(html, "logs: sink lake continues") {
		s.Errorf("resume: %s", html)
	}
	s.until("the button that pauses", func() bool { // the sink reports it a moment later
		answer, err := v.Get(v.url)
		if err != nil {
			s.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		if err := errors.Join(err, answer.Body.Close()); err != nil {
			s.Fatal(err)
		}
		return strings.Contains(string(body), ">Pause lake<")
	})
	for what, c := range map[string]struct {
		verb    string
		form    url.Values
		user    string
		command []string
	}{
		"nothing has failed":     {"retry", form("blocks", "all"), "planner", []string{"retry", "--all"}},
		"what a replay would do": {"replay", form("blocks", ":20"), "operator", []string{"replay", "lake", ":20", "--dry-run"}},
	} {
		s.env = []string{"NATS_USER=" + c.user}
		_, out := s.command(firstMinute, "", c.command...)
		if html := v.press(c.verb, c.form); !says(html, out) {
			s.Errorf("%s: the page does not say %q:\n%s", what, out, html)
		}
	}
	for what, c := range map[string]struct {
		form url.Values
		want string
	}{
		"no blocks":        {form("blocks", " "), "name the blocks to load again, such as 16M:17M, or all"},
		"another sink":     {form("sink", "lak", "blocks", "all"), `has no sink &#34;lak&#34;; it has lake`},
		"another pipeline": {form("pipeline", "blocks", "blocks", "all"), `this process does not run pipeline &#34;blocks&#34;`},
	} {
		if html := v.press("replay", c.form); !strings.Contains(html, c.want) || !strings.Contains(html, "not done") {
			s.Errorf("%s: %s", what, html)
		}
	}
	if html := v.press("replay", form("blocks", ":20", "confirmed", "yes")); !says(html, "logs: the sink does it now, beside the live chain") {
		s.Errorf("replay: %s", html)
	}
	s.env = nil
	s.until("the replay is done", func() bool {
		_, out := s.command(firstMinute, "", "replay", "lake", ":20", "--dry-run")
		return strings.Contains(out, "20 blocks of sink lake are removed")
	})
}
