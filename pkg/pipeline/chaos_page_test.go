package pipeline_test

import (
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// chaosToken lets people press the buttons of the pages.
const chaosToken = "chaos-page-token"

var (
	pageURL    = regexp.MustCompile(`"?url"?[=:] ?"?(http://127\.0\.0\.1:\d+/)`)
	pageAnswer = regexp.MustCompile(`(?s)<div id="outcome".*?</div>`)
	pageMarkup = regexp.MustCompile(`<[^>]*>`)
)

// errNoPage says that no process serves the page of a pipeline now.
var errNoPage = errors.New("no process serves the page")

// press signs in to the page of a pipeline, presses a button, and returns what the page says
// then.
func (c *chaos) press(verb, pipeline string, form url.Values) (said string, err error) {
	c.t.Helper()
	address := ""
	for _, p := range c.processes {
		if p.name != "planner "+pipeline && p.command[0] != "ampipe" {
			continue
		}
		if found := pageURL.FindAllStringSubmatch(p.out.String(), -1); len(found) > 0 && !exited(p.process) {
			address = found[len(found)-1][1]
		}
	}
	if address == "" {
		return "", errNoPage
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		return "", err
	}
	client := http.Client{Jar: jar, Timeout: time.Minute}
	send := func(path string, form url.Values) (string, error) {
		answer, err := client.PostForm(address+path, form)
		if err != nil {
			return "", err
		}
		defer func() { _ = answer.Body.Close() }() // it is read
		body, err := io.ReadAll(answer.Body)
		if err == nil && answer.StatusCode != http.StatusOK {
			err = fmt.Errorf("%s: %s", answer.Status, body)
		}
		return string(body), err
	}
	page, err := send("sign-in", url.Values{"token": {chaosToken}})
	if err != nil {
		return "", err
	}
	if !strings.Contains(page, "Sign out") {
		c.t.Errorf("the page of %s does not let anybody in: %s", pipeline, page)
	}
	form.Set("pipeline", pipeline)
	page, err = send(verb, form)
	answer := html.UnescapeString(pageMarkup.ReplaceAllString(pageAnswer.FindString(page), " "))
	return strings.Join(strings.Fields(answer), " "), err
}

// button presses a button of those that change nothing that has to be.
func (c *chaos) button() {
	c.t.Helper()
	pipeline, sink := pick(c, chaosPipelines), pick(c, []string{"warehouse", "cache", "lake"})
	verb, form := "retry", url.Values{"blocks": {"all"}}
	if c.random.IntN(3) > 0 {
		verb = "replay"
		form = url.Values{"sink": {sink}, "blocks": {pick(c, []string{":100", "50:+40", "all"})}, "confirmed": {"yes"}}
	}
	c.counts["button "+verb]++
	said, err := c.press(verb, pipeline, form)
	c.logf("button %s of %s: %s %v", verb, pipeline, said, err)
	if err == nil && said == "" {
		c.t.Errorf("the page does not say what became of button %s of %s", verb, pipeline)
	}
}
