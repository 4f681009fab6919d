// Command planner is one stage of a pipeline as a process of its own.
package main

import (
	"context"
	"os"

	"github.com/spf13/pflag"

	"github.com/ampipe/ampipe/cmd/internal/cli"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/pipeline"
)

const long = `Checks the query, cuts the range into partitions, queues them, compares what every
sink has committed with what is wanted, and ends when nothing is missing.`

func main() {
	var retry, results bool
	add := func(flags *pflag.FlagSet) {
		flags.BoolVar(&retry, "retry-failed", false, "load partitions again that failed in an earlier run")
		flags.BoolVar(&results, "results", false,
			"show every partition at the end: blocks, rows, seconds, tries (with --log-format json as JSON)")
	}
	run := func(ctx context.Context, p *config.Pipeline, o pipeline.Options) error {
		o.RetryFailed, o.Results, o.Page = retry, results, true
		return pipeline.RunPlanner(ctx, p, o)
	}
	os.Exit(cli.Stage("planner [PIPELINE]", "Plan a pipeline and watch over it", long, add, run))
}
