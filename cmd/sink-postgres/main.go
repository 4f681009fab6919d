// Command sink-postgres is one PostgreSQL sink of a pipeline as a process of its
// own.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/ampipe/ampipe/cmd/internal/cli"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/ops"
	"github.com/ampipe/ampipe/pkg/pipeline"
)

func main() {
	os.Exit(cli.Stage("sink-postgres [PIPELINE]", "Apply the log to PostgreSQL", `Applies the entries of the pipeline's log to its PostgreSQL table until it is
stopped. Several processes of one sink share the work.`, run))
}

// run runs the pipeline's PostgreSQL sink. With several, each needs a pipeline
// document of its own, or ampipe run.
func run(ctx context.Context, p *config.Pipeline, o pipeline.Options) error {
	var found []config.Sink
	for _, s := range p.Sinks {
		if s.Postgres != nil {
			found = append(found, s)
		}
	}
	if len(found) != 1 {
		return ops.Config(fmt.Errorf("pipeline %q has %d PostgreSQL sinks; this command runs one", p.Name, len(found)))
	}
	return pipeline.RunSink(ctx, p, found[0], o)
}
