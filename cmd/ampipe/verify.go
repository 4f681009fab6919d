package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/ampipe/ampipe/cmd/internal/cli"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/pipeline"
)

func verifyCommand(flags *cli.Flags) *cobra.Command {
	var deep bool
	c := each(flags, "verify", "Compare source and destination, block by block",
		`Reads the range from the source and from every destination and compares the
number of rows and the content of each block. Names every block that differs, or
that cannot be compared, and then ends with exit code 3. A sink that cannot be
reached does not keep the others from being compared; the exit code is 1 then.

In Redis it finds the rows of a block by the index that ampipe keeps. --deep also
scans the keys, for rows that are in no index. Other destinations have none: there
verify reads every row of these blocks from the table itself, also without --deep.`,
		func(ctx context.Context, p *config.Pipeline, o pipeline.Options) error {
			o.Deep = deep
			return pipeline.Verify(ctx, p, o)
		})
	c.Flags().BoolVar(&deep, "deep", false, "also scan Redis for rows that are in no index")
	return c
}
