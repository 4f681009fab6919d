package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/ampipe/ampipe/cmd/internal/cli"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/ops"
	"github.com/ampipe/ampipe/pkg/pipeline"
)

func checkCommand(flags *cli.Flags) *cobra.Command {
	return &cobra.Command{
		Use:   "check [PIPELINE…]",
		Short: "Connect to everything and change nothing",
		Long: `Checks the configuration, the query, the server, NATS and every destination, and
prints the tables that would be created. Nothing is changed. Each finding is one line,
and the rest is checked nevertheless.`,
		ValidArgsFunction: flags.Pipelines,
		RunE: func(c *cobra.Command, names []string) error {
			return ops.Findings(each(flags, pipeline.Check)(c, names))
		},
	}
}

func planCommand(flags *cli.Flags) *cobra.Command {
	return &cobra.Command{
		Use:   "plan [PIPELINE…]",
		Short: "Show what would be read, without reading it",
		Long: `The dry run: the partitions of the history, and an estimate of rows and bytes
from a few short samples of the source.`,
		ValidArgsFunction: flags.Pipelines,
		RunE:              each(flags, pipeline.Preview),
	}
}

func verifyCommand(flags *cli.Flags) *cobra.Command {
	var deep bool
	c := &cobra.Command{
		Use:   "verify [PIPELINE…]",
		Short: "Compare source and destination, block by block",
		Long: `Reads the range from the source and from every destination and compares the
number of rows and the content of each block. Names every block that differs, or
that cannot be compared, and then ends with exit code 3. A sink that cannot be
reached does not keep the others from being compared; the exit code is 1 then.

In Redis it finds the rows of a block by the index that ampipe keeps. --deep also
scans the keys, for rows that are in no index. Other destinations have none: there
verify reads every row of these blocks from the table itself, also without --deep.`,
		ValidArgsFunction: flags.Pipelines,
		RunE: each(flags, func(ctx context.Context, p *config.Pipeline, o pipeline.Options) error {
			o.Deep = deep
			return pipeline.Verify(ctx, p, o)
		}),
	}
	c.Flags().BoolVar(&deep, "deep", false, "also scan Redis for rows that are in no index")
	return c
}

// each runs a look for every pipeline that is named, or for all of the file.
func each(flags *cli.Flags, look func(context.Context, *config.Pipeline, pipeline.Options) error) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, names []string) error {
		pipelines, err := flags.Load(names)
		if err != nil {
			return err
		}
		_, log, err := flags.Screen()
		if err != nil {
			return err
		}
		var errs []error
		for _, p := range pipelines {
			for _, err := range ops.Split(look(c.Context(), p, pipeline.Options{Destinations: flags.Destinations, Logger: log, Out: c.OutOrStdout()})) {
				if fault.Of(err) == fault.ClassPermanent {
					err = ops.Config(err) // refused, and nothing was started
				}
				errs = append(errs, err)
			}
		}
		return errors.Join(errs...)
	}
}
