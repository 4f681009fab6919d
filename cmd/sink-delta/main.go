// Command sink-delta is one Delta Lake sink of a pipeline as a process of its
// own.
package main

import (
	"os"

	"github.com/ampipe/ampipe/cmd/internal/cli"
	"github.com/ampipe/ampipe/pkg/sink/delta"
)

const long = `Applies the entries of the pipeline's log to its Delta table until it is
stopped. Several processes of one sink may run; they commit one after the other, so
the second is there to take over, not for speed.`

func main() {
	os.Exit(cli.SinkStage("sink-delta", long, delta.Destination()))
}
