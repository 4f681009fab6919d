package sqlengine

import (
	"slices"
	"strings"

	"github.com/ampipe/ampipe/devserver/table"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/apache/arrow-go/v18/arrow"
)

// everything is a range without bounds.
var everything = block.Range{End: block.Max + 1}

// use is one mention of a table in a query.
type use struct {
	schema, name string // as spelled
	dataset      *table.Dataset
	table        *table.Table
	// blocks bounds the rows that the query can need of this mention.
	blocks block.Range
	// counted is false inside expression subqueries, whose tables do not limit
	// the ranges of an answer (AP 2).
	counted bool
}

// column is what an expression can name, and what it is known to be.
type column struct {
	qualifier []string // how a query names its table; nil for an unnamed one
	name      string   // "" for an expression without an alias
	field     *arrow.Field
	// use and index are which column of which table this is, unchanged; use is
	// nil for anything else.
	use   *use
	index int
	// pass means that a bound on the column may be put on the rows of the table.
	pass   bool
	hidden bool // the right column of a USING: not part of a star
}

// matches reports whether names, such as [q hash], mean this column.
func (c column) matches(names []string) bool {
	last := len(names) - 1
	if !strings.EqualFold(c.name, names[last]) || last > len(c.qualifier) {
		return false
	}
	if last == 0 {
		return !c.hidden
	}
	return slices.EqualFunc(c.qualifier[len(c.qualifier)-last:], names[:last], strings.EqualFold)
}

// spelled returns the column as an error names it.
func (c column) spelled() string {
	return strings.Join(append(slices.Clone(c.qualifier), c.name), ".")
}

// isBlock reports whether the column holds the block number of its row.
func (c column) isBlock() bool {
	return c.use != nil && slices.Contains(c.use.table.Numbers, c.use.table.Source.Schema().Field(c.index).Name)
}

// scope is the columns that can be named at one place of a query; opaque means
// that there may be more than are listed.
type scope struct {
	columns []column
	opaque  bool
	outer   *scope
}

// find returns the column that names mean; a longer name may reach into a struct.
func (s *scope) find(names []string) (column, bool) {
	for ; s != nil; s = s.outer {
		for n := len(names); n > 0; n-- {
			for _, c := range s.columns {
				if c.matches(names[:n]) {
					if n < len(names) {
						return column{}, true // a field of a struct
					}
					return c, true
				}
			}
		}
		if s.opaque {
			return column{}, true
		}
	}
	return column{}, false
}

func (s *scope) valid() string {
	var names []string
	for _, c := range s.columns {
		if c.name != "" {
			names = append(names, c.spelled())
		}
	}
	return strings.Join(names, ", ")
}

// renamed returns the columns of a subquery under its alias.
func renamed(columns []column, alias string, names []string) []column {
	out := slices.Clone(columns)
	for i := range out {
		out[i].qualifier, out[i].hidden = nil, false
		if alias != "" {
			out[i].qualifier = []string{alias}
		}
		if i < len(names) {
			out[i].name = names[i]
		}
	}
	return out
}

// nullable returns the columns of the side of a join that can be missing.
func nullable(columns []column) []column {
	out := slices.Clone(columns)
	for i, c := range out {
		if c.field != nil {
			f := *c.field
			f.Nullable = true
			out[i].field = &f
		}
		out[i].pass = false
	}
	return out
}
