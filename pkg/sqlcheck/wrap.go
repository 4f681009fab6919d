package sqlcheck

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/ampipe/ampipe/pkg/block"
)

// wrapped is the query around the user's. The newline before ")" ends a trailing "--"
// comment (AP 4.6).
const wrapped = "SELECT * FROM (%s\n) AS q"

// Wrap returns the query for the rows of a block range, in block order. column is
// the block column in the query's output.
func (q *Query) Wrap(column string, r block.Range) string {
	c := Identifier(column)
	return fmt.Sprintf(wrapped+" WHERE q.%s >= %d AND q.%s < %d ORDER BY q.%s", q.text, c, r.Start, c, r.End, c)
}

// Head returns a query without rows. Its answer carries the ranges of blocks that
// all tables of the query have (AP 2).
func (q *Query) Head() string { return fmt.Sprintf(wrapped+" LIMIT 0", q.text) }

var plainName = regexp.MustCompile(`^[a-z_][a-z0-9_]*$`)

// Identifier writes a column or table name so that the server reads exactly
// that name: in double quotes unless it is plain lower case (AP 4.1). It must
// follow a qualifier or a keyword that no column can be mistaken for.
func Identifier(name string) string {
	if plainName.MatchString(name) {
		return name
	}
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}
