package main

import (
	"github.com/spf13/cobra"

	"github.com/ampipe/ampipe/cmd/internal/cli"
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
			return ops.Findings(forEach(flags, pipeline.Check)(c, names))
		},
	}
}
