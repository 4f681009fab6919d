package sqlengine

import (
	"fmt"
	"strings"
)

// tokenKind is what a token is, as far as this package cares.
type tokenKind int

const (
	word tokenKind = iota // unquoted identifier, keyword or number
	quoted
	text   // '…'
	binary // x'…'
	sign   // one character of anything else
)

// token is a piece of a statement, text[from:to]; depth counts the parentheses
// round it.
type token struct {
	kind     tokenKind
	from, to int
	depth    int
}

// tokenize splits SQL into tokens without its comments. It fails for a text,
// identifier or comment without an end.
func tokenize(sql string) ([]token, error) {
	var tokens []token
	depth := 0
	for at := 0; at < len(sql); {
		c := sql[at]
		var kind tokenKind
		var to int
		switch {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			at++
			continue
		case strings.HasPrefix(sql[at:], "--"):
			at += lineEnd(sql[at:])
			continue
		case strings.HasPrefix(sql[at:], "/*"):
			to = commentEnd(sql, at)
			if to < 0 {
				return nil, parseError("Unexpected EOF while in a multi-line comment")
			}
			at = to
			continue
		case c == '\'':
			kind, to = text, quoteEnd(sql, at)
		case c == '"':
			kind, to = quoted, quoteEnd(sql, at)
		case (c == 'x' || c == 'X') && strings.HasPrefix(sql[at+1:], "'"):
			kind, to = binary, quoteEnd(sql, at+1)
		case isWord(c):
			kind, to = word, at+1
			for to < len(sql) && isWord(sql[to]) {
				to++
			}
		default:
			kind, to = sign, at+1
		}
		if to < 0 {
			return nil, parseError(fmt.Sprintf("Unterminated string literal at %s", place(sql, at)))
		}
		if c == ')' {
			depth--
		}
		tokens = append(tokens, token{kind, at, to, depth})
		if c == '(' {
			depth++
		}
		at = to
	}
	return tokens, nil
}

func isWord(c byte) bool {
	return c == '_' || c == '$' || c >= 0x80 || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
}

func lineEnd(s string) int {
	if i := strings.IndexByte(s, '\n'); i >= 0 {
		return i
	}
	return len(s)
}

// commentEnd finds the end of a comment, which may hold others.
func commentEnd(sql string, at int) int {
	for depth := 0; at < len(sql); {
		switch {
		case strings.HasPrefix(sql[at:], "/*"):
			depth++
			at += 2
		case strings.HasPrefix(sql[at:], "*/"):
			depth--
			at += 2
			if depth == 0 {
				return at
			}
		default:
			at++
		}
	}
	return -1
}

// quoteEnd finds the end of what begins with a quote at the place given; a
// doubled quote does not end it.
func quoteEnd(sql string, at int) int {
	quote := sql[at]
	for at++; at < len(sql); at++ {
		if sql[at] != quote {
			continue
		}
		if at+1 == len(sql) || sql[at+1] != quote {
			return at + 1
		}
		at++
	}
	return -1
}

// place names a position for an error, counted from one.
func place(sql string, at int) string {
	before := sql[:min(at, len(sql))]
	line := strings.Count(before, "\n")
	return fmt.Sprintf("Line: %d, Column: %d", line+1, len(before)-strings.LastIndexByte(before, '\n'))
}
