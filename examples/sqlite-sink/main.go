// Command sqlite-sink loads the rows of a pipeline into a table of SQLite, and keeps the
// table equal to the chain. It is one stage of a pipeline, as cmd/sink-postgres is, and an
// example of a destination that is not part of ampipe: docs/destinations.md leads through
// it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"

	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/ops"
	"github.com/ampipe/ampipe/pkg/pipeline"
	"github.com/ampipe/ampipe/pkg/sink"
)

const usage = `usage: sqlite-sink [flags] [run | check | verify]

run     applies the pipeline's log to its table until it is stopped (default)
check   looks at everything that run needs, and changes nothing
verify  compares the table with the source, block by block
`

func main() {
	flag.Usage = func() {
		fmt.Fprint(os.Stderr, usage)
		flag.PrintDefaults()
	}
	file := flag.String("config", "pipeline.yaml", "configuration `file`")
	name := flag.String("sink", "", "`name` of the sink, if the pipeline has several of SQLite")
	listen := flag.String("listen", "", "`address` for metrics and health")
	flag.Parse()
	verb := flag.Arg(0)
	os.Exit(ops.Main(ops.Reporter{Out: os.Stderr}, func(ctx context.Context) error {
		return run(ctx, verb, *file, *name, *listen)
	}))
}

func run(ctx context.Context, verb, file, name, listen string) error {
	pipelines, err := config.Load(file, os.Getenv)
	if err != nil {
		return ops.Config(err)
	}
	if len(pipelines) != 1 {
		return ops.Config(fmt.Errorf("%s has %d pipelines, and this program runs one: give it a file of its own", file, len(pipelines)))
	}
	log, err := ops.Logger(os.Stderr, ops.IsTerminal(os.Stderr), ops.LogOptions{})
	if err != nil {
		return err
	}
	p, d := pipelines[0], Destination()
	options := pipeline.Options{Destinations: []sink.Destination{d}, Logger: log, Out: os.Stdout, Listen: listen}
	switch verb {
	case "", "run":
		s, err := d.Pick(p, name)
		if err != nil {
			return ops.Config(err)
		}
		return pipeline.RunSink(ctx, p, s, options)
	case "check":
		return pipeline.Check(ctx, p, options)
	case "verify":
		return pipeline.Verify(ctx, p, options)
	default:
		return ops.Config(errors.New(usage))
	}
}
