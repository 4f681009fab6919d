package pkg_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestTroubleshootingSpeaksOfMessages: each heading of the page begins a message that the
// code has. What varies in it is written "…".
func TestTroubleshootingSpeaksOfMessages(t *testing.T) {
	code := strings.Join(literals(t), "\n")
	seen := map[string]bool{}
	for _, h := range headings(t) {
		if seen[h.text] {
			t.Errorf("two entries are called %q", h.text)
		}
		seen[h.text] = true
		if len(h.parts) == 0 {
			t.Errorf("the entry %q has no words", h.text)
		}
		for _, part := range h.parts {
			if !strings.Contains(code, part) {
				t.Errorf("the code has no message with %q, which the entry %q names", part, h.text)
			}
		}
	}
}

// TestMessagesHaveEntries: each message that the code has is in a heading of the page, or
// of a kind that needs none.
func TestMessagesHaveEntries(t *testing.T) {
	headings := headings(t)
	unused := maps.Clone(neverShown)
	for _, m := range messages(t) {
		delete(unused, m.text)
		_, hidden := neverShown[m.text]
		if hidden || wraps.MatchString(m.text) || statement.MatchString(m.text) || m.complaint() || slices.ContainsFunc(headings, m.isIn) {
			continue
		}
		switch i := slices.IndexFunc(details, func(d detail) bool { return d.at(m) }); {
		case i < 0:
			t.Errorf("%s:%d: docs/troubleshooting.md has no entry for %q", m.path, m.line, m.text)
		case !slices.ContainsFunc(headings, func(h heading) bool { return h.text == details[i].of }):
			t.Errorf("%s:%d: %q stands behind %q, which has no entry", m.path, m.line, m.text, details[i].of)
		}
	}
	for text := range unused {
		t.Errorf("the code does not say %q any more", text)
	}
}

// heading is one of the page's, with its words.
type heading struct {
	text  string
	parts []string
}

// isIn reports whether a heading is for the message: its words are in the message, or it
// begins with the message, which more is added to.
func (m message) isIn(h heading) bool {
	if strings.HasPrefix(h.text, "…") && len(strings.Fields(strings.Join(h.parts, " "))) < 3 {
		return false // "… must be …", of the configuration
	}
	return inOrder(m.text, h.parts) || len(m.parts) > 0 && strings.HasPrefix(h.parts[0], m.parts[0]) && inOrder(h.text, m.parts)
}

func inOrder(text string, parts []string) bool {
	for _, part := range parts {
		i := strings.Index(text, part)
		if i < 0 {
			return false
		}
		text = text[i+len(part):]
	}
	return len(parts) > 0
}

// headings returns those of the page's entries.
func headings(t *testing.T) []heading {
	t.Helper()
	page, err := os.ReadFile("../docs/troubleshooting.md")
	if err != nil {
		t.Fatal(err)
	}
	var all []heading
	for _, h := range regexp.MustCompile("(?m)^### `(.+)`$").FindAllStringSubmatch(string(page), -1) {
		all = append(all, heading{h[1], parts(h[1])})
	}
	if len(all) < 500 {
		t.Errorf("the page has %d entries", len(all))
	}
	return all
}

// parts returns the words of a text between what varies, as far as they can be looked for.
func parts(text string) []string {
	var all []string
	for part := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == '…' || r == '§' }) {
		part = strings.Trim(part, ` "':,()`)
		if len(part) >= 4 {
			all = append(all, part)
		}
	}
	return all
}

var verb = regexp.MustCompile(`%[-+# 0-9.\[\]]*[a-zA-Z]`)

// literals returns the texts of the product's code, of what is joined by + as one, and with
// "…" in place of what is formatted in.
func literals(t *testing.T) []string {
	t.Helper()
	var texts []string
	for _, root := range []string{".", "../cmd"} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				expression, ok := n.(ast.Expr)
				if !ok {
					return true
				}
				text, ok := constant(expression)
				if ok {
					texts = append(texts, verb.ReplaceAllString(text, "…"))
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return texts
}

// constant returns the text of a literal, or of several and other values joined by +.
func constant(e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		if e.Kind != token.STRING {
			return "", false
		}
		text, err := strconv.Unquote(e.Value)
		return text, err == nil
	case *ast.BinaryExpr:
		if e.Op != token.ADD {
			return "", false
		}
		left, isLeft := constant(e.X)
		right, isRight := constant(e.Y)
		switch {
		case isLeft && isRight:
			return left + right, true
		case isLeft:
			return left + "…", true
		case isRight:
			return "…" + right, true
		}
	}
	return "", false
}
