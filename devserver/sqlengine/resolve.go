package sqlengine

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ampipe/ampipe/devserver/table"
	"github.com/apache/arrow-go/v18/arrow"
)

// resolver follows the columns of a query from its tables to its result, so
// that the result has Amp's types although DuckDB's are others.
type resolver struct {
	catalog *table.Catalog
	uses    []*use
	// nested counts the expression subqueries round the current place.
	nested int
}

// env is the WITH queries that can be named, innermost first.
type env struct {
	name    string
	columns []column
	opaque  bool
	outer   *env
}

func (e *env) find(name string) *env {
	for ; e != nil; e = e.outer {
		if strings.EqualFold(e.name, name) {
			return e
		}
	}
	return nil
}

// query returns the columns of a query's result.
func (r *resolver) query(n *node, with *env, outer *scope) (scope, error) {
	for _, cte := range n.CTEs.Map {
		body, err := r.query(cte.Value.Query.Node, with, outer)
		if err != nil {
			return scope{}, err
		}
		columns := renamed(body.columns, "", cte.Value.Aliases)
		if n.mentions(cte.Key) > 1 {
			columns = barrier(columns) // each mention has filters of its own
		}
		with = &env{name: cte.Key, columns: columns, opaque: body.opaque, outer: with}
	}
	switch n.Type {
	case "SELECT_NODE":
		return r.selection(n, with, outer)
	case "SET_OPERATION_NODE":
		return r.union(n, with, outer)
	default: // a recursive query; DuckDB knows its columns
		for _, side := range []*node{n.Left, n.Right} {
			if side == nil {
				continue
			}
			if _, err := r.query(side, &env{name: n.CTE, opaque: true, outer: with}, &scope{opaque: true, outer: outer}); err != nil {
				return scope{}, err
			}
		}
		return scope{opaque: true}, nil
	}
}

// barrier keeps filters on the columns from reaching the tables below.
func barrier(columns []column) []column {
	out := slices.Clone(columns)
	for i := range out {
		out[i].pass = false
	}
	return out
}

func (r *resolver) union(n *node, with *env, outer *scope) (scope, error) {
	left, err := r.query(n.Left, with, outer)
	if err != nil {
		return scope{}, err
	}
	right, err := r.query(n.Right, with, outer)
	if err != nil {
		return scope{}, err
	}
	if left.opaque || right.opaque || len(left.columns) != len(right.columns) {
		return scope{opaque: true}, nil
	}
	out := slices.Clone(left.columns)
	for i := range out {
		a, b := out[i].field, right.columns[i].field
		out[i] = column{name: out[i].name}
		if a != nil && b != nil && arrow.TypeEqual(a.Type, b.Type) {
			out[i].field = &arrow.Field{Name: a.Name, Type: a.Type, Nullable: a.Nullable || b.Nullable}
		}
	}
	return scope{columns: out}, nil
}

func (r *resolver) selection(n *node, with *env, outer *scope) (scope, error) {
	here := scope{outer: outer}
	if n.From != nil {
		source, err := r.from(n.From, with, outer)
		if err != nil {
			return scope{}, err
		}
		here.columns, here.opaque = source.columns, source.opaque
	}
	n.scope = &here
	if err := duplicateProjection(n.Select, &here); err != nil {
		return scope{}, err
	}
	out, err := r.project(n.Select, &here)
	if err != nil {
		return scope{}, err
	}
	// Names of the select list can be used by the clauses after it.
	after := scope{columns: append(renamed(out.columns, "", nil), here.columns...), opaque: here.opaque, outer: outer}
	if err := r.clauses(n, with, &here, &after); err != nil {
		return scope{}, err
	}
	// A WHERE says nothing about the rows of the queries round it.
	local := scope{columns: here.columns, opaque: here.opaque}
	n.rest = bound(n.Where, &local)
	for _, m := range n.Modifiers {
		for i, o := range m.Orders {
			m.Orders[i].sorted = isSorted(o, &after)
		}
	}
	switch {
	case isBarrier(n):
		out.columns = barrier(out.columns)
	case n.aggregates():
		out.columns = groupKeys(n, &here, out.columns)
	}
	return out, nil
}

