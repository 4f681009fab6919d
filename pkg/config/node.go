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

// start returns where a node begins. A block mapping's own token is its first colon, so the
// first key says better where it starts.
func start(n ast.Node) place {
	if m, ok := n.(*ast.MappingNode); ok && len(m.Values) > 0 {
		return placeOf(m.Values[0].Key)
	}
	return placeOf(n)
}

// shape returns what a complaint calls the kind of n.
func shape(n ast.Node) string {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a group of keys"
	case *ast.SequenceNode:
		return "a list"
	default:
		return "a single value"
	}
}

func keyOf(e *ast.MappingValueNode) string { return e.Key.GetToken().Value }

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// anchors collects the anchors of a document.
type anchors map[string]ast.Node

// Visit implements ast.Visitor.
func (a anchors) Visit(n ast.Node) ast.Visitor {
	if v, ok := n.(*ast.AnchorNode); ok && v.Name != nil {
		a[v.Name.GetToken().Value] = v.Value
	}
	return a
}

// resolve follows anchors, aliases and tags to the value itself; nil stands for
// null. ok is false if it has complained.
func (d *document) resolve(n ast.Node) (value ast.Node, ok bool) {
	// The bound stops an alias that refers to itself.
	for range 32 {
		switch v := n.(type) {
		case *ast.AnchorNode:
			n = v.Value
		case *ast.TagNode:
			n = v.Value
		case *ast.AliasNode:
			name := v.Value.GetToken().Value
			target, known := d.anchors[name]
			if !known {
				d.complain(placeOf(v), "alias *%s has no anchor", name)
				return nil, false
			}
			n = target
		case *ast.NullNode:
			return nil, true
		default:
			return n, true
		}
	}
	d.complain(placeOf(n), "alias refers to itself")
	return nil, false
}

// entries returns the keys of a mapping, each once.
func (d *document) entries(f field, n ast.Node) []*ast.MappingValueNode {
	var all, kept []*ast.MappingValueNode
	switch v := n.(type) {
	case nil:
	case *ast.MappingNode:
		all = v.Values
	case *ast.MappingValueNode:
		all = []*ast.MappingValueNode{v}
	default:
		name := f.key
		if name == "" {
			name = "a pipeline"
		}
		d.complain(f.at, "%s must be a group of keys, not %s", name, shape(n))
	}
	for _, e := range all {
		i := slices.IndexFunc(kept, func(o *ast.MappingValueNode) bool { return keyOf(o) == keyOf(e) })
		switch {
		case e.Key.IsMergeKey():
			d.complain(placeOf(e.Key), `merge keys ("<<") are not understood; write the keys out`)
		case i >= 0:
			d.complain(placeOf(e.Key), "%s is given twice, first in line %d", join(f.key, keyOf(e)), placeOf(kept[i].Key).line)
		default:
			kept = append(kept, e)
		}
	}
	return kept
}

// refuseUnknown complains about every key for which a group has no field.
func (d *document) refuseUnknown() {
	for _, g := range d.groups {
		for _, e := range g.unknown {
			key := keyOf(e)
			home := slices.IndexFunc(d.groups, func(g group) bool { return slices.Contains(g.known, key) })
			hint := "; known are " + strings.Join(g.known, ", ")
			if near := DidYouMean(key, g.known, len(key)/3+1); near != "" {
				hint = near
			} else if home >= 0 && d.groups[home].path != "" {
				hint = fmt.Sprintf("; it belongs under %q", d.groups[home].path)
			}
			d.complain(placeOf(e.Key), "unknown key %q%s", join(g.path, key), hint)
		}
	}
}
