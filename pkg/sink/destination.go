package sink

import "github.com/ampipe/ampipe/pkg/config"

// Destination is a kind of destination that a program can load. Each has its package
// below this one; a program links those that it names.
type Destination struct {
	Kind string // as people call it, such as "PostgreSQL"

	// Owns reports whether a sink is of this kind.
	Owns func(config.Sink) bool

	// New returns a Writer of a sink that is of this kind. It is not open yet.
	New func(config.Sink) Writer

	// LogTo passes on what the destination's driver would print by itself, for the whole
	// process; nil: it prints nothing.
	LogTo func(func(text string))
}
