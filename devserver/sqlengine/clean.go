package sqlengine

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ampipe/ampipe/pkg/sqlcheck"
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
	if tokens, err = oneStatement(tokens); err != nil {
		return cleaned{}, err
	}
	if err := readOnly(tokens[0]); err != nil {
		return cleaned{}, err
	}
	var out cleaned
	var text strings.Builder
	for i, depth := 0, 0; i < len(tokens); {
		t := tokens[i]
		if n := settings(tokens[i:]); n > 0 {
			if depth == 0 {
				if i+n < len(tokens) {
					next := tokens[i+n]
					return cleaned{}, parseError(fmt.Sprintf("Expected: end of statement, found: %s at %s", next.Raw, place(sql, next.At)))
				}
				out.streaming = streaming(tokens[i:])
			}
			i += n
			continue
		}
		switch {
		case isSign(t, "("):
			depth++
		case isSign(t, ")"):
			depth--
		}
		if i > 0 && tokens[i-1].End != t.At {
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

// tokenize splits SQL into tokens, without comments.
func tokenize(sql string) ([]sqlcheck.Token, error) {
	tokens, err := sqlcheck.Tokenize(sql)
	var at *sqlcheck.SyntaxError
	switch {
	case err == nil:
		return tokens, nil
	case !errors.As(err, &at):
		return nil, parseError(err.Error())
	case at.Open == '*':
		return nil, parseError("Unexpected EOF while in a multi-line comment")
	}
	what := at.Text
	if at.Open != 0 {
		what = "Unterminated string literal"
	}
	return nil, parseError(fmt.Sprintf("%s at Line: %d, Column: %d", what, at.Line, at.Column))
}

// place names a position for an error, counted from one.
func place(sql string, at int) string {
	before := sql[:min(at, len(sql))]
	line := strings.Count(before, "\n")
	return fmt.Sprintf("Line: %d, Column: %d", line+1, len(before)-strings.LastIndexByte(before, '\n'))
}

func isSign(t sqlcheck.Token, sign string) bool { return t.Kind == sqlcheck.Symbol && t.Raw == sign }

func isSemicolon(t sqlcheck.Token) bool { return isSign(t, ";") }

// oneStatement drops trailing semicolons and counts statements.
func oneStatement(tokens []sqlcheck.Token) ([]sqlcheck.Token, error) {
	statements, open := 0, false
	for _, t := range tokens {
		if isSemicolon(t) {
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
	return slices.DeleteFunc(tokens, isSemicolon), nil
}

// writing lists the first words of statements that change something (AP 4.1).
var writing = []string{
	"alter", "analyze", "attach", "begin", "call", "commit", "copy", "create", "deallocate", "delete", "detach",
	"drop", "execute", "export", "grant", "import", "insert", "install", "load", "merge", "pragma", "prepare", "reset",
	"rollback", "set", "start", "truncate", "update", "use", "vacuum",
}

func readOnly(token sqlcheck.Token) error {
	switch first := strings.ToLower(token.Key); {
	case slices.Contains(writing, first):
		return inferError(Invalid, "Error during planning: query plan violates read-only constraints: "+
			"query plan violates read-only constraints")
	case first == "show":
		return internal("failed to infer SQL output schema | Caused by: Error during planning: " +
			"SHOW TABLES is not supported unless information_schema is enabled")
	case first == "explain" || first == "describe" || first == "summarize":
		return &Error{Unoffered, token.Key + " is not offered by the development server"}
	}
	return nil
}

// settings returns how many tokens a SETTINGS clause at the front takes; 0 if
// there is none. The word is reserved, but not for names after a dot.
func settings(tokens []sqlcheck.Token) int {
	if tokens[0].Key != "SETTINGS" {
		return 0
	}
	for n := 1; n+2 < len(tokens) && tokens[n].Key != "" && isSign(tokens[n+1], "="); n++ {
		n += 3
		if n == len(tokens) || !isSign(tokens[n], ",") {
			return n
		}
	}
	return 0
}

// streaming looks for stream = true in a SETTINGS clause: the boolean literal,
// nothing else.
func streaming(clause []sqlcheck.Token) bool {
	for i := 1; i+2 < len(clause); i += 4 {
		if clause[i].Key == "STREAM" && clause[i+2].Kind == sqlcheck.Word {
			return clause[i+2].Key == "TRUE"
		}
	}
	return false
}

func write(to *strings.Builder, sql string, t sqlcheck.Token) error {
	digits, binary := strings.CutPrefix(strings.ToLower(t.Raw), "x'")
	switch {
	case t.Key == "TO":
		to.WriteString(`"to"`) // a column of transactions; DuckDB reserves the word
	case t.Kind != sqlcheck.Text || !binary:
		to.WriteString(t.Raw)
	default:
		digits = strings.TrimSuffix(digits, "'")
		if _, err := hex.DecodeString(digits); err != nil {
			return parseError(fmt.Sprintf("Invalid hex literal %s at %s", t.Raw, place(sql, t.At)))
		}
		to.WriteString("from_hex('" + digits + "')")
	}
	return nil
}
