package pgcopy

import (
	"bytes"
	"fmt"
	"slices"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/ampipe/ampipe/pkg/arrowfmt"
)

// A text that is JSON is stored in a column json as it is. In jsonb PostgreSQL brings it
// into the form of which document.go says what it is; it is brought into that form here
// as well, so that the digests of both sides agree.

// deepest is how far JSON may be nested. PostgreSQL's own limit is a matter of its
// max_stack_depth, and about six times this with the default.
const deepest = 1000

// mostDigits is how many digits the numbers of a text may have together: 1e131071 takes
// 8 bytes of it, and 128 KiB where it is written out.
const mostDigits = 64 << 20

// canonicalJSON appends a JSON text in the form of jsonb. If it is for a column json,
// only its grammar counts.
func canonicalJSON(dst, text []byte, binary bool) ([]byte, error) {
	r := jsonReader{text: text, strict: binary}
	dst, err := r.value(dst, 0)
	if err != nil {
		return dst, err
	}
	r.space()
	if r.at < len(text) {
		return dst, r.unexpected()
	}
	return dst, nil
}

type jsonReader struct {
	text   []byte
	at     int
	strict bool // what is written has to be stored as what it means
	shown  int  // digits of the numbers so far, as they are written
}

func (r *jsonReader) space() {
	for r.at < len(r.text) && bytes.IndexByte([]byte(" \t\n\r"), r.text[r.at]) >= 0 {
		r.at++
	}
}

func (r *jsonReader) unexpected() error {
	if r.at >= len(r.text) {
		return fmt.Errorf("it ends too early")
	}
	return fmt.Errorf("%q at byte %d", rune(r.text[r.at]), r.at)
}

// skip reads one byte.
func (r *jsonReader) skip(c byte) bool {
	if r.at < len(r.text) && r.text[r.at] == c {
		r.at++
		return true
	}
	return false
}

func (r *jsonReader) value(dst []byte, depth int) ([]byte, error) {
	r.space()
	if depth > deepest {
		return dst, fmt.Errorf("nested deeper than %d levels", deepest)
	}
	for _, word := range []string{"null", "true", "false"} {
		if bytes.HasPrefix(r.text[r.at:], []byte(word)) {
			r.at += len(word)
			return append(dst, word...), nil
		}
	}
	switch {
	case r.skip('{'):
		return r.object(dst, depth)
	case r.skip('['):
		return r.array(dst, depth)
	case r.skip('"'):
		text, err := r.string()
		return JSONB.AppendString(dst, text), err
	default:
		return r.number(dst)
	}
}

func (r *jsonReader) array(dst []byte, depth int) ([]byte, error) {
	dst = append(dst, '[')
	r.space()
	if r.skip(']') {
		return append(dst, ']'), nil
	}
	for {
		var err error
		if dst, err = r.value(dst, depth+1); err != nil {
			return dst, err
		}
		r.space()
		switch {
		case r.skip(','):
			dst = append(dst, ", "...)
		case r.skip(']'):
			return append(dst, ']'), nil
		default:
			return dst, r.unexpected()
		}
	}
}

type jsonMember struct{ key, value []byte }

func (r *jsonReader) object(dst []byte, depth int) ([]byte, error) {
	var all []jsonMember
	r.space()
	for more := !r.skip('}'); more; {
		r.space()
		if !r.skip('"') {
			return dst, r.unexpected()
		}
		key, err := r.string()
		if err != nil {
			return dst, err
		}
		r.space()
		if !r.skip(':') {
			return dst, r.unexpected()
		}
		value, err := r.value(nil, depth+1)
		if err != nil {
			return dst, err
		}
		all = append(all, jsonMember{key, value})
		r.space()
		more = r.skip(',')
		if !more && !r.skip('}') {
			return dst, r.unexpected()
		}
	}
	// Of members with the same key the last one counts.
	slices.Reverse(all)
	slices.SortStableFunc(all, func(a, b jsonMember) int { return arrowfmt.CompareKeys(a.key, b.key) })
	all = slices.CompactFunc(all, func(a, b jsonMember) bool { return bytes.Equal(a.key, b.key) })
	dst = append(dst, '{')
	for i, m := range all {
		if i > 0 {
			dst = append(dst, ", "...)
		}
		dst = append(JSONB.AppendString(dst, m.key), ": "...)
		dst = append(dst, m.value...)
	}
	return append(dst, '}'), nil
}

// number reads a number and writes it as a numeric is printed.
func (r *jsonReader) number(dst []byte) ([]byte, error) {
	start := r.at
	r.skip('-')
	if !r.skip('0') && !r.digits() {
		return dst, r.unexpected()
	}
	if r.skip('.') && !r.digits() {
		return dst, r.unexpected()
	}
	if r.skip('e') || r.skip('E') {
		if !r.skip('-') {
			r.skip('+')
		}
		if !r.digits() {
			return dst, r.unexpected()
		}
	}
	d, ok := parseNumber(r.text[start:r.at])
	if !r.strict {
		return dst, nil
	}
	if !ok || d.point > mostBefore || d.places > mostBehind {
		return dst, fmt.Errorf("a number with too many digits at byte %d", start)
	}
	r.shown += max(0, d.point) + d.places
	if r.shown > mostDigits {
		return dst, fmt.Errorf("numbers with too many digits up to byte %d", r.at)
	}
	return d.appendText(dst), nil
}

// digits reads one or more.
func (r *jsonReader) digits() bool {
	start := r.at
	for r.at < len(r.text) && r.text[r.at] >= '0' && r.text[r.at] <= '9' {
		r.at++
	}
	return r.at > start
}

var jsonEscapes = map[byte]byte{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// string reads a string behind its first quote.
func (r *jsonReader) string() ([]byte, error) {
	var text []byte
	for {
		switch {
		case r.at >= len(r.text) || r.text[r.at] < 0x20:
			return nil, r.unexpected()
		case r.skip('"'):
			return text, nil
		case !r.skip('\\'):
			text = append(text, r.text[r.at])
			r.at++
		case r.skip('u'):
			c, err := r.escaped()
			if err != nil {
				return nil, err
			}
			text = utf8.AppendRune(text, c)
		case r.at < len(r.text) && jsonEscapes[r.text[r.at]] != 0:
			text = append(text, jsonEscapes[r.text[r.at]])
			r.at++
		default:
			return nil, r.unexpected()
		}
	}
}

// escaped reads a character behind \u, and its second half if it has one.
func (r *jsonReader) escaped() (rune, error) {
	start := r.at
	c, ok := r.hex()
	if !ok {
		return 0, r.unexpected()
	}
	if !r.strict {
		return c, nil
	}
	if utf16.IsSurrogate(c) {
		if !r.skip('\\') || !r.skip('u') {
			return 0, fmt.Errorf("half a character at byte %d", start)
		}
		low, ok := r.hex()
		c = utf16.DecodeRune(c, low)
		if !ok || c == utf8.RuneError {
			return 0, fmt.Errorf("half a character at byte %d", start)
		}
	}
	if c == 0 {
		return 0, fmt.Errorf("a NUL character at byte %d", start)
	}
	return c, nil
}

func (r *jsonReader) hex() (rune, bool) {
	var c rune
	for range 4 {
		if r.at >= len(r.text) {
			return 0, false
		}
		at := bytes.IndexByte([]byte("0123456789abcdefABCDEF"), r.text[r.at])
		if at < 0 {
			return 0, false
		}
		if at > 15 {
			at -= 6
		}
		c = c<<4 | rune(at)
		r.at++
	}
	return c, true
}
