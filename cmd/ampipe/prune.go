package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/ampipe/ampipe/cmd/internal/cli"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/ops"
	"github.com/ampipe/ampipe/pkg/pipeline"
)

func pruneCommand(flags *cli.Flags) *cobra.Command {
	var (
		before  cli.Block
		options pipeline.PruneOptions
		asJSON  bool
	)
	c := &cobra.Command{
		Use:   "prune [PIPELINE] SINK --before BLOCK",
		Short: "Drop the rows of old blocks from a PostgreSQL table for good",
		Long: `Drops the rows of all blocks below BLOCK (such as 15_000_000 or 15M) from the table of
one sink. Partitions that have nothing else are dropped as a whole, or with --detach
left as tables of their own; other rows are deleted in portions. The pipeline may run
meanwhile. It knows that these blocks were loaded and are pruned: nothing reads them
again, verify does not compare them, and a replay or a reorg that reaches below leaves
them alone. This cannot be undone, other than by loading the table anew. Interrupted,
it can be given again.`,
		ValidArgsFunction: flags.Pipelines,
	}
	c.Flags().Var(&before, "before", "the first `block` that stays")
	c.Flags().BoolVar(&options.Detach, "detach", false, "leave partitions as tables of their own")
	c.Flags().BoolVar(&options.DryRun, "dry-run", false, "only say what would be done")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	c.RunE = func(c *cobra.Command, args []string) error {
		name, rest, err := replayedPipeline(flags, args)
		if err != nil {
			return ops.Config(err)
		}
		if len(rest) != 1 || before.Given == nil {
			return ops.Config(errors.New("name a sink and the first block that stays, such as --before 15M"))
		}
		options.Sink, options.Before = rest[0], *before.Given
		return forEach(flags, func(ctx context.Context, p *config.Pipeline, o pipeline.Options) error {
			o.JSON = asJSON
			return pipeline.Prune(ctx, p, o, options)
		})(c, []string{name})
	}
	return c
}
