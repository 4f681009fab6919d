// Command sink-redis is one Redis sink of a pipeline as a process of its
// own.
package main

import (
	"os"

	"github.com/ampipe/ampipe/cmd/internal/cli"
	"github.com/ampipe/ampipe/pkg/sink/redis"
)

const long = `Applies the entries of the pipeline's log to its keys in Redis until it is
stopped. Several processes of one sink share the work.`

func main() {
	os.Exit(cli.SinkStage("sink-redis", long, redis.Destination()))
}
