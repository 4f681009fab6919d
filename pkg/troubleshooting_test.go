package pkg_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestTroubleshootingSpeaksOfMessages: each heading of the page begins a message that the
// code has. What varies in it is written "…".
func TestTroubleshootingSpeaksOfMessages(t *testing.T) {
	page, err := os.ReadFile("../docs/troubleshooting.md")
	if err != nil {
		t.Fatal(err)
	}
	code := strings.Join(literals(t), "\n")
	headings := regexp.MustCompile("(?m)^### `(.+)`$").FindAllStringSubmatch(string(page), -1)
	if len(headings) < 60 {
		t.Errorf("the page has %d entries", len(headings))
	}
	seen := map[string]bool{}
	for _, h := range headings {
		if seen[h[1]] {
			t.Errorf("two entries are called %q", h[1])
		}
		seen[h[1]] = true
		known := false
		for part := range strings.SplitSeq(h[1], "…") {
			part = strings.Trim(part, ` "':,()`)
			if len(part) < 4 {
				continue
			}
			known = true
			if !strings.Contains(code, part) {
				t.Errorf("the code has no message with %q, which the entry %q names", part, h[1])
			}
		}
		if !known {
			t.Errorf("the entry %q has no words", h[1])
		}
	}
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
