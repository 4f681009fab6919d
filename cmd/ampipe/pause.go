package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ampipe/ampipe/cmd/internal/cli"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/ops"
	"github.com/ampipe/ampipe/pkg/pipeline"
)

func pauseCommand(flags *cli.Flags) *cobra.Command {
	return sinkCommand(flags, "pause", "Have a sink stand still",
		`Has a sink stand still until ampipe resume, also when it is started again. It commits
what it has in hand, takes nothing more, and stays up. Other sinks continue.
ampipe status says since when it is paused.

The log keeps what the sink lacks while it is less than half full. Then what others
have applied is removed, and the sink reads from Amp again what it lacks.`, pipeline.Pause)
}

func resumeCommand(flags *cli.Flags) *cobra.Command {
	return sinkCommand(flags, "resume", "Have a paused sink continue",
		`Has a sink continue that ampipe pause has paused.`, pipeline.Resume)
}

// sinkCommand returns a command that does something to a sink, of the pipelines that are
// named, or of each that has it.
func sinkCommand(
	flags *cli.Flags, name, short, long string, do func(context.Context, *config.Pipeline, pipeline.Options, string) error,
) *cobra.Command {
	return &cobra.Command{
		Use: name + " SINK [PIPELINE…]", Short: short, Args: cobra.MinimumNArgs(1),
		Long: long + `

Without a pipeline it is the sink of that name in each pipeline of the file that has it.
Where processes have users of their own in NATS it needs the planner's.`,
		ValidArgsFunction: func(c *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
			if len(args) == 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return flags.Pipelines(c, args[1:], word)
		},
		RunE: func(c *cobra.Command, args []string) error {
			sink, names := args[0], args[1:]
			names, err := pipelinesOf(flags, sink, names)
			if err != nil {
				return err
			}
			return forEach(flags, func(ctx context.Context, p *config.Pipeline, o pipeline.Options) error {
				return do(ctx, p, o, sink)
			})(c, names)
		},
	}
}

// pipelinesOf returns the names of the pipelines that have a sink, of those that are named
// or of all. One that is named and does not have it is refused.
func pipelinesOf(flags *cli.Flags, sink string, names []string) ([]string, error) {
	all, err := flags.Load(names)
	if err != nil {
		return nil, err
	}
	var having, known []string
	for _, p := range all {
		var sinks []string
		for _, s := range p.Sinks {
			sinks = append(sinks, s.Name)
		}
		if slices.Contains(sinks, sink) {
			having = append(having, p.Name)
		} else if len(names) > 0 {
			return nil, noSink("pipeline "+p.Name, sink, sinks)
		}
		known = append(known, sinks...)
	}
	if len(having) == 0 {
		slices.Sort(known)
		return nil, noSink(flags.File, sink, slices.Compact(known))
	}
	return having, nil
}

func noSink(where, sink string, known []string) error {
	return ops.Config(fmt.Errorf("%s has no sink %q; it has %s%s", where, sink, strings.Join(known, ", "),
		config.DidYouMean(sink, known, max(1, len(sink)/3))))
}
