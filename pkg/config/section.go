package config

import (
	"fmt"
	"slices"
	"strings"

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
