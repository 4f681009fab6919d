package main

import (
	"context"
	"slices"

	"github.com/spf13/cobra"

	"github.com/ampipe/ampipe/cmd/internal/cli"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/pipeline"
)

func runCommand(flags *cli.Flags) *cobra.Command {
	var retry, results bool
	command := &cobra.Command{
		Use:   "run [PIPELINE…]",
		Short: "Run all stages of the pipelines in this process",
		Long: `Runs the planner, the extractors and every sink in this process, with the NATS
server embedded unless nats.url names one. It ends when every destination holds
the whole range. Stopped before that, it resumes there when it is started again.`,
		ValidArgsFunction: flags.Pipelines,
		RunE: func(c *cobra.Command, names []string) error {
			load := func() ([]*config.Pipeline, error) { return flags.Load(names) }
			return flags.Serve(c, load, func(ctx context.Context, pipelines []*config.Pipeline, o pipeline.Options) error {
				cli.SaveMemory(collectAt(pipelines))
				o.RetryFailed, o.Results, o.Page = retry, results, true
				return pipeline.Run(ctx, pipelines, o)
			})
		},
	}
	command.Flags().BoolVar(&retry, "retry-failed", false, "load partitions again that failed in an earlier run")
	command.Flags().BoolVar(&results, "results", false,
		"show every partition at the end: blocks, rows, seconds, tries (with --log-format json as JSON)")
	return command
}

// collectAt returns at how much garbage, in percent of what is in use, a run of the pipelines
// collects it.
func collectAt(pipelines []*config.Pipeline) int {
	for _, p := range pipelines {
		if slices.ContainsFunc(p.Sinks, func(s config.Sink) bool { return s.Delta != nil }) {
			return cli.CollectLake
		}
	}
	return cli.CollectRun
}
