package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/ampipe/ampipe/cmd/internal/cli"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/ops"
	"github.com/ampipe/ampipe/pkg/pipeline"
)

// needsAll is what the help says of commands that remove something.
const needsAll = `
Where processes have users of their own in NATS it needs one that has all rights.`

func forgetCommand(flags *cli.Flags) *cobra.Command {
	var withLetters bool
	c := &cobra.Command{
		Use:   "forget SINK [PIPELINE]",
		Short: "Let go what NATS keeps of a sink that is not wanted any more",
		Long: `Takes a sink out of the plan, so that the log is not kept for it and nothing waits for
it any more, and removes its positions and its report from NATS. Its destination
stays as it is. No process may run the sink, others may. A sink that stays in the
configuration is there again when the planner is started. A sink that has dead letters
is forgotten only with --dead-letters, which removes them.
` + needsAll,
		Args: cobra.RangeArgs(1, 2),
		ValidArgsFunction: func(c *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
			if len(args) != 1 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return flags.Pipelines(c, nil, word)
		},
		RunE: func(c *cobra.Command, args []string) error {
			sink, names := args[0], args[1:]
			pipelines, err := flags.Load(names)
			if err != nil {
				return err
			}
			if len(pipelines) > 1 {
				return ops.Config(fmt.Errorf("%s has several pipelines: name the one that is to forget the sink: "+
					"ampipe forget %s PIPELINE", flags.File, sink))
			}
			return forEach(flags, func(ctx context.Context, p *config.Pipeline, o pipeline.Options) error {
				return pipeline.Forget(ctx, p, o, sink, withLetters)
			})(c, names)
		},
	}
	c.Flags().BoolVar(&withLetters, "dead-letters", false, "remove its dead letters, too")
	return c
}

func dropCommand(flags *cli.Flags) *cobra.Command {
	var yes bool
	c := &cobra.Command{
		Use:   "drop PIPELINE",
		Short: "Remove a pipeline from NATS; destinations stay",
		Long: `Removes the log, the tasks, the dead letters and the state of a pipeline of which no
process runs. It shows what goes, and removes it only with --yes. Destinations stay as
they are, with what they record about the blocks that they hold: a pipeline of the same
name and tables that is started later reads only what they lack.
` + needsAll,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: flags.Pipelines,
		RunE: forEach(flags, func(ctx context.Context, p *config.Pipeline, o pipeline.Options) error {
			return pipeline.Drop(ctx, p, o, yes)
		}),
	}
	c.Flags().BoolVar(&yes, "yes", false, "remove it")
	return c
}
