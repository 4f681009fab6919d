package sqlcheck

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Kind is what a token is.
type Kind int

const (
	Word   Kind = iota // unquoted identifier or keyword
	Quoted             // "identifier" or `identifier`
	Text               // any string literal, x'…' included
	Number
	Symbol // operator or punctuation
)

// Token is one token of a query; white space and comments are not tokens.
type Token struct {
	Kind    Kind
	Raw     string // as written
	Key     string // word: upper case, to compare with keywords; else empty
	At, End int    // byte offsets in the query
	name    string // word: lower case; quoted, text: what the quotes hold
	prefix  string // text: what stands before the quote, upper case, as X or E
	mate    int    // of a bracket: the index of its partner
	line    int    // from 1
	column  int    // in characters, from 1
}

func (t Token) is(symbols string) bool { return t.Kind == Symbol && t.Raw == symbols }

// SyntaxError is why a text cannot be cut into tokens, or what a query must not have at
// some place.
type SyntaxError struct {
	Line, Column int // from 1, in characters
	Text         string
	// Open is what is never closed: a quote, or the '*' of a comment; else 0.
	Open rune
}

// Error returns the text with its place.
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, e.Text)
}

func (t Token) errorf(format string, args ...any) error {
	return &SyntaxError{Line: t.line, Column: t.column, Text: fmt.Sprintf(format, args...)}
}

// scanner cuts a query into tokens the way the server's parser does: sqlparser
// 0.59 with the generic dialect (AP 4.1). What its versions read differently is
// refused, so that no text is a comment or a string here and a clause there.
type scanner struct {
	src          string
	pos          int
	line, column int
	tokens       []Token
}

// Tokenize returns the tokens of a query with its brackets paired.
func Tokenize(src string) ([]Token, error) {
	if !utf8.ValidString(src) {
		return nil, fmt.Errorf("the query is not valid UTF-8; save its file in that encoding")
	}
	s := &scanner{src: src, line: 1, column: 1}
	for s.pos < len(src) {
		if err := s.next(); err != nil {
			return nil, err
		}
	}
	return s.tokens, pair(s.tokens)
}

// pair finds the partner of every bracket.
func pair(tokens []Token) error {
	closing := map[string]string{"(": ")", "[": "]", "{": "}"}
	var open []int
	for i := range tokens {
		t := &tokens[i]
		switch {
		case t.is("(") || t.is("[") || t.is("{"):
			open = append(open, i)
		case t.is(")") || t.is("]") || t.is("}"):
			if len(open) == 0 || closing[tokens[open[len(open)-1]].Raw] != t.Raw {
				return t.errorf("%q closes nothing that is open; check the brackets", t.Raw)
			}
			last := open[len(open)-1]
			open = open[:len(open)-1]
			tokens[last].mate, t.mate = i, last
		}
	}
	if len(open) > 0 {
		t := tokens[open[len(open)-1]]
		return t.errorf("%q is never closed; check the brackets", t.Raw)
	}
	return nil
}

// peek returns the rune n bytes ahead, or 0 at the end.
func (s *scanner) peek(n int) rune {
	if s.pos+n >= len(s.src) {
		return 0
	}
	r, _ := utf8.DecodeRuneInString(s.src[s.pos+n:])
	return r
}

// skip moves n bytes ahead.
func (s *scanner) skip(n int) {
	for _, r := range s.src[s.pos : s.pos+n] {
		s.column++
		if r == '\n' {
			s.line, s.column = s.line+1, 1
		}
	}
	s.pos += n
}

// add makes a token of the next n bytes.
func (s *scanner) add(k Kind, n int) *Token {
	raw := s.src[s.pos : s.pos+n]
	s.tokens = append(s.tokens, Token{Kind: k, Raw: raw, name: raw, At: s.pos, End: s.pos + n, mate: -1, line: s.line, column: s.column})
	s.skip(n)
	return &s.tokens[len(s.tokens)-1]
}

func (s *scanner) errorf(format string, args ...any) error {
	return Token{line: s.line, column: s.column}.errorf(format, args...)
}

// open returns the error for what is never closed.
func (s *scanner) open(what rune, text string) error {
	return &SyntaxError{Line: s.line, Column: s.column, Text: text, Open: what}
}

func (s *scanner) next() error {
	rest := s.src[s.pos:]
	r := s.peek(0)
	switch {
	case unicode.IsSpace(r):
		s.skip(utf8.RuneLen(r))
	case strings.HasPrefix(rest, "--"):
		end := strings.IndexByte(rest, '\n')
		if end < 0 {
			end = len(rest)
		}
		s.skip(end)
	case strings.HasPrefix(rest, "/*"):
		return s.comment()
	case r == '\'':
		return s.literal(0)
	case r == '"' || r == '`':
		return s.identifier(byte(r))
	case (r >= '0' && r <= '9') || (r == '.' && isDigit(s.peek(1))):
		s.add(Number, numberLength(rest))
	case r == '#' || r == '@':
		return s.errorf("a name that begins with %q must stand in double quotes", string(r))
	case r == '$':
		return s.dollar()
	case isWordPart(r):
		return s.word()
	default:
		s.add(Symbol, symbolLength(rest))
		if last := s.tokens[len(s.tokens)-1]; last.Raw == "|>" {
			return last.errorf(`the pipe operator "|>" is not supported; write the query as SELECT … FROM …`)
		}
	}
	return nil
}

