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
