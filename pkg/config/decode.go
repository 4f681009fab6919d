package config

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// field is a value and where it stands. Its raw text is what the file says,
// before variables are expanded: the only form that may appear in a complaint.
type field struct {
	key string // full path, "source.amp"
	at  place  // of the key, or of the element of a list; of the group if the key is missing
	raw string
	set bool // present and not null
	bad bool // complained about
}

// document is one YAML document, decoded, and everything wrong with it.
type document struct {
	pipeline   *Pipeline
	file       string
	folder     string // relative paths start here
	getenv     func(string) string
	anchors    map[string]ast.Node
	fields     map[string]field // by their keys, also those that the file lacks
	groups     []group
	complaints []Complaint
}

// group is a mapping for which there is a structure.
type group struct {
	path    string
	known   []string
	unknown []*ast.MappingValueNode
}

func (d *document) complain(at place, format string, args ...any) {
	d.complaints = append(d.complaints, Complaint{at.line, at.column, fmt.Sprintf(format, args...)})
}

// group decodes a mapping into v, a structure whose tags [Pipeline] explains. A group
// that the file lacks has its defaults.
func (d *document) group(v reflect.Value, f field, n ast.Node) field {
	f.set = n != nil && shape(n) == "a group of keys"
	entries, g := d.entries(f, n), group{path: f.key}
	take := func(key string) (field, ast.Node) {
		g.known = append(g.known, key)
		sub := field{key: join(f.key, key), at: f.at}
		i := slices.IndexFunc(entries, func(e *ast.MappingValueNode) bool { return keyOf(e) == key })
		if i < 0 {
			return sub, nil
		}
		e := entries[i]
		entries = slices.Delete(entries, i, i+1)
		sub.at = placeOf(e.Key)
		n, ok := d.resolve(e.Value)
		sub.bad = !ok
		return sub, n
	}
	for i := range v.NumField() {
		tag := v.Type().Field(i).Tag
		if tag.Get("yaml") == "" {
			continue
		}
		sub, n := take(tag.Get("yaml"))
		name := sub.key
		if file := tag.Get("file"); file != "" {
			from, path := take(file)
			sub = d.secret(v.Field(i), d.scalar(v.Field(i), tag, sub, n), from, path)
		} else {
			sub = d.value(v.Field(i), tag, sub, n)
		}
		d.fields[name] = sub
		if hint := tag.Get("required"); hint != "" {
			view{d, f.key}.missing(tag.Get("yaml"), hint)
		}
	}
	g.unknown = entries
	d.groups = append(d.groups, g)
	return f
}

// short decodes a single value in place of a group: that of its first key.
func (d *document) short(v reflect.Value, f field, n ast.Node) field {
	f = d.group(v, f, nil)
	first := v.Type().Field(0).Tag
	sub := d.scalar(v.Field(0), first, field{key: join(f.key, first.Get("yaml")), at: f.at}, n)
	d.fields[sub.key] = sub
	f.set, f.bad = sub.set, sub.bad
	return f
}

// value decodes what one key holds, or one element of a list.
func (d *document) value(v reflect.Value, tag reflect.StructTag, f field, n ast.Node) field {
	switch kind := v.Kind(); {
	case !v.CanSet(): // a blank field: only the place matters
		f.set = n != nil
		if f.set {
			f.raw = n.GetToken().Value
		}
		return f
	case kind == reflect.Struct && tag.Get("form") == "short" && n != nil && shape(n) == "a single value":
		return d.short(v, f, n)
	case kind == reflect.Struct:
		return d.group(v, f, n)
	case v.Type() == reflect.TypeFor[*Custom]():
		return d.custom(v, f, n)
	case kind == reflect.Pointer && v.Type().Elem().Kind() == reflect.Struct:
		if n == nil {
			return f
		}
		v.Set(reflect.New(v.Type().Elem()))
		return d.group(v.Elem(), f, n)
	case kind == reflect.Slice:
		return d.list(v, tag, f, n)
	case kind == reflect.Map:
		return d.table(v, tag, f, n)
	case tag.Get("form") == "pattern" && shape(n) == "a list":
		var columns []string
		f = d.list(reflect.ValueOf(&columns).Elem(), `form:"set"`, f, n)
		v.SetString("{table}")
		for _, column := range columns {
			v.SetString(v.String() + ":{" + column + "}")
		}
		return f
	}
	return d.scalar(v, tag, f, n)
}

