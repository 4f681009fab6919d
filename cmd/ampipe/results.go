package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/ampipe/ampipe/cmd/internal/cli"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/ops"
	"github.com/ampipe/ampipe/pkg/pipeline"
)

func resultsCommand(flags *cli.Flags) *cobra.Command {
	var failed, asJSON bool
	c := &cobra.Command{
		Use:   "results [PIPELINE…]",
		Short: "Show what became of every partition",
		Long: `Shows every partition that has ended: its blocks, rows, the seconds that workers spent
on it, rows a second, tries, and its error if it has failed. It reads the state in NATS,
while the pipeline runs or not.`,
		ValidArgsFunction: flags.Pipelines,
		RunE: forEach(flags, func(ctx context.Context, p *config.Pipeline, o pipeline.Options) error {
			o.Failed, o.JSON = failed, asJSON
			return pipeline.Results(ctx, p, o)
		}),
	}
	c.Flags().BoolVar(&failed, "failed", false, "only partitions that have failed and were not loaded since")
	c.Flags().BoolVar(&asJSON, "json", false, "print a JSON object for each partition, in a line")
	return c
}

func failedCommand(flags *cli.Flags) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "failed [PIPELINE…]",
		Short: "Show the blocks that could not be read, and why",
		Long: `Shows the blocks of the history that could not be read and have not been loaded since,
with the errors. The exit code is 3 if there are some.`,
		ValidArgsFunction: flags.Pipelines,
		RunE: forEach(flags, func(ctx context.Context, p *config.Pipeline, o pipeline.Options) error {
			o.JSON = asJSON
			return pipeline.Failed(ctx, p, o)
		}),
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print a JSON object for each partition, in a line")
	return c
}

func retryCommand(flags *cli.Flags) *cobra.Command {
	var all bool
	c := &cobra.Command{
		Use:   "retry [PIPELINE…] [RANGE…]",
		Short: "Load blocks again that could not be read",
		Long: `Queues blocks again that have failed: those of the ranges, or all with --all. A
pipeline that runs loads them at once, another when it is started.

  16M:17M     from block 16,000,000 up to and not including 17,000,000
  16M:+10     ten blocks from there on
  :1000       everything below 1,000;  16M:  everything from there on
  15_000_000  one block

Where processes have users of their own in NATS it needs the planner's.`,
		ValidArgsFunction: flags.Pipelines,
	}
	c.Flags().BoolVar(&all, "all", false, "everything that has failed")
	c.RunE = func(c *cobra.Command, args []string) error {
		names, ranges, err := splitRanges(flags, args)
		if err != nil {
			return ops.Config(err)
		}
		if all == (len(ranges) > 0) {
			return ops.Config(errors.New("name either the blocks to load again, such as 16M:17M, or --all; `ampipe failed` shows what has failed"))
		}
		return forEach(flags, func(ctx context.Context, p *config.Pipeline, o pipeline.Options) error {
			return pipeline.Retry(ctx, p, o, ranges)
		})(c, names)
	}
	return c
}

// splitRanges divides arguments into names of pipelines and ranges of blocks. What is the
// name of a pipeline of the file is that.
func splitRanges(flags *cli.Flags, args []string) (names, ranges []string, err error) {
	known, err := config.Names(flags.File)
	if err != nil {
		return args, nil, nil // loading it says what is wrong
	}
	for _, arg := range args {
		if slices.Contains(known, arg) {
			names = append(names, arg)
			continue
		}
		if _, err := block.ParseRange(arg, block.Range{End: block.Max}); err != nil {
			return nil, nil, fmt.Errorf("%q is neither a pipeline of %s nor blocks: %w", arg, flags.File, err)
		}
		ranges = append(ranges, arg)
	}
	return names, ranges, nil
}
