package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/ampipe/ampipe/cmd/internal/cli"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/pipeline"
)

func compactCommand(flags *cli.Flags) *cobra.Command {
	var dry bool
	c := each(flags, "compact", "Join the small files of Delta tables",
		`Joins files that are smaller than half of target_file_size into files of about
that size. It may run while the pipeline does; rows and what is loaded stay as they
are. The files that were joined stay until vacuum removes them.`,
		func(ctx context.Context, p *config.Pipeline, o pipeline.Options) error {
			return pipeline.Compact(ctx, p, o, dry)
		})
	c.Flags().BoolVar(&dry, "dry-run", false, "only print what would be done")
	return c
}
