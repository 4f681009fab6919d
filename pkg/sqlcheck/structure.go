package sqlcheck

import "slices"

// span is a run of tokens [from, to).
type span struct{ from, to int }

// position is where a query stands.
type position int

const (
	topLevel   position = iota
	derived             // in FROM or WITH, or a branch of a set operation
	expression          // in an expression, for its value
	existence           // in EXISTS: whether it has rows is all that matters
)

// selection is a query: SELECTs joined by set operations, and what applies to
// all of them.
type selection struct {
	position  position
	recursive *Token // WITH RECURSIVE
	selects   []*selectBody
	limits    []limit
	orderBy   *Token
}

// limit is a clause that keeps rows by their number.
type limit struct {
	token  Token
	span   span // what follows the keyword
	unsure bool // it may be a column of that name
}

// selectBody is one SELECT.
type selectBody struct {
	start      int    // the token that begins it
	distinctOn []span // nil: no DISTINCT ON
	on         Token
	items      []span
	groupBy    []span
	grouped    bool
	where      span
	joins      []span // what follows ON and USING
	aliases    []string
	factors    int // tables and derived tables; not functions such as UNNEST
	windows    map[string]span
	clauses    []span // where functions may stand: items, HAVING, QUALIFY, ORDER BY
	inner      []*selection
}

// parser finds the structure of a query. It knows which keywords begin a clause
// and nothing of expressions; what it does not recognise is left to the server.
type parser struct {
	tokens   []Token
	tables   []Table
	position position // of the query being read
	err      error
}

// at returns a token, or one that equals nothing beyond either end.
func (p *parser) at(i int) Token {
	if i < 0 || i >= len(p.tokens) {
		end := Token{Kind: Symbol, line: 1, column: 1, mate: -1}
		if n := len(p.tokens); n > 0 {
			end.line, end.column = p.tokens[n-1].line, p.tokens[n-1].column
		}
		return end
	}
	return p.tokens[i]
}

func (p *parser) key(i int) string { return p.at(i).Key }

func (p *parser) fail(err error) {
	if p.err == nil {
		p.err = err
	}
}

// past returns the index after token i, or after its whole bracket.
func (p *parser) past(i int) int {
	if t := p.at(i); t.mate > i {
		return t.mate + 1
	}
	return i + 1
}

// beginsQuery reports whether a query begins at i, perhaps in brackets.
func (p *parser) beginsQuery(i int) bool {
	for p.at(i).is("(") {
		i++
	}
	switch p.key(i) {
	case "SELECT", "WITH", "VALUES":
		// A column may be called "values" or "with" where an operand stands.
		return p.key(i) == "SELECT" || isName(p.at(i+1)) || p.at(i+1).is("(")
	}
	return false
}

// operands are the keywords after which an operand must follow, so that a word
// there is a name even if it reads like a clause.
var operands = []string{
	"SELECT", "DISTINCT", "WHERE", "AND", "OR", "NOT", "XOR", "BY", "ON", "HAVING", "QUALIFY", "WHEN", "THEN", "ELSE",
	"CASE", "IN", "LIKE", "ILIKE", "BETWEEN", "AS", "FROM", "JOIN", "USING",
}

// continuations are the keywords that can follow a column but not LIMIT.
var continuations = []string{
	"AND", "OR", "XOR", "IS", "IN", "NOT", "LIKE", "ILIKE", "BETWEEN", "AS", "FROM", "ASC", "DESC", "NULLS", "THEN", "ELSE",
	"END", "WHEN", "WHERE", "GROUP", "HAVING", "QUALIFY", "WINDOW", "ORDER", "LIMIT", "OFFSET", "FETCH", "UNION", "EXCEPT",
	"INTERSECT", "COLLATE", "JOIN", "LEFT", "RIGHT", "FULL", "INNER", "CROSS",
}

// wantsOperand reports whether the token at i stands where only an operand or a
// name can, so that it is no clause.
func (p *parser) wantsOperand(i int) bool {
	before := p.at(i - 1)
	switch {
	case before.Kind == Symbol && before.Raw == "*":
		// "SELECT *" and "t.*" end an item; "a * b" continues it.
		return !slices.Contains([]string{"SELECT", "DISTINCT", "ALL"}, p.key(i-2)) && !p.at(i-2).is(",") && !p.at(i-2).is(".")
	case before.Kind == Symbol:
		return before.Raw != ")" && before.Raw != "]" && before.Raw != "}"
	}
	return slices.Contains(operands, before.Key) && !p.at(i-2).is(".")
}

