package config

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// place is where something stands in the file.
type place struct{ line, column int }

func placeOf(n ast.Node) place {
	if n == nil || n.GetToken() == nil || n.GetToken().Position == nil {
		return place{}
	}
	p := n.GetToken().Position
	return place{p.Line, p.Column}
}

// field is a value and where it stands. Its raw text is what the file says,
// before variables are expanded: the only form that may appear in a complaint.
type field struct {
	key string // full path, "source.amp"
	at  place  // of the key, or of the element of a list
	raw string
	set bool // present and not null
}

// reader reads one document and collects everything wrong with it.
type reader struct {
	folder     string // relative paths start here
	getenv     func(string) string
	anchors    map[string]ast.Node
	complaints []Complaint
	sections   []*section
}

func (r *reader) complain(at place, format string, args ...any) {
	r.complaints = append(r.complaints, Complaint{at.line, at.column, fmt.Sprintf(format, args...)})
}

// resolve follows anchors, aliases and tags to the value itself; nil stands for
// null.
func (r *reader) resolve(n ast.Node) ast.Node {
	// The bound stops an alias that refers to itself.
	for range 32 {
		switch v := n.(type) {
		case *ast.AnchorNode:
			n = v.Value
		case *ast.TagNode:
			n = v.Value
		case *ast.AliasNode:
			target, known := r.anchors[v.Value.GetToken().Value]
			if !known {
				r.complain(placeOf(v), "alias *%s has no anchor", v.Value.GetToken().Value)
				return nil
			}
			n = target
		case *ast.NullNode:
			return nil
		default:
			return n
		}
	}
	r.complain(placeOf(n), "alias refers to itself")
	return nil
}

// section is one mapping. Its getters remember which keys were asked for: a key
// that nobody asked for is unknown, and the ones asked for are what may have
// been meant. A section that is missing answers like an empty one.
type section struct {
	*reader
	path   string
	at     place
	set    bool
	order  []string
	values map[string]*ast.MappingValueNode
	asked  []string
}

func (r *reader) section(path string, at place, n ast.Node) *section {
	s := &section{reader: r, path: path, at: at, values: map[string]*ast.MappingValueNode{}}
	r.sections = append(r.sections, s)
	if n = r.resolve(n); n == nil {
		return s
	}
	s.set = true
	var entries []*ast.MappingValueNode
	switch v := n.(type) {
	case *ast.MappingNode:
		entries = v.Values
	case *ast.MappingValueNode:
		entries = []*ast.MappingValueNode{v}
	default:
		r.complain(at, "%s must be a group of keys, not %s", orFile(path), kind(n))
	}
	for _, e := range entries {
		key := e.Key.GetToken().Value
		if e.Key.IsMergeKey() {
			r.complain(placeOf(e.Key), `merge keys ("<<") are not understood; write the keys out`)
			continue
		}
		if first, twice := s.values[key]; twice {
			r.complain(placeOf(e.Key), "%s is given twice, first in line %d", s.name(key), placeOf(first.Key).line)
			continue
		}
		s.order = append(s.order, key)
		s.values[key] = e
	}
	return s
}

func orFile(path string) string {
	if path == "" {
		return "a pipeline"
	}
	return path
}

func kind(n ast.Node) string {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a group of keys"
	case *ast.SequenceNode:
		return "a list"
	default:
		return "a single value"
	}
}

func (s *section) name(key string) string {
	if s.path == "" {
		return key
	}
	return s.path + "." + key
}

// ask finds the value of a key; nil if it is missing or null.
func (s *section) ask(key string) (field, ast.Node) {
	if !slices.Contains(s.asked, key) {
		s.asked = append(s.asked, key)
	}
	f := field{key: s.name(key), at: s.at}
	e, present := s.values[key]
	if !present {
		return f, nil
	}
	f.at = placeOf(e.Key)
	n := s.resolve(e.Value)
	f.set = n != nil
	return f, n
}

// scalar gives the text of a single value with its variables expanded. The
// field is not set if the key is missing, null or already complained about.
func (s *section) scalar(key string) (string, field) {
	f, n := s.ask(key)
	if n == nil {
		return "", f
	}
	return s.expanded(f, n)
}

