package main

import (
	"github.com/spf13/cobra"

	"github.com/ampipe/ampipe/cmd/internal/cli"
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
			cli.SaveMemory()
			pipelines, err := flags.Load(names)
			if err != nil {
				return err
			}
			options, err := flags.Options(c)
			if err != nil {
				return err
			}
			options.RetryFailed, options.Results, options.Page = retry, results, true
			return pipeline.Run(c.Context(), pipelines, options)
		},
	}
	command.Flags().BoolVar(&retry, "retry-failed", false, "load partitions again that failed in an earlier run")
	command.Flags().BoolVar(&results, "results", false,
		"show every partition at the end: blocks, rows, seconds, tries (with --log-format json as JSON)")
	return command
}