// clause returns the clause that begins at i: its name and how many tokens the keyword
// takes. Where a word may be a column just as well, it counts as a
// clause: a column can be quoted, but a LIMIT that is missed is lost rows.
func (p *parser) clause(i int) (string, int) {
	key := p.key(i)
	if key == "" || p.at(i-1).is(".") {
		return "", 0
	}
	next := p.at(i + 1)
	switch key {
	case "FROM":
		if p.key(i-1) == "DISTINCT" && (p.key(i-2) == "IS" || p.key(i-2) == "NOT") {
			return "", 0 // IS [NOT] DISTINCT FROM
		}
		return key, 1
	case "WHERE", "HAVING", "QUALIFY", "PREWHERE":
		return key, 1
	case "GROUP", "ORDER", "SORT", "CLUSTER", "DISTRIBUTE":
		if next.Key == "BY" && (!p.wantsOperand(i) || key == "GROUP" || key == "ORDER") {
			return key, 2
		}
	case "WINDOW":
		if isName(next) && p.key(i+2) == "AS" {
			return key, 1
		}
	case "UNION", "INTERSECT", "MINUS":
		if p.wantsOperand(i) {
			return "", 0
		}
		return "SET", 1
	case "EXCEPT":
		// "* EXCEPT (a, b)" leaves columns out.
		if p.wantsOperand(i) || (next.is("(") && !p.beginsQuery(i+1)) {
			return "", 0
		}
		return "SET", 1
	case "LIMIT", "OFFSET":
		operand := next.Kind != Symbol || next.is("(") || next.is("$") || next.is("?") || next.is("-")
		if next.Key != "" {
			operand = !slices.Contains(continuations, next.Key)
		}
		if !p.wantsOperand(i) || (operand && !next.is("-")) {
			return "LIMIT", 1
		}
	case "FETCH":
		if next.Key == "FIRST" || next.Key == "NEXT" {
			return "LIMIT", 1
		}
	case "TABLESAMPLE":
		return "LIMIT", 1
	case "SAMPLE":
		if (next.is("(") && !p.wantsOperand(i)) || next.Kind == Number {
			return "LIMIT", 1
		}
	}
	return "", 0
}

// query reads the query in [from, to). scope is the names of the common table
// expressions that it can see.
func (p *parser) query(from, to int, where position, scope []string) *selection {
	outer := p.position
	p.position = max(outer, where) // a derived table inside EXISTS is still of EXISTS
	defer func() { p.position = outer }()
	q := &selection{position: where}
	scope = slices.Clone(scope)
	body := &selectBody{windows: map[string]span{}}
	i := from
	if p.key(i) == "WITH" {
		i, scope = p.with(i+1, to, q, body, scope)
	}
	q.selects = append(q.selects, body)
	start, clause := i, ""
	for i <= to && p.err == nil {
		name, length := "", 0
		if i < to {
			if name, length = p.clause(i); name == "" && !p.opens(i, start, clause) {
				i = p.past(i)
				continue
			}
		}
		p.take(q, body, clause, span{start, min(i, to)}, scope)
		if i >= to {
			break
		}
		switch {
		case name == "FROM" && clause == "":
			p.fail(p.at(i).errorf(fromFirst))
		case name == "SET":
			i += length
			for slices.Contains([]string{"ALL", "DISTINCT", "BY", "NAME"}, p.key(i)) {
				i++
			}
			body = &selectBody{windows: map[string]span{}}
			q.selects = append(q.selects, body)
			start, clause = i, ""
		case name == "LIMIT":
			q.limits = append(q.limits, limit{token: p.at(i), unsure: p.wantsOperand(i)})
			fallthrough
		case name != "":
			if name == "ORDER" {
				t := p.at(i)
				q.orderBy = &t
			}
			start, clause = i+length, name
			i = start
		default: // SELECT or a query in brackets
			if p.at(i).is("(") {
				body.inner = append(body.inner, p.query(i+1, p.at(i).mate, derived, scope))
				i = p.past(i)
				start, clause = i, "AFTER"
				continue
			}
			body.start = i
			i = p.head(q, body, i)
			start, clause = i, "SELECT"
		}
	}
	return q
}