// comment skips /* … */. Whether such comments nest depends on the version of
// the server's parser, so one inside another is refused.
func (s *scanner) comment() error {
	end := strings.Index(s.src[s.pos+2:], "*/")
	if end < 0 {
		return s.open('*', `the comment is never closed; add "*/"`)
	}
	if strings.Contains(s.src[s.pos+2:s.pos+2+end], "/*") {
		return s.errorf(`there is a "/*" inside the comment; remove it`)
	}
	s.skip(end + 4)
	return nil
}

// literal reads a string whose quote stands after a prefix of n bytes.
func (s *scanner) literal(n int) error {
	prefix := strings.ToUpper(s.src[s.pos : s.pos+n])
	body, length := quotedText(s.src[s.pos+n:])
	if length == 0 {
		return s.open('\'', "the string is never closed; add a quote (a quote inside a string is written twice)")
	}
	// Some prefixes make a backslash an escape in some versions.
	if prefix != "" && (strings.Contains(body, `\'`) || strings.Contains(body, `\\`) || strings.HasSuffix(body, `\`)) {
		return s.errorf("the backslash in this %s'…' string can be read in two ways; "+
			"use a plain string and write a quote twice", s.src[s.pos:s.pos+n])
	}
	t := s.add(Text, n+length)
	t.prefix, t.name = prefix, body
	return nil
}

// identifier reads a name in double quotes or backticks.
func (s *scanner) identifier(quote byte) error {
	body, length := quotedText(s.src[s.pos:])
	if length == 0 {
		return s.open(rune(quote), fmt.Sprintf("the name in quotes is never closed; add %c", quote))
	}
	s.add(Quoted, length).name = body
	return nil
}

// quotedText reads what stands in quotes at the start of src. A quote in it is
// written twice. It returns the content and the length with both quotes; 0: never
// closed.
func quotedText(src string) (string, int) {
	quote := src[0]
	var body strings.Builder
	for i := 1; i < len(src); i++ {
		if src[i] == quote {
			if i+1 == len(src) || src[i+1] != quote {
				return body.String(), i + 1
			}
			i++
		}
		body.WriteByte(src[i])
	}
	return "", 0
}

// dollar refuses $$…$$ and $tag$…$tag$ strings, which not every version knows.
// "$1" is left to the server.
func (s *scanner) dollar() error {
	n := 1
	for n < len(s.src)-s.pos && isWordPart(s.peek(n)) && s.peek(n) != '$' {
		n += utf8.RuneLen(s.peek(n))
	}
	if s.peek(n) == '$' {
		return s.errorf("dollar quotes are not supported; use '…'")
	}
	s.add(Symbol, n)
	return nil
}

func (s *scanner) word() error {
	n := 0
	for s.pos+n < len(s.src) && isWordPart(s.peek(n)) {
		n += utf8.RuneLen(s.peek(n))
	}
	rest := s.src[s.pos:]
	prefix := strings.ToUpper(rest[:n])
	switch after := s.peek(n); {
	case after == '\'':
		switch prefix {
		case "X", "E", "N", "B":
			return s.literal(n)
		case "R":
			if strings.HasPrefix(rest[n:], "'''") {
				return s.errorf("triple quotes are not supported; use '…'")
			}
			return s.literal(n)
		case "Q", "NQ":
			return s.errorf("%s'…' strings are not supported; use '…'", rest[:n])
		}
	case after == '"' && (prefix == "B" || prefix == "R"):
		return s.errorf("%s\"…\" can be read as a string or as a name; use '…' or put a space between", rest[:n])
	case strings.HasPrefix(rest[n:], "&'") && prefix == "U":
		return s.literal(n + 1)
	}
	t := s.add(Word, n)
	t.Key = prefix
	t.name = strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A' // the server folds nothing but ASCII
		}
		return r
	}, t.Raw)
	return nil
}

func isDigit(r rune) bool { return '0' <= r && r <= '9' }

func isWordPart(r rune) bool {
	if r < utf8.RuneSelf {
		return r == '_' || r == '$' || r == '#' || r == '@' || isDigit(r) || ('a' <= r && r <= 'z') || ('A' <= r && r <= 'Z')
	}
	return unicode.In(r, unicode.L, unicode.Nl, unicode.Other_Alphabetic)
}

// numberLength measures 12, 1.5, .5, 1e-9 and 0xff.
func numberLength(src string) int {
	digits := func(i int, more string) int {
		for i < len(src) && (isDigit(rune(src[i])) || strings.IndexByte(more, src[i]) >= 0) {
			i++
		}
		return i
	}
	if strings.HasPrefix(src, "0x") {
		return digits(2, "abcdefABCDEF")
	}
	i := digits(0, "")
	if i < len(src) && src[i] == '.' {
		i = digits(i+1, "")
	}
	if i < len(src) && (src[i] == 'e' || src[i] == 'E') {
		j := i + 1
		if j < len(src) && (src[j] == '+' || src[j] == '-') {
			j++
		}
		if end := digits(j, ""); end > j {
			i = end
		}
	}
	return i
}

// symbolLength measures an operator; most are one character.
func symbolLength(src string) int {
	for _, op := range []string{"<=>", "->>", "||", "|>", "<>", "!=", "<=", ">=", "==", "=>", "::", ":=", "->", "//"} {
		if strings.HasPrefix(src, op) {
			return len(op)
		}
	}
	_, n := utf8.DecodeRuneInString(src)
	return n
}
