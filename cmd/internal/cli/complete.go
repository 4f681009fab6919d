package cli

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ampipe/ampipe/pkg/config"
)

// completeFlags has the shell complete the values of the flags that every command
// has. Cobra refuses only a flag that does not exist, or is registered twice.
func completeFlags(c *cobra.Command) {
	_ = c.MarkPersistentFlagFilename("config", "yaml", "yml")
	for flag, values := range map[string][]string{
		"log-level":  strings.Fields(logLevels),
		"log-format": strings.Fields(logFormats),
	} {
		_ = c.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
	}
}

// Pipelines completes the names of the pipelines of the configuration file, without
// those that stand on the command line already. A file that cannot be read has none.
func (f *Flags) Pipelines(_ *cobra.Command, named []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	names, err := config.Names(f.File)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return slices.DeleteFunc(names, func(n string) bool { return slices.Contains(named, n) }), cobra.ShellCompDirectiveNoFileComp
}