func (r *reader) expanded(f field, n ast.Node) (string, field) {
	switch v := n.(type) {
	case *ast.StringNode:
		f.raw = v.Value
	case *ast.LiteralNode:
		f.raw = v.Value.Value
	case *ast.MappingNode, *ast.MappingValueNode, *ast.SequenceNode:
		r.complain(f.at, "%s must be a single value, not %s", f.key, kind(n))
		f.set = false
		return "", f
	default:
		f.raw = n.GetToken().Value // numbers and booleans as they are written
	}
	text, err := expand(f.raw, r.getenv)
	if err != nil {
		r.complain(f.at, "%s: %v", f.key, err)
		f.set = false
	}
	return text, f
}

// text reads a text that is not empty. A value that is empty only because a
// variable is, "${NAME:-}", counts as missing.
func (s *section) text(key string, into *string) field {
	text, f := s.scalar(key)
	if f.set = f.set && strings.TrimSpace(text) != ""; f.set {
		*into = text
	}
	return f
}

// path reads a file name; one that is relative starts at the file's folder, and
// "~/" is the home folder.
func (s *section) file(key string, into *string) field {
	f := s.text(key, into)
	if f.set {
		*into = s.locate(*into)
	}
	return f
}

func (r *reader) locate(path string) string {
	if home := r.getenv("HOME"); home != "" && strings.HasPrefix(path, "~/") {
		return filepath.Join(home, path[2:])
	}
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(r.folder, path)
}

// secret reads a key, or the file that the key with "_file" names.
func (s *section) secret(key string, into *Secret) field {
	var text, path string
	f := s.text(key, &text)
	from := s.file(key+"_file", &path)
	switch {
	case f.set && from.set:
		s.complain(from.at, "%s and %s are both given; keep one", f.key, from.key)
	case from.set:
		content, err := os.ReadFile(path)
		if err != nil {
			s.complain(from.at, "%s: %q cannot be read: %v", from.key, from.raw, reason(err))
			return field{key: f.key, at: from.at, set: true}
		}
		text, f = strings.TrimSpace(string(content)), from
		if text == "" {
			s.complain(from.at, "%s: %q is empty", from.key, from.raw)
		}
	}
	*into = Secret(text)
	return f
}

// reason takes the path out of a file error: it may hold a variable's value.
func reason(err error) error {
	if pe, ok := err.(*os.PathError); ok {
		return pe.Err
	}
	return err
}

// number reads a whole number from low to high.
func number[T ~int | ~uint64](s *section, key string, into *T, low, high T) field {
	text, f := s.scalar(key)
	if !f.set {
		return f
	}
	n, err := strconv.ParseUint(strings.ReplaceAll(text, "_", ""), 10, 64)
	if err != nil || n < uint64(low) || n > uint64(high) {
		f.set = false
		s.complain(f.at, "%s must be a whole number from %d to %d, not %q", f.key, low, high, f.raw)
		return f
	}
	*into = T(n)
	return f
}

// flag reads true or false.
func (s *section) flag(key string, into *bool) field {
	text, f := s.scalar(key)
	switch {
	case !f.set:
	case text == "true":
		*into = true
	case text == "false":
		*into = false
	default:
		s.complain(f.at, "%s must be true or false, not %q", f.key, f.raw)
	}
	return f
}

// size reads a number of bytes from low to high.
func (s *section) size(key string, into *int64, low, high int64) field {
	text, f := s.scalar(key)
	if !f.set {
		return f
	}
	n, err := parseSize(text)
	switch {
	case err != nil:
		s.complain(f.at, "%s: %q %v", f.key, f.raw, err)
	case n < low && high == math.MaxInt64:
		s.complain(f.at, "%s must be at least %s, not %q", f.key, showSize(low), f.raw)
	case n < low || n > high:
		s.complain(f.at, "%s must be from %s to %s, not %q", f.key, showSize(low), showSize(high), f.raw)
	default:
		*into = n
	}
	return f
}

