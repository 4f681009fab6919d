package postgres

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	maxIdentifier = 63   // bytes; PostgreSQL cuts longer names without a word
	maxColumns    = 1600 // of a table
)

// systemColumns exist in every table, so none of ours can have their names.
var systemColumns = []string{"tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"}

// checkIdentifier returns an error unless PostgreSQL keeps a name as it is. what says
// what it names.
func checkIdentifier(what, name string) error {
	switch {
	case name == "":
		return fmt.Errorf("a %s has no name; PostgreSQL needs one", what)
	case len(name) > maxIdentifier:
		return fmt.Errorf("the %s name %q has %d bytes and PostgreSQL keeps only %d; use a shorter one", what, name, len(name), maxIdentifier)
	case strings.ContainsRune(name, 0) || !utf8.ValidString(name):
		return fmt.Errorf("the %s name %q holds bytes that PostgreSQL does not take in a name", what, name)
	case what == "column" && slices.Contains(systemColumns, name):
		return fmt.Errorf("the column name %q is PostgreSQL's own; rename the column in the query with AS", name)
	}
	return nil
}

// quoted returns a name in double quotes, so that it keeps its case.
func quoted(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// literal returns a text as PostgreSQL reads it in a statement.
func literal(text string) string {
	return "E'" + strings.NewReplacer(`'`, `''`, `\`, `\\`).Replace(text) + "'"
}

// quotedList returns names in double quotes, separated by commas.
func quotedList(names []string) string {
	all := make([]string, len(names))
	for i, name := range names {
		all[i] = quoted(name)
	}
	return strings.Join(all, ", ")
}
