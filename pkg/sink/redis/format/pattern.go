package format

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/ampipe/ampipe/pkg/arrowfmt"
	"github.com/ampipe/ampipe/pkg/config"
)

// Pattern writes the keys of rows: literals[0], column 0, literals[1], and so on.
type Pattern struct {
	text     string
	Literals []string
	Indexes  []int
	Escape   string // bytes that values write as %XX, so that no two rows share a key by accident
}

// newPattern reads a pattern such as "{table}:{block_num}:{log_index}".
func newPattern(cfg config.Redis, schema *arrow.Schema) (*Pattern, error) {
	p := &Pattern{text: cfg.Key}
	var wrong []error
	var literal strings.Builder
	for rest := cfg.Key; rest != ""; {
		switch {
		case strings.HasPrefix(rest, "{{"), strings.HasPrefix(rest, "}}"):
			literal.WriteByte(rest[0])
			rest = rest[2:]
		case rest[0] == '}':
			return nil, fmt.Errorf(`key: %q closes a brace that was not opened; write "}}" for a brace`, cfg.Key)
		case rest[0] == '{':
			name, after, closed := strings.Cut(rest[1:], "}")
			if !closed {
				return nil, fmt.Errorf(`key: %q opens a brace and does not close it; write "{{" for a brace`, cfg.Key)
			}
			rest = after
			found := schema.FieldIndices(name)
			switch {
			case name == "table" && len(found) == 0:
				literal.WriteString(cfg.Table)
			case len(found) != 1:
				wrong = append(wrong, fmt.Errorf("key: the query gives no column %q; it gives %q", name, namesOf(schema)))
			case unkeyed(schema.Field(found[0]).Type):
				wrong = append(wrong, fmt.Errorf("key: column %q is of the type %s, of which no key can be made; cast it in the query "+
					"or choose another column",
					name, schema.Field(found[0]).Type))
			default:
				p.Literals = append(p.Literals, literal.String())
				p.Indexes = append(p.Indexes, found[0])
				literal.Reset()
			}
		default:
			_, size := utf8.DecodeRuneInString(rest)
			literal.WriteString(rest[:size])
			rest = rest[size:]
		}
	}
	p.Literals = append(p.Literals, literal.String())
	wrong = append(wrong, p.separate())
	return p, errors.Join(wrong...)
}

// separate sees to it that different values give different keys: what stands
// between two columns is escaped in values.
func (p *Pattern) separate() error {
	if len(p.Indexes) < 2 {
		return nil
	}
	escape := []byte{'%'}
	for _, between := range p.Literals[1 : len(p.Literals)-1] {
		c := strings.IndexFunc(between, func(r rune) bool {
			return r < 0x80 && !('0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || strings.ContainsRune(".+-%", r))
		})
		if c < 0 {
			return fmt.Errorf(`key: between two columns of %q stands %q, which may be part of a value; put a ":" there`, p.text, between)
		}
		if !slices.Contains(escape, between[c]) {
			escape = append(escape, between[c])
		}
	}
	p.Escape = string(escape)
	return nil
}

// unkeyed are types whose equal values may be printed differently, or that hold
// others.
func unkeyed(dt arrow.DataType) bool {
	dt = arrowfmt.Underlying(dt)
	if _, nested := dt.(arrow.NestedType); nested {
		return true
	}
	return dt.ID() == arrow.NULL || arrow.IsFloating(dt.ID())
}

// Append writes the key of a row whose key columns are not null.
func (p *Pattern) Append(dst []byte, cells []cells, row int) []byte {
	for i, column := range p.Indexes {
		dst = append(dst, p.Literals[i]...)
		at := len(dst)
		dst = cells[column].text(dst, row)
		if p.Escape != "" && cells[column].free {
			dst = p.escaped(dst, at)
		}
	}
	return append(dst, p.Literals[len(p.Indexes)]...)
}

func (p *Pattern) escaped(dst []byte, at int) []byte {
	if !slices.ContainsFunc(dst[at:], func(c byte) bool { return strings.IndexByte(p.Escape, c) >= 0 }) {
		return dst
	}
	value := slices.Clone(dst[at:])
	dst = dst[:at]
	for _, c := range value {
		if strings.IndexByte(p.Escape, c) >= 0 {
			dst = append(dst, '%', hexUpper[c>>4], hexUpper[c&15])
			continue
		}
		dst = append(dst, c)
	}
	return dst
}

// Sample returns the key of a row, and the pattern of the keys of all.
func (p *Pattern) Sample() (key, glob string) {
	if len(p.Indexes) == 0 {
		return p.Literals[0], Globbed(p.Literals[0])
	}
	parts := make([]string, len(p.Literals))
	for i, literal := range p.Literals {
		parts[i] = Globbed(literal)
	}
	return strings.Join(p.Literals, "0"), strings.Join(parts, "*")
}

// Globbed returns a text as a part of a pattern of keys.
func Globbed(text string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(text)
}

const hexUpper = "0123456789ABCDEF"

func namesOf(s *arrow.Schema) []string {
	names := make([]string, s.NumFields())
	for i, f := range s.Fields() {
		names[i] = f.Name
	}
	return names
}