// duration reads a length of time.
func (s *section) duration(key string, into *time.Duration) field {
	text, f := s.scalar(key)
	if !f.set {
		return f
	}
	d, err := parseDuration(text)
	if err != nil {
		s.complain(f.at, "%s: %q %v", f.key, f.raw, err)
		return f
	}
	*into = d
	return f
}

// choice reads one of several words.
func choice[T ~string](s *section, key string, into *T, words ...T) field {
	text, f := s.scalar(key)
	if !f.set || slices.Contains(words, T(text)) {
		if f.set {
			*into = T(text)
		}
		return f
	}
	all := make([]string, len(words))
	for i, w := range words {
		all[i] = string(w)
	}
	hint := ""
	if near := nearest(f.raw, all); near != "" {
		hint = fmt.Sprintf("; did you mean %q?", near)
	}
	s.complain(f.at, "%s must be %s, not %q%s", f.key, either(all), f.raw, hint)
	return f
}

// either lists words as "a, b or c".
func either(words []string) string {
	last := len(words) - 1
	if last < 1 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// texts reads a list of texts, with the place of each; nil if there is no list.
func (s *section) texts(key string, into *[]string) (field, []field) {
	f, n := s.ask(key)
	if n == nil {
		return f, nil
	}
	list, ok := n.(*ast.SequenceNode)
	if !ok {
		s.complain(f.at, "%s must be a list, as in [a, b], not %s", f.key, kind(n))
		return f, nil
	}
	at := []field{}
	for i, v := range list.Values {
		e := field{key: fmt.Sprintf("%s[%d]", f.key, i), at: placeOf(v)}
		if v = s.resolve(v); v == nil {
			s.complain(e.at, "%s is empty", e.key)
			continue
		}
		e.set = true
		text, e := s.expanded(e, v)
		if e.set && strings.TrimSpace(text) == "" {
			s.complain(e.at, "%s is empty", e.key)
		}
		if e.set {
			*into, at = append(*into, text), append(at, e)
		}
	}
	return f, at
}

// group opens the section under a key.
func (s *section) group(key string) *section {
	f, n := s.ask(key)
	return s.section(f.key, f.at, n)
}

// groups opens each section of the list under a key; nil if there is no list.
func (s *section) groups(key string) (field, []*section) {
	f, n := s.ask(key)
	if n == nil {
		return f, nil
	}
	list, ok := n.(*ast.SequenceNode)
	if !ok {
		s.complain(f.at, "%s must be a list, each element starting with \"-\", not %s", f.key, kind(n))
		return f, nil
	}
	all := []*section{}
	for i, v := range list.Values {
		// A block mapping's own token is its first colon, so the first key tells
		// better where it starts.
		all = append(all, s.section(fmt.Sprintf("%s[%d]", f.key, i), start(v), v))
	}
	return f, all
}

func start(n ast.Node) place {
	if m, ok := n.(*ast.MappingNode); ok && len(m.Values) > 0 {
		return placeOf(m.Values[0].Key)
	}
	return placeOf(n)
}

// showSize writes a size the way people write it.
func showSize(n int64) string {
	for _, u := range []struct {
		name  string
		bytes int64
	}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if n >= u.bytes && n%u.bytes == 0 {
			return fmt.Sprintf("%d%s", n/u.bytes, u.name)
		}
	}
	return fmt.Sprintf("%dB", n)
}

// refuseUnknown complains about every key that no getter has asked for.
func (r *reader) refuseUnknown() {
	for _, s := range r.sections {
		for _, key := range s.order {
			if slices.Contains(s.asked, key) {
				continue
			}
			hint := "; known are " + strings.Join(s.asked, ", ")
			if near := nearest(key, s.asked); near != "" {
				hint = fmt.Sprintf("; did you mean %q?", near)
			} else if home := r.homeOf(key); home != "" {
				hint = fmt.Sprintf("; it belongs under %q", home)
			}
			r.complain(placeOf(s.values[key].Key), "unknown key %q%s", s.name(key), hint)
		}
	}
}

// homeOf finds a section that knows the key.
func (r *reader) homeOf(key string) string {
	for _, s := range r.sections {
		if slices.Contains(s.asked, key) {
			return s.path
		}
	}
	return ""
}
