package config

import (
	"fmt"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// element is one of a list whose elements are texts or groups.
type element struct {
	at    place
	text  string
	group *section // nil: a text
}

// mixed reads a list of texts and groups.
func (s *section) mixed(key string) (field, []element) {
	f, n := s.ask(key)
	if n == nil {
		return f, nil
	}
	list, ok := n.(*ast.SequenceNode)
	if !ok {
		s.complain(f.at, "%s must be a list, as in [a, b], not %s", f.key, kind(n))
		return f, nil
	}
	var all []element
	for i, v := range list.Values {
		name := fmt.Sprintf("%s[%d]", f.key, i)
		switch r := s.resolve(v).(type) {
		case nil:
			s.complain(placeOf(v), "%s is empty", name)
		case *ast.MappingNode, *ast.MappingValueNode:
			all = append(all, element{at: start(v), group: s.section(name, start(v), v)})
		default:
			text, e := s.expanded(field{key: name, at: placeOf(v), set: true}, r)
			if e.set && strings.TrimSpace(text) == "" {
				s.complain(e.at, "%s is empty", name)
			} else if e.set {
				all = append(all, element{at: e.at, text: text})
			}
		}
	}
	return f, all
}
