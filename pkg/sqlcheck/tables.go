package sqlcheck

import (
	"errors"
	"fmt"
	"slices"

	"github.com/ampipe/ampipe/pkg/fault"
)

// Table is a table that a query names.
type Table struct {
	Dataset string // "[namespace/]name[@revision]" without quotes (AP 4.2); empty: the server's default
	Name    string
	// Inner says that the table stands only in a subquery of an expression,
	// such as IN (SELECT …): its blocks are not counted in the ranges of an
	// answer (AP 2).
	Inner bool
}

// String returns the table as a query names it.
func (t Table) String() string {
	if t.Dataset == "" {
		return Identifier(t.Name)
	}
	return Identifier(t.Dataset) + "." + Identifier(t.Name)
}

// ParseTable parses a table as it is written in a query or in a configuration:
// eth_rpc.logs, "_/eth_rpc@1.0.0".logs. The error is permanent.
func ParseTable(s string) (Table, error) {
	p := &parser{}
	var err error
	if p.tokens, err = Tokenize(s); err == nil {
		if parts, end := p.dotted(0); end == len(p.tokens) && len(parts) > 0 && len(parts) < 3 {
			return tableOf(parts), nil
		}
		err = errors.New(`write it as dataset.table, with a dataset that has "/", "@" or "." in double quotes`)
	}
	return Table{}, fault.Permanent(fmt.Errorf("table %s: %w", s, err))
}

// Tables returns the tables that the query reads, each once, in the order of the
// text. Common table expressions and table functions are not among them.
func (q *Query) Tables() []Table {
	var tables []Table
	for _, t := range q.tables {
		i := slices.IndexFunc(tables, func(o Table) bool { return o.Dataset == t.Dataset && o.Name == t.Name })
		if i < 0 {
			tables = append(tables, t)
			continue
		}
		tables[i].Inner = tables[i].Inner && t.Inner
	}
	return tables
}

func tableOf(parts []string) Table {
	t := Table{Name: parts[len(parts)-1]}
	if len(parts) > 1 {
		t.Dataset = parts[0]
	}
	return t
}

// dotted reads a name of several parts and returns the index after it.
func (p *parser) dotted(i int) ([]string, int) {
	var parts []string
	for isName(p.at(i)) {
		parts = append(parts, p.at(i).name)
		i++
		if !p.at(i).is(".") {
			break
		}
		i++
	}
	return parts, i
}

// joinWords may follow a table and are no alias.
var joinWords = []string{
	"ON", "USING", "JOIN", "INNER", "LEFT", "RIGHT", "FULL", "CROSS", "NATURAL", "OUTER", "SEMI", "ANTI", "ASOF",
	"LATERAL", "TABLESAMPLE", "SAMPLE", "WITH", "FOR", "PIVOT", "UNPIVOT", "MATCH_RECOGNIZE", "APPLY", "WINDOW",
	"GLOBAL", "POSITIONAL", "STRAIGHT_JOIN",
}

// from reads the tables of a FROM clause and the conditions of its joins.
func (p *parser) from(body *selectBody, s span, scope []string) {
	for i := s.from; i < s.to && p.err == nil; {
		i = p.factor(body, i, s.to, scope)
		// What follows until the next table: join keywords and conditions.
		start := i
		for ; i < s.to; i = p.past(i) {
			t := p.at(i)
			if t.is(",") {
				break
			}
			if (t.Key == "JOIN" || t.Key == "APPLY") && !p.at(i-1).is(".") {
				break
			}
		}
		condition := span{start, i}
		for j := start; j < i; j++ {
			if k := p.key(j); k == "ON" || k == "USING" {
				condition.from = j + 1
				break
			}
		}
		if condition.from > start {
			body.joins = append(body.joins, condition)
		}
		p.inner(body, span{start, i}, scope)
		i++ // the comma or JOIN
	}
}

// factor reads one table, derived table, table function or bracketed join, with
// its alias, and returns the index after it.
func (p *parser) factor(body *selectBody, i, to int, scope []string) int {
	for p.key(i) == "LATERAL" || p.key(i) == "ONLY" {
		i++
	}
	if i >= to {
		return i
	}
	alias := ""
	switch t := p.at(i); {
	case t.is("(") && p.fromFirst(i):
		p.fail(p.at(i + 1).errorf(fromFirst))
		return to
	case t.is("(") && p.beginsQuery(i+1):
		body.inner = append(body.inner, p.query(i+1, t.mate, derived, scope))
		body.factors++
		i = p.past(i)
	case t.is("("):
		p.from(body, span{i + 1, t.mate}, scope)
		i = p.past(i)
	case isName(t):
		parts, end := p.dotted(i)
		i = end
		if p.at(i).is("(") {
			p.inner(body, span{i, p.past(i)}, scope)
			i = p.past(i)
			break
		}
		if len(parts) > 2 {
			p.fail(t.errorf("a table has at most two parts, dataset.table; remove the first part"))
			return to
		}
		alias = parts[len(parts)-1]
		body.factors++
		if len(parts) > 1 || !slices.Contains(scope, parts[0]) {
			table := tableOf(parts)
			table.Inner = p.position >= expression
			p.tables = append(p.tables, table)
		}
	default:
		return i + 1
	}
	if p.key(i) == "AS" {
		i++
	} else if t := p.at(i); i >= to || !isName(t) || slices.Contains(joinWords, t.Key) {
		body.aliases = append(body.aliases, alias)
		return i
	}
	body.aliases = append(body.aliases, p.at(i).name)
	i++
	if i < to && p.at(i).is("(") {
		i = p.past(i) // names of the columns
	}
	return i
}
