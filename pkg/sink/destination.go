package sink

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ampipe/ampipe/pkg/config"
)

// Destination is a kind of destination that a program can load. Each of ampipe's own has
// its package below this one; a program links those that it names.
type Destination struct {
	Kind string // as people call it, such as "PostgreSQL"

	// Owns reports whether a sink is of this kind.
	Owns func(config.Sink) bool

	// New returns a Writer of a sink that is of this kind. It is not open yet, and need not
	// be closed. An error is of the configuration alone.
	New func(config.Sink) (Writer, error)

	// LogTo passes on what the destination's driver would print by itself, for the whole
	// process; nil: it prints nothing.
	LogTo func(func(text string))
}

// Custom returns a destination that is not part of ampipe. The configuration names it by
// custom.kind; its own keys are decoded into a C ([config.Custom.Decode]).
func Custom[C any](kind string, open func(C) (Writer, error)) Destination {
	return Destination{
		Kind: kind,
		Owns: func(s config.Sink) bool { return s.Custom != nil && s.Custom.Kind == kind },
		New: func(s config.Sink) (Writer, error) {
			var c C
			err := s.Custom.Decode(&c)
			if err != nil {
				return nil, err
			}
			return open(c)
		},
	}
}

// Pick returns the sink of that name among those of the destination, or the only one if
// name is empty.
func (d Destination) Pick(p *config.Pipeline, name string) (config.Sink, error) {
	var found []config.Sink
	var names []string
	for _, s := range p.Sinks {
		if d.Owns(s) {
			found, names = append(found, s), append(names, s.Name)
		}
	}
	all := strings.Join(names, ", ")
	i := slices.Index(names, name)
	switch {
	case i >= 0:
		return found[i], nil
	case len(found) == 0:
		return config.Sink{}, fmt.Errorf("pipeline %q has no %s sink", p.Name, d.Kind)
	case name == "" && len(found) == 1:
		return found[0], nil
	case name == "":
		return config.Sink{}, fmt.Errorf("pipeline %q has several %s sinks: name one with --sink (%s)", p.Name, d.Kind, all)
	}
	hint := config.DidYouMean(name, names, max(1, len(name)/3))
	return config.Sink{}, fmt.Errorf("pipeline %q has no %s sink %q; it has %s%s", p.Name, d.Kind, name, all, hint)
}
