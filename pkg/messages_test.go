package pkg_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// message is a text of the product's code that a person may meet.
type message struct {
	text  string // "…" stands for what is formatted in, and "§" for an error that is wrapped
	path  string // from the repository's root
	line  int
	place string   // what the text is given to, as in "call errors.New" or "field advice"
	parts []string // of the text, see [parts]
}

// speaks are the places of messages: what makes an error, a complaint or a refusal; the
// log at warn and error; reasons to wait and to be not ready; the tables that say what an
// error of another system means.
var speaks = regexp.MustCompile(`^call (errors\.New|fmt\.Errorf` +
	`|([\w.()]+\.)?(complain|missing|refuse|refused|refusedThere|unknown|fail|deny|errorf|discrepancy|stateDiscrepancy|tooSmall|warn)` +
	`|.*(Warn\(\)|Error\(\)|failed\(\)).*\.Msgf?|([\w.()]+\.)?(Unready|Waiting|WaitingFor)|setUnready)$` +
	`|^(field|var) ([\w.]*[aA]dvices?|text|flaw|reason|hint|change|reached|decisions|clientDecisions|\w+\.Waits|s\.Unready|StateStopped)$` +
	`|^var (of[A-Z]\w*|not[A-Z]\w*|outside|\w+Outside|silent|closed|key[A-Z]\w*|nullKey|holdsNUL|accessDenied|noCredentials)$` +
	`|^field (http\.Status\w+|health\.\w+)$|^row$` +
	`|^func (of[A-Z]\w*|\w*[aA]dvice|parseError|lacks|missingLiveEntry|notYet|liveLaneBroken|remedy|widen|noCredentials|checkText|timestampFrom|dateFromMillis|longFromUint64)$`)

// assembles are the places of whole sentences that are put together before they are said,
// and of much else.
var assembles = regexp.MustCompile(`^call (fmt\.Sprintf|append|strings\.Join)$|^var errText$|^func partitionText$`)

// testSupport are the packages that no command links.
var testSupport = regexp.MustCompile(`/(amptest|guardtest|otlptest|queuetest|sinktest|storagetest|memory|layout)/`)

// messages returns the texts of three words or more that the product's code says.
func messages(t *testing.T) []message {
	t.Helper()
	var all []message
	for _, root := range []string{".", "../cmd"} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			name := filepath.ToSlash(filepath.Join("pkg", path))
			if !testSupport.MatchString(name) {
				all = append(all, messagesOf(t, path, name)...)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func messagesOf(t *testing.T, path, name string) []message {
	t.Helper()
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	var all []message
	var above []ast.Node
	ast.Inspect(file, func(n ast.Node) bool {
		if n == nil {
			above = above[:len(above)-1]
			return true
		}
		if expression, ok := n.(ast.Expr); ok {
			if text, ok := constant(expression); ok {
				text = verb.ReplaceAllString(strings.ReplaceAll(text, "%w", "§"), "…")
				place := place(above, expression)
				words := len(word.FindAllString(text, -1))
				says := speaks.MatchString(place) || strings.HasPrefix(text, "warning ")
				if (words >= 3 && says) || (words >= 8 && assembles.MatchString(place)) {
					all = append(all, message{text, name, files.Position(n.Pos()).Line, place, parts(text)})
				}
				return false // its parts are no texts of their own
			}
		}
		above = append(above, n)
		return true
	})
	return all
}

var word = regexp.MustCompile(`[\pL\pN][^\s]*`)

// place returns what a text below these nodes is given to.
func place(above []ast.Node, text ast.Expr) string {
	for i := len(above) - 1; i >= 0; i-- {
		switch n := above[i].(type) {
		case *ast.CallExpr:
			return "call " + called(n.Fun)
		case *ast.CompositeLit:
			if n.Type == nil && len(n.Elts) > 1 && (n.Elts[0] == text || isFunc(n.Elts, text)) {
				return "key of a row" // that is looked for in a text of another system
			}
			if n.Type == nil && slices.Contains(n.Elts, text) {
				return "row"
			}
		case *ast.KeyValueExpr:
			return "field " + called(n.Key)
		case *ast.AssignStmt:
			return "var " + called(n.Lhs[0])
		case *ast.ValueSpec:
			return "var " + n.Names[0].Name
		case *ast.FuncDecl:
			return "func " + n.Name.Name
		}
	}
	return ""
}

// isFunc reports whether the row's message is what a function at its end returns.
func isFunc(row []ast.Expr, text ast.Expr) bool {
	last := row[len(row)-1]
	switch last.(type) {
	case *ast.FuncLit, *ast.SelectorExpr:
		return last != text
	}
	return false
}

// called returns a name with what it is selected from, as in "log.Warn().Msg".
func called(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return called(e.X) + "." + e.Sel.Name
	case *ast.CallExpr:
		return called(e.Fun) + "()"
	case *ast.IndexExpr:
		return called(e.X)
	}
	return ""
}
