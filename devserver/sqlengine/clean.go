package sqlengine

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// cleaned is a statement in DuckDB's words, and what was said besides.
type cleaned struct {
	sql       string
	streaming bool // SETTINGS stream = true on the outermost query
}

// clean checks what does not need a parser: one statement, read-only; takes off
// SETTINGS clauses (AP 4.1) and turns x'…' into a literal that DuckDB has.
func clean(sql string) (cleaned, error) {
	if strings.TrimSpace(sql) == "" {
		return cleaned{}, invalid("invalid query: string cannot be empty")
	}
	tokens, err := tokenize(sql)
	if err != nil {
		return cleaned{}, err
	}
	if tokens, err = oneStatement(sql, tokens); err != nil {
		return cleaned{}, err
	}
	if err := readOnly(sql, tokens); err != nil {
		return cleaned{}, err
	}
	var out cleaned
	var text strings.Builder
	for i := 0; i < len(tokens); {
		t := tokens[i]
		if n := settings(sql, tokens[i:]); n > 0 {
			if t.depth == 0 {
				if i+n < len(tokens) {
					next := tokens[i+n]
					return cleaned{}, parseError(fmt.Sprintf("Expected: end of statement, found: %s at %s",
						sql[next.from:next.to], place(sql, next.from)))
				}
				out.streaming = streaming(sql, tokens[i:])
			}
			i += n
			continue
		}
		if i > 0 && tokens[i-1].to != t.from {
			text.WriteByte(' ')
		}
		if err := write(&text, sql, t); err != nil {
			return cleaned{}, err
		}
		i++
	}
	out.sql = text.String()
	return out, nil
}

// oneStatement drops trailing semicolons and counts statements.
func oneStatement(sql string, tokens []token) ([]token, error) {
	statements, open := 0, false
	for _, t := range tokens {
		if semicolon(sql, t) {
			open = false
			continue
		}
		if !open {
			statements++
		}
		open = true
	}
	if statements != 1 {
		return nil, invalid(fmt.Sprintf("SQL parse error | Caused by: Expected a single SQL statement, found %d", statements))
	}
	return slices.DeleteFunc(tokens, func(t token) bool { return semicolon(sql, t) }), nil
}

func semicolon(sql string, t token) bool { return t.kind == sign && sql[t.from] == ';' }

// writing lists the first words of statements that change something (AP 4.1).
var writing = []string{
	"alter", "analyze", "attach", "begin", "call", "commit", "copy", "create", "deallocate", "delete", "detach",
	"drop", "execute", "export", "grant", "import", "insert", "install", "load", "merge", "pragma", "prepare", "reset",
	"rollback", "set", "start", "truncate", "update", "use", "vacuum",
}

func readOnly(sql string, tokens []token) error {
	first := strings.ToLower(sql[tokens[0].from:tokens[0].to])
	switch {
	case tokens[0].kind != word:
		return nil
	case slices.Contains(writing, first):
		return inferError(Invalid, "Error during planning: query plan violates read-only constraints: "+
			"query plan violates read-only constraints")
	case first == "show":
		return internal("failed to infer SQL output schema | Caused by: Error during planning: " +
			"SHOW TABLES is not supported unless information_schema is enabled")
	case first == "explain" || first == "describe" || first == "summarize":
		return &Error{Unoffered, strings.ToUpper(first) + " is not offered by the development server"}
	}
	return nil
}

// settings returns how many tokens a SETTINGS clause at the front takes; 0 if
// there is none. The word is reserved, but not for names after a dot.
func settings(sql string, tokens []token) int {
	is := func(i int, kind tokenKind, want string) bool {
		return i < len(tokens) && tokens[i].kind == kind && (want == "" || strings.EqualFold(sql[tokens[i].from:tokens[i].to], want))
	}
	if !is(0, word, "settings") {
		return 0
	}
	n := 1
	for is(n, word, "") && is(n+1, sign, "=") && n+2 < len(tokens) {
		n += 3
		if !is(n, sign, ",") {
			return n
		}
		n++
	}
	return 0
}

// streaming looks for stream = true in a SETTINGS clause: the boolean literal,
// nothing else.
func streaming(sql string, clause []token) bool {
	at := func(i int) string { return sql[clause[i].from:clause[i].to] }
	for i := 1; i+2 < len(clause); i += 4 {
		if strings.EqualFold(at(i), "stream") && clause[i+2].kind == word {
			return strings.EqualFold(at(i+2), "true")
		}
	}
	return false
}

func write(to *strings.Builder, sql string, t token) error {
	switch {
	case t.kind == word && strings.EqualFold(sql[t.from:t.to], "to"):
		to.WriteString(`"to"`) // a column of transactions; DuckDB reserves the word
		return nil
	case t.kind != binary:
		to.WriteString(sql[t.from:t.to])
		return nil
	}
	digits := sql[t.from+2 : t.to-1]
	if _, err := hex.DecodeString(digits); err != nil {
		return parseError(fmt.Sprintf("Invalid hex literal %s at %s", sql[t.from:t.to], place(sql, t.from)))
	}
	to.WriteString("from_hex('" + digits + "')")
	return nil
}
