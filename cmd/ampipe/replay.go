package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/ampipe/ampipe/cmd/internal/cli"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/ops"
	"github.com/ampipe/ampipe/pkg/pipeline"
)

func replayCommand(flags *cli.Flags) *cobra.Command {
	var all bool
	var options pipeline.ReplayOptions
	c := &cobra.Command{
		Use:   "replay [PIPELINE] SINK [RANGE…]",
		Short: "Remove blocks from a destination and load them again",
		Long: `Removes blocks from one destination, rows and coverage, and loads them again: from
the log as far as it has them, else from Amp. It says how many come from where. Other
destinations are not touched, and the live chain is followed meanwhile. A sink that
runs does it at once, another when it is started. If it is killed in the middle it
resumes.

Ranges are written as for retry; --all is everything that a reorg cannot reach any
more. Where processes have users of their own in NATS it needs the planner's.`,
		ValidArgsFunction: flags.Pipelines,
	}
	c.Flags().BoolVar(&all, "all", false, "all blocks that are final")
	c.Flags().BoolVar(&options.DryRun, "dry-run", false, "only say what would be done")
	c.RunE = func(c *cobra.Command, args []string) error {
		name, rest, err := replayedPipeline(flags, args)
		if err != nil {
			return ops.Config(err)
		}
		if len(rest) == 0 || all == (len(rest) > 1) {
			return ops.Config(errors.New("name a sink and either the blocks to load again, such as 16M:17M, or --all"))
		}
		options.Sink, options.Ranges = rest[0], rest[1:]
		return forEach(flags, func(ctx context.Context, p *config.Pipeline, o pipeline.Options) error {
			return pipeline.Replay(ctx, p, o, options)
		})(c, []string{name})
	}
	return c
}

// replayedPipeline takes the name of the pipeline off the arguments. A file with one
// pipeline needs none.
func replayedPipeline(flags *cli.Flags, args []string) (name string, rest []string, err error) {
	known, err := config.Names(flags.File)
	if err != nil {
		return "", nil, err
	}
	switch {
	case len(args) > 0 && slices.Contains(known, args[0]):
		return args[0], args[1:], nil
	case len(known) == 1:
		return known[0], args, nil
	default:
		return "", nil, fmt.Errorf("%s has several pipelines: name one of them before the sink", flags.File)
	}
}
