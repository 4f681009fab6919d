package pipeline_test

import (
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/delta"
	"github.com/ampipe/ampipe/pkg/sink/postgres"
	"github.com/ampipe/ampipe/pkg/sink/redis"
)

func allDestinations() []sink.Destination {
	return []sink.Destination{postgres.Destination(), delta.Destination(), redis.Destination()}
}
