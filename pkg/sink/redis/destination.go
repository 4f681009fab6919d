package redis

import (
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/sink"
)

// Destination returns what a program names to load Redis.
func Destination() sink.Destination {
	return sink.Destination{
		Kind: "Redis",
		Owns: func(s config.Sink) bool { return s.Redis != nil },
		New:  func(s config.Sink) (sink.Writer, error) { return New(*s.Redis), nil },

		LogTo: LogTo,
	}
}