// groupKeys lets filters pass on the columns that rows are grouped by: such a
// filter takes or leaves whole groups.
func groupKeys(n *node, here *scope, columns []column) []column {
	out := barrier(columns)
	for i, e := range n.Select {
		if e.Class != "COLUMN_REF" || len(out) != len(n.Select) {
			continue
		}
		c, _ := here.find(e.Names)
		isKey := slices.ContainsFunc(n.Groups, func(key expr) bool {
			k, found := here.find(key.Names)
			return key.Class == "COLUMN_REF" && found && k.use == c.use && k.index == c.index
		})
		out[i].pass = c.pass && c.use != nil && isKey && len(n.Sets) <= 1
	}
	return out
}

// clauses checks every expression of a SELECT.
func (r *resolver) clauses(n *node, with *env, here, after *scope) error {
	for i, e := range n.expressions() {
		names := here
		if i >= len(n.Select) {
			names = after
		}
		if err := r.expression(e, with, names, here); err != nil {
			return err
		}
	}
	return nil
}

// isSorted reports whether a table is stored in the order asked for.
func isSorted(o order, here *scope) bool {
	if o.Type == "DESCENDING" || o.Expression.Class != "COLUMN_REF" {
		return false
	}
	c, found := here.find(o.Expression.Names)
	return found && c.use != nil && slices.Contains(c.use.table.Sorted, c.use.table.Source.Schema().Field(c.index).Name)
}

// isBarrier reports whether a filter on the result of n means something else than
// the same filter on its rows.
func isBarrier(n *node) bool {
	return len(n.Modifiers) > 0 || n.Qualify != nil || !empty(n.Sample) ||
		slices.ContainsFunc(n.Select, func(e expr) bool { return e.any(func(e *expr) bool { return e.Class == "WINDOW" }) })
}

// aggregates reports whether n makes one row of many.
func (n *node) aggregates() bool {
	return len(n.Groups) > 0 || n.Having != nil || slices.ContainsFunc(n.Select, func(e expr) bool { return e.any(isAggregate) })
}

// project returns the columns of a select list.
func (r *resolver) project(list []expr, here *scope) (scope, error) {
	var out scope
	for i := range list {
		e := &list[i]
		switch {
		case e.Class == "STAR" && (e.Columns || !empty(e.Exclude) || !empty(e.Replace) || !empty(e.Rename) || !empty(e.Expr)):
			out.opaque = true
		case e.Class == "STAR":
			out.opaque = out.opaque || here.opaque
			found := false
			for _, c := range here.columns {
				if (e.Relation == "" && !c.hidden) ||
					(len(c.qualifier) > 0 && strings.EqualFold(c.qualifier[len(c.qualifier)-1], e.Relation)) {
					found = true
					out.columns = append(out.columns, c)
				}
			}
			if !found && !here.opaque && e.Relation != "" {
				return scope{}, inferError(Internal, fmt.Sprintf("Error during planning: Invalid qualifier %s", e.Relation))
			}
		case e.Class == "COLUMN_REF":
			c, found := here.find(e.Names)
			if !found {
				return scope{}, noField(e.Names, here)
			}
			c.name = e.Names[len(e.Names)-1]
			if e.Alias != "" {
				c.name, c.qualifier = e.Alias, nil
			}
			c.hidden = false
			out.columns = append(out.columns, c)
		default:
			out.columns = append(out.columns, column{name: e.Alias, field: literalField(e, here)})
		}
	}
	return out, nil
}

func noField(names []string, here *scope) error {
	text := "No field named " + strings.Join(names, ".") + "."
	if valid := here.valid(); valid != "" {
		text += " Valid fields are " + valid + "."
	}
	return internal("failed to infer SQL output schema | Caused by: Schema error: " + text + " -> Schema error: " + text + " -> " + text)
}

// duplicateProjection refuses the same column twice in one select list (AP 6.2).
func duplicateProjection(list []expr, here *scope) error {
	at := map[string]int{}
	for i, e := range list {
		if e.Class != "COLUMN_REF" || e.Alias != "" {
			continue
		}
		c, found := here.find(e.Names)
		if !found || c.name == "" {
			continue
		}
		if first, twice := at[c.spelled()]; twice {
			text := fmt.Sprintf("Error during planning: Projections require unique expression names but the expression %q at position %d "+
				"and %q at position %d have the same name. Consider aliasing (\"AS\") one of them.", c.spelled(), first, c.spelled(), i)
			return internal("failed to infer SQL output schema | Caused by: " + text)
		}
		at[c.spelled()] = i
	}
	return nil
}
