package pipeline_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/ampipe/ampipe/pkg/status"
)

// status asks how the pipelines are, once a second at most.
func (c *chaos) status() (o status.Overview, code int) {
	c.t.Helper()
	c.wait(time.Until(c.asked.Add(time.Second)), nil)
	c.asked = time.Now()
	code, out := c.ampipe("status", "--json")
	begin, end := strings.Index(out, "{"), strings.LastIndex(out, "}")
	if begin < 0 || end < begin {
		c.t.Errorf("ampipe status --json: exit code %d\n%s", code, out)
		return o, code
	}
	if err := json.Unmarshal([]byte(out[begin:end+1]), &o); err != nil {
		c.t.Errorf("ampipe status --json: %v\n%s", err, out)
	}
	c.lastWords = words(o)
	return o, code
}

// words are all troubles of an overview.
func words(o status.Overview) string {
	var all []string
	for _, p := range o.Pipelines {
		for _, t := range p.Troubles {
			all = append(all, fmt.Sprintf("%s: %s: %s: %s", p.Name, t.Level, t.Part, t.Text))
		}
	}
	return strings.Join(all, "\n")
}

// statusSays returns the trouble of a pipeline whose text matches; empty: there is none.
func statusSays(o status.Overview, want *regexp.Regexp) string {
	for _, p := range o.Pipelines {
		for _, t := range p.Troubles {
			if text := t.Part + ": " + t.Text; p.Level != status.Healthy && want.MatchString(text) {
				return text
			}
		}
	}
	return ""
}

func lastLine(text string) string { return tail(text, 1) }

func tail(text string, lines int) string {
	all := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// head returns the head of the chain.
func (c *chaos) head() (h chainHead) {
	c.t.Helper()
	answer, err := http.Get("http://" + c.control + "/chains/anvil")
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }() // it was read
	if err := json.NewDecoder(answer.Body).Decode(&h); err != nil {
		c.t.Fatal(err)
	}
	return h
}
