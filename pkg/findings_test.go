package pkg_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestFindingsAreDescribed: docs/doctor.md has a row for each finding of `ampipe doctor`,
// which begins as the finding does, and no other.
func TestFindingsAreDescribed(t *testing.T) {
	page, err := os.ReadFile("../docs/doctor.md")
	if err != nil {
		t.Fatal(err)
	}
	_, tables, _ := strings.Cut(string(page), "\n## What is found\n")
	var rows [][]string
	for _, m := range regexp.MustCompile("(?m)^\\| `(.+?)` \\|").FindAllStringSubmatch(tables, -1) {
		rows = append(rows, parts(m[1]))
	}
	texts := findings(t)
	if len(texts) < 30 {
		t.Errorf("the code has %d findings", len(texts))
	}
	for _, text := range texts {
		if !slices.ContainsFunc(rows, func(row []string) bool { return inOrder(text, row) }) {
			t.Errorf("docs/doctor.md has no row for %q", text)
		}
	}
	for _, row := range rows {
		if !slices.ContainsFunc(texts, func(text string) bool { return inOrder(text, row) }) {
			t.Errorf("no finding is %q, of which docs/doctor.md has a row", row)
		}
	}
}

// findings returns the texts that the rules of the doctor find: what is given to found, or
// to the field Text.
func findings(t *testing.T) []string {
	t.Helper()
	var texts []string
	for _, pattern := range []string{"pipeline/doctor*.go", "sink/*/examined.go", "sink/*/examine.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(file, func(n ast.Node) bool {
				text, ok := said(n)
				if ok && len(parts(text)) > 0 {
					texts = append(texts, text)
				}
				return true
			})
		}
	}
	return texts
}

// said returns the text of a finding that a node makes.
func said(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.KeyValueExpr:
		if called(n.Key) == "Text" {
			return formatted(n.Value)
		}
	case *ast.CallExpr:
		if called(n.Fun) == "found" {
			return formatted(n.Args[len(n.Args)-2]) // the last is what to do
		}
	}
	return "", false
}

// formatted returns a constant text, or the one that fmt.Sprintf fills in.
func formatted(e ast.Expr) (string, bool) {
	call, ok := e.(*ast.CallExpr)
	if ok && called(call.Fun) == "fmt.Sprintf" {
		e = call.Args[0]
	}
	text, ok := constant(e)
	return verb.ReplaceAllString(text, "…"), ok
}
