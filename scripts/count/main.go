// Command count prints what the code consists of: lines of product and tests in each
// package, and how often it does what CONTRIBUTING.md asks not to. It reads the files
// that git knows of the folder in which it runs.
package main

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"
	"unicode/utf8"
)

// widest is how many columns a line of product code may have; a tab counts as one.
const widest = 140

// counted is what was found in the files of one package.
type counted struct {
	name          string
	product, test int // lines
}

// findings are the places at which the code does what it should not.
type findings struct {
	words      map[string]int // in comments
	conditions []string       // if statements that change something before they ask
	wide       []string       // lines of product code
}

// avoided are words that comments say in the language's own way: "returns", "reports
// whether", "resumes".
var avoided = map[string]*regexp.Regexp{
	"gives":         regexp.MustCompile(`(?i)\bgives\b`),
	"tells whether": regexp.MustCompile(`(?i)\btells whether\b`),
	"goes on":       regexp.MustCompile(`(?i)\bgoes on\b`),
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "count:", err)
		os.Exit(1)
	}
}

func run() error {
	out, err := exec.Command("git", "ls-files", "*.go").Output()
	if err != nil {
		return fmt.Errorf("list the files: %w", err)
	}
	packages := map[string]*counted{}
	found := findings{words: map[string]int{}}
	for _, file := range strings.Fields(string(out)) {
		source, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		name := path.Dir(file)
		if packages[name] == nil {
			packages[name] = &counted{name: name}
		}
		lines := strings.Count(string(source), "\n")
		if strings.HasSuffix(file, "_test.go") {
			packages[name].test += lines
		} else {
			packages[name].product += lines
			found.wideLines(file, string(source))
		}
		if err := found.parse(file, source); err != nil {
			return err
		}
	}
	return show(packages, found)
}

func show(packages map[string]*counted, found findings) error {
	all := counted{name: "all"}
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	line := func(c *counted) { fmt.Fprintf(table, "%d\t%d\t  %s\n", c.product, c.test, c.name) }
	fmt.Fprintln(table, "product\ttest\t  package")
	for _, c := range slices.SortedFunc(maps.Values(packages), func(a, b *counted) int { return cmp.Compare(a.name, b.name) }) {
		all.product += c.product
		all.test += c.test
		line(c)
	}
	line(&all)
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Println()
	for _, word := range slices.Sorted(maps.Keys(avoided)) {
		fmt.Printf("%5d comments say %q\n", found.words[word], word)
	}
	fmt.Printf("%5d conditions with a side effect\n", len(found.conditions))
	fmt.Printf("%5d lines of product code over %d columns\n", len(found.wide), widest)
	for _, place := range slices.Concat(found.conditions, found.wide) {
		fmt.Println("      ", place)
	}
	return nil
}

func (f *findings) wideLines(file, source string) {
	n := 0
	for line := range strings.Lines(source) {
		n++
		if utf8.RuneCountInString(strings.TrimRight(line, "\n")) > widest {
			f.wide = append(f.wide, fmt.Sprintf("%s:%d", file, n))
		}
	}
}

// parse looks at comments and conditions.
func (f *findings) parse(file string, source []byte) error {
	set := token.NewFileSet()
	parsed, err := parser.ParseFile(set, file, source, parser.ParseComments)
	if err != nil {
		return err
	}
	for _, group := range parsed.Comments {
		text := strings.ReplaceAll(group.Text(), "gives up", "") // is another verb
		for word, pattern := range avoided {
			f.words[word] += len(pattern.FindAllString(text, -1))
		}
	}
	ast.Inspect(parsed, func(n ast.Node) bool {
		if s, ok := n.(*ast.IfStmt); ok && s.Init != nil && sideEffect(s) {
			f.conditions = append(f.conditions, set.Position(s.Pos()).String())
		}
		return true
	})
	return nil
}

// sideEffect reports whether the statement before a condition changes something that
// the condition does not ask about. What it declares, and a variable that it sets in
// order to be asked about, is the language's own way.
func sideEffect(s *ast.IfStmt) bool {
	assign, ok := s.Init.(*ast.AssignStmt)
	if !ok {
		return true
	}
	if assign.Tok == token.DEFINE {
		return false
	}
	asked := map[string]bool{}
	ast.Inspect(s.Cond, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok {
			asked[id.Name] = true
		}
		return true
	})
	for _, left := range assign.Lhs {
		switch left := left.(type) {
		case *ast.Ident:
			if asked[left.Name] {
				return false
			}
		case *ast.SelectorExpr:
			if asked[left.Sel.Name] {
				return false
			}
		}
	}
	return true
}
