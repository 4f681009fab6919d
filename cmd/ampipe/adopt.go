package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/ampipe/ampipe/cmd/internal/cli"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/pipeline"
)

func adoptCommand(flags *cli.Flags) *cobra.Command {
	var (
		options  pipeline.AdoptOptions
		from, to cli.Block
	)
	c := each(flags, "adopt", "Take over a PostgreSQL table that another program has filled",
		`Compares a table that another program has filled with the source, block by block.
Blocks that are equal count as loaded from then on: ampipe run does not read them
again. Blocks that differ are named and left as they are, or, with --replace, their
rows are deleted, so that ampipe run loads them. Blocks that are not reorg_buffer
below the head are not compared: with --replace they are deleted, too.

As long as rows are left that were not adopted, no sink takes the table, and the exit
code is 3. It may be stopped or killed at any moment and resumes where it was. Stop
the program that has filled the table before: what it writes meanwhile is found, and
then everything is compared again.`,
		func(ctx context.Context, p *config.Pipeline, o pipeline.Options) error {
			return pipeline.Adopt(ctx, p, o, options)
		})
	c.Flags().StringVar(&options.Sink, "sink", "", "`name` of the sink, if only one is to be adopted")
	c.Flags().Var(&from, "min-block", "first `block` to compare (default: the pipeline's)")
	c.Flags().Var(&to, "max-block", "first `block` not to compare (default: the first that is not final)")
	c.Flags().BoolVar(&options.Replace, "replace", false, "delete the rows of blocks that differ, so that they are loaded")
	c.Flags().BoolVar(&options.DryRun, "dry-run", false, "only compare, and say what would be done")
	run := c.RunE
	c.RunE = func(c *cobra.Command, names []string) error {
		options.From, options.To = from.Given, to.Given
		return run(c, names)
	}
	return c
}
