package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/ampipe/ampipe/cmd/internal/cli"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/pipeline"
)

func showCommand(flags *cli.Flags) *cobra.Command {
	var rows int
	var columns []string
	c := each(flags, "show", "Show the newest rows of Delta tables",
		`Prints the rows of the highest blocks of every Delta table of the pipelines, from
its newest version. Long values are cut. For other destinations use their own client.`,
		func(ctx context.Context, p *config.Pipeline, o pipeline.Options) error {
			return pipeline.Show(ctx, p, o, max(rows, 1), columns)
		})
	c.Flags().IntVarP(&rows, "rows", "n", 10, "how `many`")
	c.Flags().StringSliceVar(&columns, "columns", nil, "`names` of the columns to show (default: all)")
	return c
}
