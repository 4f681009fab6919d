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
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/ops"
	"github.com/ampipe/ampipe/pkg/pipeline"
)

// each returns a command that runs do for every pipeline that is named, or for all of the
// file.
func each(
	flags *cli.Flags, name, short, long string, do func(context.Context, *config.Pipeline, pipeline.Options) error,
) *cobra.Command {
	return &cobra.Command{
		Use: name + " [PIPELINE…]", Short: short, Long: long, ValidArgsFunction: flags.Pipelines, RunE: forEach(flags, do),
	}
}

// forEach returns a RunE that runs do for every pipeline that is named, or for all of the
// file, and joins the errors.
func forEach(
	flags *cli.Flags, do func(context.Context, *config.Pipeline, pipeline.Options) error,
) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, names []string) error {
		pipelines, err := flags.Load(names)
		if err != nil {
			return err
		}
		options, err := flags.Options(c)
		if err != nil {
			return err
		}
		options.Several = len(pipelines) > 1
		var errs []error
		for _, p := range pipelines {
			for _, err := range ops.Split(do(c.Context(), p, options)) {
				if fault.Of(err) == fault.ClassPermanent {
					err = ops.Config(err) // refused, and nothing was started
				}
				errs = append(errs, err)
			}
		}
		return errors.Join(errs...)
	}
}

// eachRange is each for a command that takes ranges of blocks beside pipelines.
func eachRange(
	flags *cli.Flags, name, short, long string, do func(context.Context, *config.Pipeline, pipeline.Options, []string) error,
) *cobra.Command {
	return &cobra.Command{
		Use: name + " [PIPELINE…] [RANGE…]", Short: short, Long: long, ValidArgsFunction: flags.Pipelines,
		RunE: func(c *cobra.Command, args []string) error {
			names, ranges, err := splitRanges(flags, args)
			if err != nil {
				return ops.Config(err)
			}
			return forEach(flags, func(ctx context.Context, p *config.Pipeline, o pipeline.Options) error {
				return do(ctx, p, o, ranges)
			})(c, names)
		},
	}
}

// orAll has a command of eachRange take either ranges or --all. unnamed is its error for
// neither, and for both.
func orAll(flags *cli.Flags, c *cobra.Command, usage string, unnamed error) {
	all := c.Flags().Bool("all", false, usage)
	run := c.RunE
	c.RunE = func(c *cobra.Command, args []string) error {
		_, ranges, err := splitRanges(flags, args)
		if err == nil && *all == (len(ranges) > 0) {
			return ops.Config(unnamed)
		}
		return run(c, args)
	}
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