// opens reports whether a SELECT, or a query in brackets, begins a branch at i.
func (p *parser) opens(i, start int, clause string) bool {
	return clause == "" && i == start && (p.key(i) == "SELECT" || p.at(i).is("("))
}

// with reads what follows WITH and returns the index after it.
func (p *parser) with(i, to int, q *selection, body *selectBody, scope []string) (int, []string) {
	if p.key(i) == "RECURSIVE" {
		t := p.at(i)
		q.recursive = &t
		i++
	}
	for {
		name := p.at(i)
		i++
		if p.at(i).is("(") {
			i = p.past(i) // column names
		}
		if p.key(i) == "AS" {
			i++
		}
		for p.key(i) == "NOT" || p.key(i) == "MATERIALIZED" {
			i++
		}
		if !isName(name) || !p.at(i).is("(") || i >= to {
			p.fail(p.at(i).errorf("WITH is not understood here; write it as WITH name AS (SELECT …) SELECT …"))
			return to, scope
		}
		body.inner = append(body.inner, p.query(i+1, p.at(i).mate, derived, scope))
		scope = append(scope, name.name)
		if i = p.past(i); !p.at(i).is(",") {
			return i, scope
		}
		i++
	}
}

// head reads SELECT and what may stand before its items.
func (p *parser) head(q *selection, body *selectBody, i int) int {
	i++
	for {
		switch {
		case p.key(i) == "ALL" && !p.at(i+1).is(","):
			i++
		case p.key(i) == "DISTINCT" && p.key(i+1) == "ON" && p.at(i+2).is("("):
			body.on = p.at(i)
			body.distinctOn = p.split(span{i + 3, p.at(i + 2).mate})
			return p.past(i + 2)
		case p.key(i) == "DISTINCT":
			i++
		case p.key(i) == "TOP" && (p.at(i+1).Kind == Number || p.at(i+1).is("(")):
			q.limits = append(q.limits, limit{token: p.at(i), span: span{i + 1, i + 2}})
			return p.past(i + 1)
		default:
			return i
		}
	}
}

// take stores the content of a clause in body, or in q.
func (p *parser) take(q *selection, body *selectBody, clause string, s span, scope []string) {
	switch clause {
	case "": // VALUES, or nothing at all
		p.inner(body, s, scope)
		return
	case "FROM":
		p.from(body, s, scope)
		return
	case "SELECT":
		body.items = p.split(s)
		body.clauses = append(body.clauses, s)
	case "WHERE":
		body.where = s
	case "GROUP":
		body.grouped, body.groupBy = true, p.split(s)
	case "HAVING", "QUALIFY", "ORDER":
		body.clauses = append(body.clauses, s)
	case "WINDOW":
		for _, w := range p.split(s) {
			if open := w.from + 2; p.at(open).is("(") {
				body.windows[p.at(w.from).name] = span{open + 1, p.at(open).mate}
			}
		}
	case "LIMIT":
		q.limits[len(q.limits)-1].span = s
	}
	p.inner(body, s, scope)
}

// inner reads the queries inside an expression.
func (p *parser) inner(body *selectBody, s span, scope []string) {
	for i := s.from; i < s.to; i++ {
		if !p.at(i).is("(") {
			continue
		}
		if p.fromFirst(i) {
			p.fail(p.at(i + 1).errorf(fromFirst))
			return
		}
		if !p.beginsQuery(i + 1) {
			continue
		}
		where := expression
		if p.key(i-1) == "EXISTS" {
			where = existence
		}
		body.inner = append(body.inner, p.query(i+1, p.at(i).mate, where, scope))
		i = p.at(i).mate
	}
}

const fromFirst = "a query that begins with FROM is not supported; write it as SELECT … FROM …"

// fromFirst reports whether "(FROM …" begins a query and not, as in trim(FROM x),
// the arguments of a function.
func (p *parser) fromFirst(i int) bool {
	return p.key(i+1) == "FROM" && (!isName(p.at(i-1)) || p.wantsOperand(i))
}

// split cuts a span at its commas.
func (p *parser) split(s span) []span {
	var parts []span
	start := s.from
	for i := s.from; i < s.to; i = p.past(i) {
		if p.at(i).is(",") {
			parts = append(parts, span{start, i})
			start = i + 1
		}
	}
	if start < s.to {
		parts = append(parts, span{start, s.to})
	}
	return parts
}
