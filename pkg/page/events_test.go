package page_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/ampipe/ampipe/pkg/state"
)

// TestUpdates: a browser is sent everything once, and then what has changed.
func TestUpdates(t *testing.T) {
	t.Parallel()
	s := serve(t, viewOf(facts(10)))
	_, html := s.get("/")
	next, leave := s.watch()
	all := next()
	if !strings.Contains(html, `data-version="`+all.Version+`"`) || all.Version == "" {
		t.Errorf("the page is not of the version %q that is updated", all.Version)
	}
	for _, section := range all.Sections {
		if !strings.Contains(html, fmt.Sprintf(`<section id="%s">%s</section>`, section.ID, section.HTML)) {
			t.Errorf("section %s is not as in the page:\n%s", section.ID, section.HTML)
		}
	}
	if n := strings.Count(html, "<section "); n != len(all.Sections) || n != 9 {
		t.Errorf("%d of %d sections are updated", len(all.Sections), n)
	}
	if c := all.Charts; len(c) != 1 || c[0].Pipeline != "eth-logs" || strings.Join(c[0].Lines, " ") != "read lake warehouse" ||
		len(c[0].Rates) != 4 || len(c[0].Lags) != 3 || len(c[0].Rates[1]) != 1 || *c[0].Rates[1][0] != 1234 || *c[0].Lags[1][0] != 0 {
		t.Errorf("the charts are %+v", c)
	}

	changed := facts(10)
	changed.Parts[1].State = state.PartitionDone
	s.show(viewOf(changed))
	u := next()
	for u.Version == "" {
		u = next()
	}
	var ids []string
	for _, section := range u.Sections {
		ids = append(ids, section.ID)
	}
	if got := strings.Join(ids, " "); got != "answer p0-pipeline p0-map p0-failed" || len(u.Charts) != 0 {
		t.Errorf("after a partition was loaded %q are sent, and %d charts", got, len(u.Charts))
	}
	leave()
	if _, html := s.get("/"); !strings.Contains(html, "9 done") {
		t.Errorf("without a browser that watches: %s", words(html))
	}
}

// TestItLivesWhileALookTakesLong: a browser can tell a slow look from a process that is gone,
// and other browsers share the look.
func TestItLivesWhileALookTakesLong(t *testing.T) {
	t.Parallel()
	s := serve(t, viewOf(facts(10)))
	release := s.holdLooks()
	first := make(chan string, 1)
	go func() {
		_, html := s.get("/")
		first <- html
	}()
	next, _ := s.watch()
	if u := next(); u.Version != "" || len(u.Sections) != 0 {
		t.Errorf("while nothing is seen yet: %+v", u)
	}
	release()
	if u := next(); len(u.Sections) != 9 {
		t.Errorf("%d sections", len(u.Sections))
	}
	if html := <-first; !strings.Contains(html, "eth-logs") {
		t.Errorf("%s", html)
	}
}
