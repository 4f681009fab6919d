package sqlcheck

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ampipe/ampipe/pkg/fault"
)

// HexComparisons returns an error for binary columns that are compared with text such as
// '0x9a71…'. A server refuses that only when rows are read (AP 4.7), or, for
// columns of variable length, compares the bytes with the characters and finds
// nothing. isBinary reports whether some table of the query has a binary column of
// that name. The error is permanent and names every literal as it must be
// written.
func (q *Query) HexComparisons(isBinary func(column string) bool) error {
	p := &parser{tokens: q.tokens}
	var errs []error
	for i, t := range q.tokens {
		if t.Kind != Text || t.prefix != "" || !looksHex(t.name) {
			continue
		}
		column := p.comparedWith(i)
		if column == "" || !isBinary(column) {
			continue
		}
		errs = append(errs, t.errorf("column %s is binary and %s is text, which never match; write %s", column, shorten(t.Raw), literal(t.name)))
	}
	if errs == nil {
		return nil
	}
	return fault.Permanent(fmt.Errorf("query compares binary columns with text: %w", errors.Join(errs...)))
}

// looksHex reports whether a text is meant as bytes: it begins with 0x, or has the
// digits of an address or a hash.
func looksHex(s string) bool {
	if strings.HasPrefix(s, "0x") || strings.HasPrefix(s, "0X") {
		return true
	}
	_, err := hex.DecodeString(s)
	return err == nil && (len(s) == 40 || len(s) == 64)
}

// literal returns a text of hex digits as a binary literal.
func literal(s string) string {
	digits := strings.TrimPrefix(strings.TrimPrefix(s, "0x"), "0X")
	if _, err := hex.DecodeString(digits); err != nil {
		return "x'…' with two hex digits for each byte (these are not)"
	}
	return "x'" + strings.ToLower(digits) + "'"
}

func shorten(s string) string {
	if r := []rune(s); len(r) > 80 {
		return string(r[:60]) + "…'"
	}
	return s
}

// comparedWith returns the column that the text at i is compared with, or "".
func (p *parser) comparedWith(i int) string {
	if p.comparison(i-1) > 0 && !p.binds(i+1) {
		return p.columnBefore(i - p.comparison(i-1))
	}
	if n := p.comparisonAfter(i + 1); n > 0 {
		if parts, end := p.dotted(i + 1 + n); len(parts) > 0 && !p.at(end).is("(") && !p.binds(end) && !p.binds(i-1) {
			return parts[len(parts)-1]
		}
	}
	// BETWEEN '…' AND '…': the column stands before BETWEEN.
	if p.key(i-1) == "AND" && p.key(i-3) == "BETWEEN" && !p.binds(i+1) {
		return p.columnBefore(p.beforeNot(i - 3))
	}
	if p.key(i-1) == "BETWEEN" {
		return p.columnBefore(p.beforeNot(i - 1))
	}
	return p.columnOfList(i)
}

// columnOfList returns the column of "column IN (…, '…', …)".
func (p *parser) columnOfList(i int) string {
	if p.binds(i-1) || p.binds(i+1) {
		return ""
	}
	for j := i - 1; j >= 0; j-- {
		switch t := p.at(j); {
		case t.mate >= 0 && t.mate < j:
			j = t.mate
		case t.is("("):
			if p.key(j-1) == "IN" && (p.at(i-1).is("(") || p.at(i-1).is(",")) {
				return p.columnBefore(p.beforeNot(j - 1))
			}
			return ""
		}
	}
	return ""
}

// comparison returns the number of tokens of the comparison that ends at i, or 0.
func (p *parser) comparison(i int) int {
	t := p.at(i)
	if t.Kind == Symbol && slices.Contains([]string{"=", "==", "<>", "!=", "<", ">", "<=", ">=", "<=>"}, t.Raw) {
		return 1
	}
	if t.Key == "FROM" && p.key(i-1) == "DISTINCT" {
		switch {
		case p.key(i-2) == "IS":
			return 3
		case p.key(i-2) == "NOT" && p.key(i-3) == "IS":
			return 4
		}
	}
	return 0
}

// comparisonAfter returns the number of tokens of the comparison at i, or 0.
func (p *parser) comparisonAfter(i int) int {
	for n := 1; n <= 4; n++ {
		if p.comparison(i+n-1) == n {
			return n
		}
	}
	return 0
}

// columnBefore returns the name of the column that ends before i, unless it is
// part of a larger expression.
func (p *parser) columnBefore(i int) string {
	if !isName(p.at(i - 1)) {
		return ""
	}
	start := i - 1
	for p.at(start-1).is(".") && isName(p.at(start-2)) {
		start -= 2
	}
	if p.binds(start - 1) {
		return ""
	}
	return p.at(i - 1).name
}

// beforeNot steps over the NOT of NOT IN and NOT BETWEEN.
func (p *parser) beforeNot(i int) int {
	if p.key(i-1) == "NOT" {
		return i - 1
	}
	return i
}

// binds reports whether the token is an operator that binds stronger than a
// comparison.
func (p *parser) binds(i int) bool {
	t := p.at(i)
	operators := []string{"||", "+", "-", "*", "/", "%", "::", "->", "->>", "[", "&", "|", "^", "#", "//"}
	return t.Kind == Symbol && slices.Contains(operators, t.Raw)
}
