package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/ampipe/ampipe/cmd/internal/cli"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/pipeline"
)

func vacuumCommand(flags *cli.Flags) *cobra.Command {
	var (
		dry       bool
		retention time.Duration
	)
	c := each(flags, "vacuum", "Remove files that Delta tables no longer need",
		`Removes data files that no version of the table within the retention needs: those
that were joined or rewritten, and those of commits that never happened. Older
versions of the table cannot be read after it. It may run while the pipeline does.`,
		func(ctx context.Context, p *config.Pipeline, o pipeline.Options) error {
			return pipeline.Vacuum(ctx, p, o, retention, dry)
		})
	c.Flags().BoolVar(&dry, "dry-run", false, "only print what would be done")
	c.Flags().DurationVar(&retention, "retention", 7*24*time.Hour, "keep files that were needed within this `time`, from 1h to 168h")
	return c
}
