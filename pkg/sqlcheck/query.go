// Package sqlcheck checks a user's query and wraps it into the queries that fetch
// parts of it. It reads SQL only as far as that takes: strings, quoted names, comments,
// brackets and the clauses of each SELECT. The rest is left to the server.
//
// Everything here is pure and safe for concurrent use.
package sqlcheck

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ampipe/ampipe/pkg/fault"
)

// Query is a user's query that can be wrapped.
type Query struct {
	text     string
	tokens   []Token
	root     *selection
	tables   []Table // every mention, in the order of the text
	settings *Token  // the SETTINGS clause that was taken off
}

// Parse parses a query. It removes what may follow it: semicolons, comments
// after them, and one SETTINGS clause at the end of the outermost query (a
// clause that says "stream" is ampipe's decision, and the server ignores others;
// AP 4.1). Errors are permanent and name what to change.
func Parse(query string) (*Query, error) {
	q, err := parse(query)
	if err != nil {
		return nil, fault.Permanent(fmt.Errorf("query: %w", err))
	}
	return q, nil
}

func parse(query string) (*Query, error) {
	tokens, err := Tokenize(query)
	if err != nil {
		return nil, err
	}
	cut := len(query)
	if i := slices.IndexFunc(tokens, func(t Token) bool { return t.is(";") }); i >= 0 {
		if j := slices.IndexFunc(tokens[i:], func(t Token) bool { return !t.is(";") }); j >= 0 {
			return nil, tokens[i+j].errorf("a second statement begins here; a pipeline has one query " +
				`(several pipelines can stand in one file, with "---" between them)`)
		}
		cut, tokens = tokens[i].At, tokens[:i]
	}
	if len(tokens) == 0 {
		return nil, errors.New("it is empty; write a SELECT")
	}
	q := &Query{}
	if i := findSettings(tokens); i >= 0 {
		if err := checkSettings(tokens, i); err != nil {
			return nil, err
		}
		q.settings = &tokens[i]
		cut, tokens = tokens[i].At, tokens[:i]
	}
	q.text, q.tokens = strings.TrimSpace(query[:cut]), tokens
	p := &parser{tokens: tokens}
	first := slices.IndexFunc(tokens, func(t Token) bool { return !t.is("(") })
	if !p.beginsQuery(0) || p.key(first) == "VALUES" {
		return nil, p.notQuery(p.at(max(first, 0)))
	}
	q.root = p.query(0, len(tokens), topLevel, nil)
	q.tables = p.tables
	return q, p.err
}

// Text returns the query without what [Parse] removes.
func (q *Query) Text() string { return q.text }

// notQuery returns why a token cannot begin the query.
func (p *parser) notQuery(t Token) error {
	switch t.Key {
	case "FROM":
		return t.errorf(fromFirst)
	case "EXPLAIN", "DESCRIBE":
		return t.errorf("%s gives a plan, not rows; remove it", t.Key)
	case "VALUES":
		return t.errorf("VALUES has no blocks; write a SELECT from a table of the server")
	}
	return t.errorf("it must begin with SELECT or WITH, not %q; only queries that read are possible", t.Raw)
}

// findSettings finds the first SETTINGS that is a clause, at any depth, or -1.
// After a dot, or where an operand is expected, it is a name; a clause continues
// with "name =".
func findSettings(tokens []Token) int {
	p := &parser{tokens: tokens}
	for i, t := range tokens {
		if t.Key == "SETTINGS" && i > 0 && !p.wantsOperand(i) && isName(p.at(i+1)) && p.at(i+2).is("=") {
			return i
		}
	}
	return -1
}

// checkSettings accepts "SETTINGS name = value, …" when nothing follows.
func checkSettings(tokens []Token, i int) error {
	p := &parser{tokens: tokens}
	if slices.ContainsFunc(tokens[:i], func(t Token) bool { return t.is("(") && t.mate > i }) {
		return tokens[i].errorf("SETTINGS inside a subquery has no effect on the server; remove it")
	}
	for j := i + 1; ; j++ {
		if !isName(p.at(j)) || !p.at(j+1).is("=") {
			return p.at(j).errorf("after SETTINGS there must be name = value; ampipe needs none, so the whole clause can be removed")
		}
		j += 2
		if p.at(j).is("-") {
			j++
		}
		if j >= len(tokens) || p.at(j).Kind == Symbol {
			return tokens[i].errorf("SETTINGS has a name without a value; ampipe needs none, so the whole clause can be removed")
		}
		switch after := p.at(j + 1); {
		case j+1 == len(tokens):
			return nil
		case after.Key == "SETTINGS":
			return after.errorf("SETTINGS is written twice; one is enough, and ampipe needs none")
		case !after.is(","):
			return after.errorf("%q follows SETTINGS, which must be the last clause; ampipe needs none, so it can be removed", after.Raw)
		}
		j++
	}
}

func isName(t Token) bool { return t.Kind == Quoted || (t.Kind == Word && t.Raw != "") }
