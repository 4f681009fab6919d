// Command sink-postgres is one PostgreSQL sink of a pipeline as a process of its
// own.
package main

import (
	"os"

	"github.com/ampipe/ampipe/cmd/internal/cli"
	"github.com/ampipe/ampipe/pkg/sink/postgres"
)

const long = `Applies the entries of the pipeline's log to its PostgreSQL table until it is
stopped. Several processes of one sink share the work.`

func main() {
	os.Exit(cli.SinkStage("sink-postgres", long, postgres.Destination()))
}
