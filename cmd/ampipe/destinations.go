package main

import (
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/delta"
	"github.com/ampipe/ampipe/pkg/sink/postgres"
	"github.com/ampipe/ampipe/pkg/sink/redis"
)

// destinations returns all destinations: a line each.
func destinations() []sink.Destination {
	return []sink.Destination{
		postgres.Destination(),
		delta.Destination(),
		redis.Destination(),
	}
}
