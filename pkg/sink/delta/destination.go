package delta

import (
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/sink"
)

// Destination returns what a program names to load Delta Lake.
func Destination() sink.Destination {
	return sink.Destination{
		Kind: "Delta Lake",
		Owns: func(s config.Sink) bool { return s.Delta != nil },
		New:  func(s config.Sink) (sink.Writer, error) { return New(*s.Delta), nil },
	}
}