// scalar decodes a single value. The field is not set if the value is missing, null or
// complained about. A text that is empty only because a variable is, "${NAME:-}", counts as
// missing.
func (d *document) scalar(v reflect.Value, tag reflect.StructTag, f field, n ast.Node) field {
	if standard, ok := tag.Lookup("default"); ok {
		set(v, tag, standard, standard)
	}
	switch n := n.(type) {
	case nil:
		return f
	case *ast.StringNode:
		f.raw = n.Value
	case *ast.LiteralNode:
		f.raw = n.Value.Value
	case *ast.MappingNode, *ast.MappingValueNode, *ast.SequenceNode:
		return d.refuse(f, " must be a single value, not %s", shape(n))
	default:
		f.raw = n.GetToken().Value // numbers and booleans as they are written
	}
	text, err := expand(f.raw, d.getenv)
	if err != nil {
		return d.refuse(f, ": %v", err)
	}
	if v.Kind() == reflect.String && tag.Get("oneof") == "" && strings.TrimSpace(text) == "" {
		return f
	}
	if tag.Get("form") == "path" {
		text = d.locate(text)
	}
	wrong := set(v, tag, text, f.raw)
	if wrong != "" {
		return d.refuse(f, "%s", wrong)
	}
	f.set = true
	return f
}

// refuse complains about the value of a field.
func (d *document) refuse(f field, format string, args ...any) field {
	d.complain(f.at, "%s"+format, append([]any{f.key}, args...)...)
	f.set, f.bad = false, true
	return f
}

func (d *document) locate(path string) string {
	if home := d.getenv("HOME"); home != "" && strings.HasPrefix(path, "~/") {
		return filepath.Join(home, path[2:])
	}
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(d.folder, path)
}

// secret returns f, or the field of the file that holds its value instead.
func (d *document) secret(v reflect.Value, f, from field, n ast.Node) field {
	var path string
	from = d.scalar(reflect.ValueOf(&path).Elem(), `form:"path"`, from, n)
	if !from.set {
		f.bad = f.bad || from.bad
		return f
	}
	if f.set {
		d.complain(from.at, "%s and %s are both given; keep one", f.key, from.key)
		return f
	}
	content, err := os.ReadFile(path)
	if pathError, ok := err.(*os.PathError); ok {
		err = pathError.Err // the path may hold a variable's value
	}
	text := strings.TrimSpace(string(content))
	switch {
	case err != nil:
		return d.refuse(from, ": %q cannot be read: %v", from.raw, err)
	case text == "":
		return d.refuse(from, ": %q is empty", from.raw)
	}
	v.SetString(text)
	return from
}

// list decodes a sequence. With the form "short", an element that is a single value stands
// for a group with that value as its first key; with the form "set", no element may come twice.
func (d *document) list(v reflect.Value, tag reflect.StructTag, f field, n ast.Node) field {
	if n == nil {
		return f
	}
	groups, form := v.Type().Elem().Kind() == reflect.Struct, tag.Get("form")
	sequence, ok := n.(*ast.SequenceNode)
	switch {
	case !ok && groups && form == "":
		return d.refuse(f, " must be a list, each element starting with \"-\", not %s", shape(n))
	case !ok:
		return d.refuse(f, " must be a list, as in [a, b], not %s", shape(n))
	}
	f.set = true
	for i, e := range sequence.Values {
		n, ok := d.resolve(e)
		item, sub := reflect.New(v.Type().Elem()).Elem(), field{key: fmt.Sprintf("%s[%d]", f.key, i), at: start(e), bad: !ok}
		if item.Kind() == reflect.Slice && shape(n) == "a list" {
			sub = d.list(item, `form:"set"`, sub, n)
			if item.Len() == 0 && !sub.bad {
				sub = d.refuse(sub, " is empty")
			}
		} else if groups && (form == "" || shape(n) == "a group of keys") {
			sub = d.group(item, sub, n)
			sub.raw = d.fields[join(sub.key, item.Type().Field(0).Tag.Get("yaml"))].raw
		} else {
			text := item
			switch {
			case groups:
				text = item.Field(0)
			case item.Kind() == reflect.Slice: // a list of one
				item.Set(reflect.MakeSlice(item.Type(), 1, 1))
				text = item.Index(0)
			}
			sub = d.scalar(text, "", sub, n)
			if !sub.set && !sub.bad {
				sub = d.refuse(sub, " is empty")
			}
			if !sub.set {
				f.bad = true
				continue
			}
		}
		d.fields[sub.key] = sub
		for earlier := range v.Len() {
			if form != "" && v.Index(earlier).Equal(item) {
				d.complain(sub.at, "%s names column %q twice", f.key, sub.raw)
				break
			}
		}
		v.Set(reflect.Append(v, item))
	}
	return f
}

// table decodes a mapping whose keys are for the user to choose.
func (d *document) table(v reflect.Value, tag reflect.StructTag, f field, n ast.Node) field {
	if n == nil {
		return f
	}
	f.set = true
	v.Set(reflect.MakeMap(v.Type()))
	for _, e := range d.entries(f, n) {
		words := tag
		if star, ok := tag.Lookup("star"); ok && keyOf(e) == "*" {
			words = reflect.StructTag(fmt.Sprintf("oneof:%q", star))
		}
		n, _ := d.resolve(e.Value)
		item := reflect.New(v.Type().Elem()).Elem()
		sub := d.scalar(item, words, field{key: join(f.key, keyOf(e)), at: placeOf(e.Key)}, n)
		if sub.set {
			v.SetMapIndex(reflect.ValueOf(keyOf(e)), item)
		}
	}
	return f
}
