// Command ampipe loads blockchain tables from an Amp server into databases:
// all stages in one process.
package main

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/ampipe/ampipe/cmd/internal/cli"
)

func main() { os.Exit(cli.Main(command())) }

// command returns the command line.
func command() *cobra.Command {
	flags := cli.Flags{Destinations: destinations()}
	root := &cobra.Command{
		Use:   "ampipe",
		Short: "Load blockchain tables from Amp, exactly once",
		Long: `ampipe loads the tables of an Amp server into databases: history in parallel,
through a durable log, exactly once, and it can be stopped at any moment.

  ampipe init      write a configuration for tables of a server
  ampipe check     connect to everything, change nothing
  ampipe plan      show what would be read
  ampipe run       load the history and follow the chain
  ampipe status    say how it is, of a pipeline that runs or does not
  ampipe results   show every partition: blocks, rows, seconds, tries
  ampipe failed    show the blocks that could not be read, and why
  ampipe retry     load them again
  ampipe doctor    look for what costs speed or safety
  ampipe replay    remove blocks from a destination and load them again
  ampipe dlq       show, load or drop the rows that destinations have refused
  ampipe pause     have a sink stand still; ampipe resume lets it continue
  ampipe forget    let go what NATS keeps of a sink that is not wanted any more
  ampipe drop      remove a pipeline from NATS; destinations stay
  ampipe verify    compare source and destination, block by block
  ampipe adopt     take over a table that another program has filled
  ampipe health    ask a running process whether it is well
  ampipe prune     drop the rows of old blocks from a PostgreSQL table for good
  ampipe show      show the newest rows of Delta tables
  ampipe compact   join the small files of Delta tables
  ampipe vacuum    remove files that they no longer need`,
	}
	flags.Register(root)
	root.AddCommand(initCommand(&flags), runCommand(&flags), checkCommand(&flags), planCommand(&flags), verifyCommand(&flags),
		doctorCommand(&flags), statusCommand(&flags), resultsCommand(&flags), failedCommand(&flags), retryCommand(&flags), replayCommand(&flags),
		dlqCommand(&flags), pauseCommand(&flags), resumeCommand(&flags), forgetCommand(&flags), dropCommand(&flags),
		adoptCommand(&flags), pruneCommand(&flags), healthCommand(&flags), showCommand(&flags), compactCommand(&flags),
		vacuumCommand(&flags), cli.VersionCommand())
	return root
}
