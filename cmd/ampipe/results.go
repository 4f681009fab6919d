package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/ampipe/ampipe/cmd/internal/cli"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/pipeline"
)

func resultsCommand(flags *cli.Flags) *cobra.Command {
	var failed, asJSON bool
	c := each(flags, "results", "Show what became of every partition",
		`Shows every partition that has ended: its blocks, rows, the seconds that workers spent
on it, rows a second, tries, and its error if it has failed. It reads the state in NATS,
while the pipeline runs or not.`,
		func(ctx context.Context, p *config.Pipeline, o pipeline.Options) error {
			o.Failed, o.JSON = failed, asJSON
			return pipeline.Results(ctx, p, o)
		})
	c.Flags().BoolVar(&failed, "failed", false, "only partitions that have failed and were not loaded since")
	c.Flags().BoolVar(&asJSON, "json", false, "print a JSON object for each partition, in a line")
	return c
}

func failedCommand(flags *cli.Flags) *cobra.Command {
	var asJSON bool
	c := each(flags, "failed", "Show the blocks that could not be read, and why",
		`Shows the blocks of the history that could not be read and have not been loaded since,
with the errors. The exit code is 3 if there are some.`,
		func(ctx context.Context, p *config.Pipeline, o pipeline.Options) error {
			o.JSON = asJSON
			return pipeline.Failed(ctx, p, o)
		})
	c.Flags().BoolVar(&asJSON, "json", false, "print a JSON object for each partition, in a line")
	return c
}

func retryCommand(flags *cli.Flags) *cobra.Command {
	c := eachRange(flags, "retry", "Load blocks again that could not be read",
		`Queues blocks again that have failed: those of the ranges, or all with --all. A
pipeline that runs loads them at once, another when it is started.

  16M:17M     from block 16,000,000 up to and not including 17,000,000
  16M:+10     ten blocks from there on
  :1000       everything below 1,000;  16M:  everything from there on
  15_000_000  one block

Where processes have users of their own in NATS it needs the planner's.`,
		pipeline.Retry)
	orAll(flags, c, "everything that has failed",
		errors.New("name either the blocks to load again, such as 16M:17M, or --all; `ampipe failed` shows what has failed"))
	return c
}
