package cli

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/ops"
)

// versionText describes a build to people.
func versionText(name string, b ops.Build) string {
	var out strings.Builder
	line := func(label, value string) { fmt.Fprintf(&out, "%-13s %s\n", label, value) }
	line(name, b.Version)
	switch {
	case b.Commit == "":
		line("commit", "unknown")
	case b.Modified:
		line("commit", b.Commit+" (and changes that are not committed)")
	default:
		line("commit", b.Commit)
	}
	line("go", b.Go)
	line("platform", b.Platform)
	line("amp protocol", amp.ProtocolRevision)
	return out.String()
}

// versionFlag lets a process's command print its version and do nothing else. Cobra's own
// flag prints more than that without a template, and with text/template in a program the
// linker keeps every method that is exported.
func versionFlag(root *cobra.Command) {
	var asked bool
	root.Flags().BoolVarP(&asked, "version", "v", false, "version for "+root.Name())
	args, run := root.Args, root.RunE
	root.Args = func(c *cobra.Command, given []string) error {
		if asked || args == nil {
			return nil
		}
		return args(c, given)
	}
	root.RunE = func(c *cobra.Command, given []string) error {
		if asked {
			_, err := fmt.Fprint(c.OutOrStdout(), versionText(c.Name(), ops.ReadBuild()))
			return err
		}
		return run(c, given)
	}
}

// VersionCommand returns the command that prints the version.
func VersionCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Long: `Prints the version, the commit that it was built from, the Go release, the
platform, and the revision of Amp whose protocol it speaks.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			build := ops.ReadBuild()
			if !asJSON {
				_, err := fmt.Fprint(c.OutOrStdout(), versionText(c.Root().Name(), build))
				return err
			}
			out := json.NewEncoder(c.OutOrStdout())
			out.SetIndent("", "  ")
			return out.Encode(struct {
				ops.Build
				AmpProtocol string `json:"amp_protocol"`
			}{build, amp.ProtocolRevision})
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}
