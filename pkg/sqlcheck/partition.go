package sqlcheck

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/ampipe/ampipe/pkg/fault"
)

// Partitionable reports whether the query may be read in block ranges, at
// different times, while the chain grows: whether the rows of a block depend on
// nothing that later blocks can change by counting, limiting or ranking. It
// returns nil or one permanent error with every reason, each with its place and
// the fix. column is the configured block column, "" for auto; _block_num and
// block_num always count as such (AP 4.3).
//
// A query that passes is read rightly if joins and subqueries relate rows of the same
// block, or rows that do not change any more; [Query.Warnings] names those that
// it cannot decide.
func (q *Query) Partitionable(column string) error {
	c := &checker{parser: &parser{tokens: q.tokens}, columns: blockColumns(column)}
	c.selection(q.root)
	for i, t := range q.tokens {
		if t.name == "block_num" && isName(t) && c.at(i+1).is("(") && !c.at(i-1).is(".") {
			c.refuse(t, "block_num() works in streams only, and history is not read as a stream; use the column %s", c.columns[0])
		}
	}
	if len(c.refusals) == 0 {
		return nil
	}
	slices.SortFunc(c.refusals, func(a, b refusal) int { return a.token.At - b.token.At })
	errs := make([]error, len(c.refusals))
	for i, r := range c.refusals {
		errs[i] = r.token.errorf("%s", r.reason)
	}
	return fault.Permanent(fmt.Errorf("query cannot be read in block ranges: %w", errors.Join(errs...)))
}

func blockColumns(configured string) []string {
	columns := []string{"_block_num", "block_num"}
	if configured != "" && !slices.Contains(columns, configured) {
		columns = append(columns, configured)
	}
	return columns
}

type refusal struct {
	token  Token
	reason string
}

type checker struct {
	*parser
	columns  []string
	refusals []refusal
}

func (c *checker) refuse(t Token, format string, args ...any) {
	c.refusals = append(c.refusals, refusal{t, fmt.Sprintf(format, args...)})
}

func (c *checker) selection(q *selection) {
	if q.recursive != nil {
		c.refuse(*q.recursive, "WITH RECURSIVE may go through all blocks; load the rows and do this in the destination")
	}
	for _, l := range q.limits {
		if c.harmless(q, l) {
			continue
		}
		hint := "range.min_block and range.max_block bound what is loaded"
		if l.unsure {
			hint = "if it is a column, write it in double quotes"
		}
		c.refuse(l.token, "%s keeps rows by their number, "+
			"so which rows a block gets would depend on when it is read; remove it (%s)", l.token.Key, hint)
	}
	for _, s := range q.selects {
		c.body(s, q.position)
	}
}

// harmless reports whether a limit changes nothing: LIMIT ALL, LIMIT NULL, and a
// positive LIMIT in EXISTS.
func (c *checker) harmless(q *selection, l limit) bool {
	if l.token.Key != "LIMIT" || l.span.to-l.span.from != 1 {
		return false
	}
	n := c.at(l.span.from)
	return n.Key == "ALL" || n.Key == "NULL" ||
		(q.position == existence && n.Kind == Number && n.Raw[0] >= '1' && n.Raw[0] <= '9' && len(q.limits) == 1)
}

func (c *checker) body(s *selectBody, where position) {
	for _, inner := range s.inner {
		c.selection(inner)
	}
	// Of a subquery that sees one block only, everything goes.
	if where >= expression && c.correlated(s) {
		return
	}
	if s.distinctOn != nil && !slices.ContainsFunc(s.distinctOn, c.isBlock) {
		c.refuse(s.on, "DISTINCT ON keeps one row of all blocks; put the block column into it, as DISTINCT ON (%s, …)", c.columns[0])
	}
	byBlock := slices.ContainsFunc(s.groupBy, func(key span) bool { return c.isBlockKey(s, key) })
	for _, clause := range s.clauses {
		for _, call := range c.calls(clause) {
			switch {
			case call.window != nil:
				if !c.windowByBlock(s, *call.window) {
					c.refuse(call.name, "the window of %s goes over all blocks; "+
						"add the block column to it, as OVER (PARTITION BY %s …)", call.name.Raw, c.columns[0])
				}
			case aggregates[call.name.name] && !byBlock:
				byBlock = true // one complaint for a SELECT is enough
				c.refuse(call.name, "%s aggregates over all blocks, so its result changes as the chain grows; "+
					"add the block column to the keys, as GROUP BY %s, …, or load the rows and aggregate in the destination", call.name.Raw, c.columns[0])
			}
		}
	}
}

// isBlock reports whether an expression is the block column itself.
func (c *checker) isBlock(s span) bool {
	_, name, ok := c.column(s)
	return ok && slices.Contains(c.columns, name)
}

