package postgres

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/ampipe/ampipe/pkg/sink/postgres/pgcopy"
)

// TestStatementsAreUsed holds that every statement of the file is used, that no other is
// asked for, and that no field is left in one.
func TestStatementsAreUsed(t *testing.T) {
	t.Parallel()
	used := make(map[string]bool)
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	calls := regexp.MustCompile(`(?:statement|ofBlockers)\("([a-z-]+)"`)
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, call := range calls.FindAllSubmatch(source, -1) {
			used[string(call[1])] = true
		}
	}
	c := column{name: `a "b" {table}`, Encoding: pgcopy.Encoding{SQL: "bigint", Base: "bigint"}}
	g := &tableSpec{schema: "s", table: "t", columns: []column{c}, key: []int{0}}
	field := regexp.MustCompile(`\{[a-z_]+\}`)
	for name := range statements {
		if !used[name] {
			t.Errorf("the statement %q is not used", name)
		}
		text := g.statement(name, "{staging}", "x", "{id}", "1", "{start}", "2", "{end}", "3", "{first}", "4", "{last}", "5", "{copied}", "", "{progress}", "", "{guard}", "", "{members}", "", "{internal}", "", "{inserted}", "", "{serves}", "")
		if left := field.FindString(strings.ReplaceAll(text, c.name[strings.Index(c.name, "{"):], "")); left != "" {
			t.Errorf("the field %s of the statement %q is not filled in", left, name)
		}
	}
	for name := range used {
		if statements[name] == "" {
			t.Errorf("statements.sql has no %q", name)
		}
	}
	if len(migrations) != 5 || migrations["1"] == "" || migrations["5"] == "" {
		t.Errorf("the migrations are %q", migrations)
	}
}
