// Command sqlite-sink loads the rows of a pipeline into a table of SQLite, and keeps the
// table equal to the chain. It is one stage of a pipeline, as cmd/sink-postgres is, and an
// example of a destination that is not part of ampipe: docs/destinations.md leads through
// it.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/ampipe/ampipe/pkg/pipeline"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	reload := make(chan os.Signal, 1)
	signal.Notify(reload, syscall.SIGHUP)
	os.Exit(pipeline.SinkCommand(ctx, reload, "sqlite-sink", Destination()))
}
