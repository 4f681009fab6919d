package config

import (
	"reflect"
	"slices"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// Custom is a destination that is not part of ampipe. Its own keys are read by the program
// that was built with it ([Custom.Decode]): no other needs to know them, or the variables
// in them.
type Custom struct {
	Kind    string `yaml:"kind" required:"give the word by which the destination's own program knows it"`
	Writers int    `yaml:"writers" default:"1" range:"1,64"` // concurrent calls per process
	// How long entries may be collected before they are committed; 0: not at all.
	MaxCommitDelay time.Duration `yaml:"max_commit_delay" range:"100ms,1h"`
	OnBadRow       OnBadRow      `yaml:"on_bad_row" default:"stop" oneof:"stop,dead_letter"`

	document *document // that it stands in; nil: in none
	group    field
	keys     []*ast.MappingValueNode // those that are not above
}

// custom decodes what all destinations have, and keeps the rest.
func (d *document) custom(v reflect.Value, f field, n ast.Node) field {
	if n == nil {
		return f
	}
	c := &Custom{document: d, group: f}
	v.Set(reflect.ValueOf(c))
	f = d.group(v.Elem(), f, n)
	own := &d.groups[len(d.groups)-1]
	c.keys, own.unknown = own.unknown, nil
	return f
}

func (c *Custom) check(s view) { s.name("kind", c.Kind) }

// Decode reads the destination's own keys into a structure, by the tags that [Pipeline]
// explains. Everything that is wrong comes back at once as an [*Error], as from [Load].
func (c *Custom) Decode(into any) error {
	v, from := reflect.ValueOf(into).Elem(), c.document
	if from == nil {
		from = &document{getenv: func(string) string { return "" }}
	}
	d := &document{file: from.file, folder: from.folder, getenv: from.getenv, anchors: from.anchors, fields: map[string]field{}}
	d.group(v, c.group, &ast.MappingNode{Values: slices.Clone(c.keys)})
	own := &d.groups[len(d.groups)-1]
	own.known = append([]string{"kind", "writers", "max_commit_delay", "on_bad_row"}, own.known...)
	d.refuseUnknown()
	if len(d.complaints) > 0 {
		return (&Error{File: d.file, Complaints: d.complaints}).sorted()
	}
	return nil
}
