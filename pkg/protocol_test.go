package pkg_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// protocolPage is what "AP 3.6" in comments and documents is a section of.
const protocolPage = "../docs/amp-protocol.md"

var (
	citation  = regexp.MustCompile(`\bAP ` + cited)
	reference = regexp.MustCompile(`\b[Ss]ections? ` + cited)
	rule      = regexp.MustCompile(`\brules? (\d+)(?: to (\d+))?`)
	number    = regexp.MustCompile(`\d+(?:\.\d+)?`)
	// comment is where a comment continues on the next line.
	comment = regexp.MustCompile(`\n\s*//[ \t]*`)
)

// cited is one section or several, and a rule of the last one.
const cited = `(\d+(?:\.\d+)?(?:(?:, | and | to |-)\d+(?:\.\d+)?)*)(?:, (rules? \d+(?: to \d+)?))?`

// TestProtocolHasWhatIsCited: each section of Amp's protocol that code or documents cite
// is a heading of the page, and each rule is numbered there.
func TestProtocolHasWhatIsCited(t *testing.T) {
	sections := protocolSections(t)
	count := 0
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != ".." && strings.HasPrefix(d.Name(), "."):
			return fs.SkipDir
		case d.IsDir() || filepath.Ext(path) != ".go" && filepath.Ext(path) != ".md" || path == filepath.Join("..", "pkg", "protocol_test.go"):
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, c := range citation.FindAllStringSubmatch(comment.ReplaceAllString(string(text), " "), -1) {
			count++
			for _, missing := range notIn(sections, c) {
				t.Errorf("%s cites %q: docs/amp-protocol.md has no %s", path, c[0], missing)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if count < 100 {
		t.Errorf("found %d citations of the protocol; have they another form now?", count)
	}
	for name, body := range sections {
		for _, c := range reference.FindAllStringSubmatch(body, -1) {
			for _, missing := range notIn(sections, c) {
				t.Errorf("section %s of docs/amp-protocol.md refers to %q: there is no %s", name, c[0], missing)
			}
		}
	}
}

// protocolSections returns the page's numbered sections by their numbers, each with its
// text down to the next heading.
func protocolSections(t *testing.T) map[string]string {
	t.Helper()
	page, err := os.ReadFile(protocolPage)
	if err != nil {
		t.Fatal(err)
	}
	sections, titles := map[string]string{}, map[string]bool{}
	for _, part := range regexp.MustCompile(`(?m)^##+ `).Split(string(page), -1)[1:] {
		heading, body, _ := strings.Cut(part, "\n")
		name, title, _ := strings.Cut(heading, " ")
		name = strings.TrimSuffix(name, ".")
		if number.FindString(name) != name {
			t.Errorf("the heading %q of %s has no number", heading, protocolPage)
		}
		if _, twice := sections[name]; twice || titles[title] {
			t.Errorf("the heading %q of %s is there twice", heading, protocolPage)
		}
		sections[name], titles[title] = body, true
	}
	return sections
}

// notIn returns what a match of [cited] names that the page lacks.
func notIn(sections map[string]string, match []string) []string {
	var missing []string
	last := ""
	for _, last = range number.FindAllString(match[1], -1) {
		if _, found := sections[last]; !found {
			missing = append(missing, "section "+last)
		}
	}
	for _, rules := range rule.FindAllStringSubmatch(match[2], -1) {
		for _, n := range rules[1:] {
			if n != "" && !strings.Contains(sections[last], "\n"+n+". ") {
				missing = append(missing, "rule "+n+" in section "+last)
			}
		}
	}
	return missing
}

func TestCitationsAreFound(t *testing.T) {
	sections := map[string]string{"2": "", "3.6": "\n1. one\n2. two\n"}
	for text, want := range map[string]string{
		"(AP 2)":                                 "",
		"(AP 3.6, rule 2)":                       "",
		"(AP 3.6, rules 1 to 3)":                 "rule 3 in section 3.6",
		"of AP 3.6 and 9.3":                      "section 9.3",
		"(AP 2, 3.4, 3.6)":                       "section 3.4",
		"first those of streams (AP\n\t// 3.7).": "section 3.7",
		"the scenarios of AP 9.1 to 9.2 (a map)": "section 9.1, section 9.2",
		"(AP 3.60)":                              "section 3.60",
	} {
		c := citation.FindStringSubmatch(comment.ReplaceAllString(text, " "))
		if c == nil {
			t.Errorf("%q is not found", text)
			continue
		}
		if got := strings.Join(notIn(sections, c), ", "); got != want {
			t.Errorf("%q lacks %q, want %q", text, got, want)
		}
	}
}
