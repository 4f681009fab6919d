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
		New:  func(s config.Sink) sink.Writer { return New(*s.Redis) },

		LogTo: LogTo,
	}
}
