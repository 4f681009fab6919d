package main

import (
	"github.com/spf13/cobra"

	"github.com/ampipe/ampipe/cmd/internal/cli"
	"github.com/ampipe/ampipe/pkg/ops"
	"github.com/ampipe/ampipe/pkg/pipeline"
)

func checkCommand(flags *cli.Flags) *cobra.Command {
	c := each(flags, "check", "Connect to everything and change nothing",
		`Checks the configuration, the query, the server, NATS and every destination, and
prints the tables that would be created. Nothing is changed. Each finding is one line,
and the rest is checked nevertheless.`, pipeline.Check)
	run := c.RunE
	c.RunE = func(c *cobra.Command, names []string) error { return ops.Findings(run(c, names)) }
	return c
}
