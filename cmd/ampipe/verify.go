package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/ampipe/ampipe/cmd/internal/cli"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/ops"
	"github.com/ampipe/ampipe/pkg/pipeline"
)

func verifyCommand(flags *cli.Flags) *cobra.Command {
	var deep, asJSON, repair, dryRun, wait bool
	compare := forEach(flags, func(ctx context.Context, p *config.Pipeline, o pipeline.Options) error {
		o.Deep, o.JSON, o.Repair, o.DryRun, o.Wait = deep, asJSON, repair, dryRun, wait
		return pipeline.Verify(ctx, p, o)
	})
	c := &cobra.Command{
		Use:     "verify [PIPELINE…]",
		Aliases: []string{"diff"},
		Short:   "Compare source and destination, block by block",
		Long: `Reads the range from the source and from every destination and compares the
number of rows and the content of each block. Names every block that differs, or
that cannot be compared, shows a table of the sinks, and then ends with exit code 3
if blocks differ. A sink that cannot be reached does not keep the others from being
compared; the exit code is 1 then.

--repair removes exactly the blocks that differ from their destination and loads them
again, as ampipe replay does, waits for them and compares them again. Other blocks and
other destinations are not touched, and the live chain is followed meanwhile. Blocks
that a reorg may still replace are left, and named; --wait waits until the chain has
passed them (reorg_buffer), and repairs them, too. Where processes have users of their
own in NATS it needs the planner's.

In Redis it finds the rows of a block by the index that ampipe keeps. --deep also
scans the keys, for rows that are in no index. Other destinations have none: there
verify reads every row of these blocks from the table itself, also without --deep.`,
		ValidArgsFunction: flags.Pipelines,
		RunE: func(c *cobra.Command, names []string) error {
			if (dryRun || wait) && !repair {
				return ops.Config(pipeline.ErrRepairAlone)
			}
			return compare(c, names)
		},
	}
	c.Flags().BoolVar(&deep, "deep", false, "also scan Redis for rows that are in no index")
	c.Flags().BoolVar(&asJSON, "json", false, "print a JSON object for each sink, in a line (docs/verify.md)")
	c.Flags().BoolVar(&repair, "repair", false, "load exactly the blocks again that differ")
	c.Flags().BoolVar(&wait, "wait", false, "with --repair: wait until no reorg may replace what differs, and repair all of it")
	c.Flags().BoolVar(&dryRun, "dry-run", false, "with --repair: only say what would be done")
	return c
}
