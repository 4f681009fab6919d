// Command sqlite-sink loads the rows of a pipeline into a table of SQLite, and keeps the
// table equal to the chain. It is one stage of a pipeline, as cmd/sink-postgres is, and an
// example of a destination that is not part of ampipe: docs/destinations.md leads through
// it.
package main

import (
	"os"

	"github.com/ampipe/ampipe/pkg/pipeline"
)

func main() { os.Exit(pipeline.SinkCommand("sqlite-sink", Destination())) }
