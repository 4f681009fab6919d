// Command ampipe loads blockchain tables from an Amp server into databases:
// all stages in one process.
package main

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/ampipe/ampipe/cmd/internal/cli"
)

func main() {
	var flags cli.Flags
	root := &cobra.Command{
		Use:   "ampipe",
		Short: "Load blockchain tables from Amp, exactly once",
		Long: `ampipe loads the tables of an Amp server into databases: history in parallel,
through a durable log, exactly once, and it can be stopped at any moment.

  ampipe check     look at everything, change nothing
  ampipe plan      show what would be read
  ampipe run       do it
  ampipe verify    compare source and destination, block by block
  ampipe adopt     take over a table that another program has filled
  ampipe show      show the newest rows of Delta tables
  ampipe compact   join the small files of Delta tables
  ampipe vacuum    remove the files that they do not need any more`,
		Args: cobra.NoArgs,
	}
	flags.Register(root)
	root.AddCommand(runCommand(&flags), checkCommand(&flags), planCommand(&flags), verifyCommand(&flags), adoptCommand(&flags), showCommand(&flags),
		compactCommand(&flags), vacuumCommand(&flags), versionCommand())
	os.Exit(cli.Main(root))
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		Run:   func(c *cobra.Command, _ []string) { c.Println("ampipe", cli.Version()) },
	}
}