// column reads an expression that is nothing but a column: its qualifier and
// its name.
func (c *checker) column(s span) (qualifier, name string, ok bool) {
	for s.to-s.from > 2 && c.at(s.from).is("(") && c.past(s.from) == s.to {
		s = span{s.from + 1, s.to - 1}
	}
	parts, end := c.dotted(s.from)
	if end != s.to || len(parts) == 0 {
		return "", "", false
	}
	if len(parts) > 1 {
		qualifier = parts[len(parts)-2]
	}
	return qualifier, parts[len(parts)-1], true
}

// isBlockKey reports whether a key of GROUP BY is the block column: by name, by
// the number of an item, or among (a, b).
func (c *checker) isBlockKey(s *selectBody, key span) bool {
	first := c.at(key.from)
	if key.to-key.from == 1 {
		if n := 0; first.Kind == Number {
			if _, err := fmt.Sscanf(first.Raw, "%d", &n); err != nil || n < 1 || n > len(s.items) {
				return false
			}
			// A "*" before it would shift the items.
			plain := !slices.ContainsFunc(s.items[:n], func(i span) bool { return c.at(i.to - 1).is("*") })
			return plain && c.isBlock(c.withoutAlias(s.items[n-1]))
		}
		if first.Key == "ALL" {
			return slices.ContainsFunc(s.items, func(i span) bool { return c.isBlock(c.withoutAlias(i)) })
		}
	}
	if first.is("(") && c.past(key.from) == key.to {
		return slices.ContainsFunc(c.split(span{key.from + 1, key.to - 1}), func(k span) bool { return c.isBlockKey(s, k) })
	}
	qualifier, name, ok := c.column(key)
	if !ok {
		return false
	}
	// A key without qualifier may name an item of the select list.
	for _, item := range s.items {
		expr := c.withoutAlias(item)
		if alias := c.at(item.to - 1); expr != item && alias.name == name && qualifier == "" {
			return c.isBlock(expr)
		}
	}
	return slices.Contains(c.columns, name)
}

// withoutAlias cuts "AS alias" or "alias" off an item.
func (c *checker) withoutAlias(item span) span {
	if item.to-item.from < 2 || !isName(c.at(item.to-1)) {
		return item
	}
	before := c.at(item.to - 2)
	switch {
	case before.Key == "AS":
		return span{item.from, item.to - 2}
	case before.Kind == Symbol && !before.is(")") && !before.is("]"):
		return item
	}
	return span{item.from, item.to - 1}
}

// correlated reports whether a subquery sees only rows of the block of the row
// around it: one of its conditions, joined by AND alone, is
// "inner.block = outer.block".
func (c *checker) correlated(s *selectBody) bool {
	for _, term := range c.conjuncts(s.where) {
		equals := -1
		for i := term.from; i < term.to; i = c.past(i) {
			if c.at(i).is("=") {
				equals = i
			}
		}
		if equals < 0 {
			continue
		}
		left, l, ok1 := c.column(span{term.from, equals})
		right, r, ok2 := c.column(span{equals + 1, term.to})
		if ok1 && ok2 && slices.Contains(c.columns, l) && slices.Contains(c.columns, r) && left != "" && right != "" &&
			slices.Contains(s.aliases, left) != slices.Contains(s.aliases, right) {
			return true
		}
	}
	return false
}

// conjuncts cuts a condition at its ANDs. An OR, or a CASE, leaves it whole.
func (c *checker) conjuncts(s span) []span {
	var terms []span
	start, between := s.from, false
	for i := s.from; i < s.to; i = c.past(i) {
		switch c.key(i) {
		case "OR", "XOR", "CASE":
			return nil
		case "BETWEEN":
			between = true
		case "AND":
			if between {
				between = false
				continue
			}
			terms = append(terms, span{start, i})
			start = i + 1
		}
	}
	return append(terms, span{start, s.to})
}

// windowByBlock reports whether a window is cut by the block column.
func (c *checker) windowByBlock(s *selectBody, w span) bool {
	if (w.to-w.from == 1 && isName(c.at(w.from))) || (w.from < w.to && isName(c.at(w.from)) && c.key(w.from) != "PARTITION") {
		// A window by name, or one that builds on another.
		if base, known := s.windows[c.at(w.from).name]; known && base != w {
			return base.from != w.from && c.windowByBlock(&selectBody{windows: without(s.windows, c.at(w.from).name)}, base)
		}
	}
	if c.key(w.from) != "PARTITION" || c.key(w.from+1) != "BY" {
		return false
	}
	end := w.from + 2
	for end < w.to && !slices.Contains([]string{"ORDER", "ROWS", "RANGE", "GROUPS"}, c.key(end)) {
		end = c.past(end)
	}
	return slices.ContainsFunc(c.split(span{w.from + 2, end}), c.isBlock)
}

// without copies the windows but one, so that windows that name each other in a
// circle come to an end.
func without(windows map[string]span, name string) map[string]span {
	rest := maps.Clone(windows)
	delete(rest, name)
	return rest
}
