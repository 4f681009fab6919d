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
