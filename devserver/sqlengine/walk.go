package sqlengine

import (
	"slices"
	"strings"
)

// below returns the queries that n reads from: those of WITH and FROM, and the sides
// of a set operation.
func (n *node) below() []*node {
	var out []*node
	for _, cte := range n.CTEs.Map {
		out = append(out, cte.Value.Query.Node)
	}
	if n.Left != nil {
		out = append(out, n.Left, n.Right)
	}
	for _, f := range n.From.all() {
		if f.Subquery != nil {
			out = append(out, f.Subquery.Node)
		}
	}
	return out
}

// all returns f and what it joins.
func (f *from) all() []*from {
	if f == nil {
		return nil
	}
	return slices.Concat([]*from{f}, f.Left.all(), f.Right.all())
}

// expressions returns those written directly in a query, without those of FROM; the
// select list comes first.
func (n *node) expressions() []*expr {
	var all []*expr
	for i := range n.Select {
		all = append(all, &n.Select[i])
	}
	for i := range n.Groups {
		all = append(all, &n.Groups[i])
	}
	for _, m := range n.Modifiers {
		for _, o := range m.Orders {
			all = append(all, o.Expression)
		}
		all = append(all, m.Limit, m.Offset)
	}
	all = append(all, n.Where, n.Having, n.Qualify)
	return slices.DeleteFunc(all, func(e *expr) bool { return e == nil })
}

// anywhere reports whether is holds for any expression of a query, its subqueries
// included. The scope is that of the expression.
func (n *node) anywhere(is func(*expr, *scope) bool) bool {
	inside := func(e *expr) bool {
		return e.any(func(e *expr) bool { return is(e, n.scope) || (e.Subquery != nil && e.Subquery.Node.anywhere(is)) })
	}
	return slices.ContainsFunc(n.below(), func(b *node) bool { return b.anywhere(is) }) ||
		slices.ContainsFunc(n.From.all(), func(f *from) bool { return f.Condition != nil && inside(f.Condition) }) ||
		slices.ContainsFunc(n.expressions(), inside)
}

// mentions counts how often a query and what is in it read from a bare name.
func (n *node) mentions(name string) int {
	count := 0
	inside := func(e *expr) bool {
		if e.Subquery != nil {
			count += e.Subquery.Node.mentions(name)
		}
		return false
	}
	for _, f := range n.From.all() {
		if f.Type == "BASE_TABLE" && f.Schema == "" && strings.EqualFold(f.Table, name) {
			count++
		}
		if f.Condition != nil {
			f.Condition.any(inside)
		}
	}
	for _, b := range n.below() {
		count += b.mentions(name)
	}
	for _, e := range n.expressions() {
		e.any(inside)
	}
	return count
}

// parts returns the expressions directly inside e.
func (e *expr) parts() []*expr {
	parts := []*expr{e.Left, e.Right, e.Child, e.Input, e.Lower, e.Upper, e.Else, e.Filter}
	for i := range e.Children {
		parts = append(parts, &e.Children[i])
	}
	for _, c := range e.Cases {
		parts = append(parts, c.When, c.Then)
	}
	for i := range e.Partitions {
		parts = append(parts, &e.Partitions[i])
	}
	for _, o := range e.Orders {
		parts = append(parts, o.Expression)
	}
	return slices.DeleteFunc(parts, func(p *expr) bool { return p == nil })
}

// any reports whether is holds for e or an expression inside it, subqueries not
// included.
func (e *expr) any(is func(*expr) bool) bool {
	return is(e) || slices.ContainsFunc(e.parts(), func(p *expr) bool { return p.any(is) })
}
