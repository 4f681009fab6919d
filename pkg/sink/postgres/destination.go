package postgres

import (
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/sink"
)

// Destination returns what a program names to load PostgreSQL.
func Destination() sink.Destination {
	return sink.Destination{
		Kind: "PostgreSQL",
		Owns: func(s config.Sink) bool { return s.Postgres != nil },
		New:  func(s config.Sink) (sink.Writer, error) { return New(*s.Postgres), nil },
	}
}
