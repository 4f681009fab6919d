package main

import (
	"github.com/spf13/cobra"

	"github.com/ampipe/ampipe/cmd/internal/cli"
	"github.com/ampipe/ampipe/pkg/pipeline"
)

func planCommand(flags *cli.Flags) *cobra.Command {
	return each(flags, "plan", "Show what would be read, without reading it",
		`The dry run: the partitions of the history, and an estimate of rows and bytes
from a few short samples of the source.`, pipeline.Preview)
}
