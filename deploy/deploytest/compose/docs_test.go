package compose

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var shellBlock = regexp.MustCompile("(?s)```sh\n(.*?)```")

// documented returns the commands of a page that begin with a text.
func documented(t testing.TB, page, prefix string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root(t), "docs", page))
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, block := range shellBlock.FindAllStringSubmatch(string(text), -1) {
		for line := range strings.Lines(block[1]) {
			if line = strings.TrimSpace(line); strings.HasPrefix(line, prefix) {
				lines = append(lines, line)
			}
		}
	}
	return lines
}

// TestDocumentedCommands checks that the services and profiles that the pages name are
// there, and that what they have containers run is understood by our programs.
func TestDocumentedCommands(t *testing.T) {
	services := load(t, allProfiles).Services
	found := 0
	for _, page := range []string{"deploy.md", "getting-started.md"} {
		for _, line := range documented(t, page, "docker compose ") {
			found++
			words := strings.Fields(line)[2:]
			for len(words) > 1 && words[0] == "--profile" {
				if !slices.Contains(allProfiles, words[1]) {
					t.Errorf("%s: %s: there is no profile %s", page, line, words[1])
				}
				words = words[2:]
			}
			for i, word := range words {
				if name, _, scaled := strings.Cut(word, "="); scaled && i > 0 && words[i-1] == "--scale" {
					if _, ok := services[name]; !ok {
						t.Errorf("%s: %s: there is no service %s", page, line, name)
					}
				}
			}
			verb, rest := words[0], words[1:]
			rest = slices.DeleteFunc(slices.Clone(rest), func(w string) bool { return strings.HasPrefix(w, "--") || strings.Contains(w, "=") })
			if verb == "exec" || verb == "run" {
				rest = rest[:1] // the rest is the command
			}
			for _, name := range rest {
				if _, ok := services[name]; !ok {
					t.Errorf("%s: %s: there is no service %s", page, line, name)
				}
			}
		}
	}
	if found < 10 {
		t.Errorf("only %d commands are found in the pages", found)
	}
}
