package cli

import (
	"context"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/pipeline"
	"github.com/ampipe/ampipe/pkg/sink"
)

// RunStage runs one stage of a pipeline until it is done or ctx ends.
type RunStage func(ctx context.Context, p *config.Pipeline, o pipeline.Options) error

// Stage is the main of a command that runs one stage of one pipeline. add, if
// not nil, adds its own flags. destinations are those that it was built with. It
// returns the exit code.
func Stage(use, short, long string, add func(*pflag.FlagSet), run RunStage, destinations ...sink.Destination) int {
	return Main(stageCommand(use, short, long, add, run, destinations...))
}

func stageCommand(use, short, long string, add func(*pflag.FlagSet), run RunStage, destinations ...sink.Destination) *cobra.Command {
	flags := Flags{Destinations: destinations}
	command := &cobra.Command{
		Use: use, Short: short, Long: long,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: flags.Pipelines,
		RunE: func(c *cobra.Command, names []string) error {
			load := func() ([]*config.Pipeline, error) {
				p, err := flags.One(names)
				return []*config.Pipeline{p}, err
			}
			return flags.Serve(c, load, func(ctx context.Context, pipelines []*config.Pipeline, o pipeline.Options) error {
				return run(ctx, pipelines[0], o)
			})
		},
	}
	flags.Register(command)
	if add != nil {
		add(command.Flags())
	}
	return command
}
