//go:build !docs

package cli

import (
	"context"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ampipe/ampipe/pkg/ops"
)

// Main runs a command and returns the process's exit code.
func Main(root *cobra.Command) int {
	prepare(root)
	ctx, stop := untilSignal()
	defer stop()
	return ops.Main(ctx, reporter(os.Args[1:]), func(ctx context.Context) error { return root.ExecuteContext(ctx) })
}

// reporter returns what prints the error of a process. It reads the command line itself:
// one that cannot be is reported as it asks for, too.
func reporter(args []string) ops.Reporter {
	return ops.Reporter{
		Out:  os.Stderr,
		JSON: flagValue(args, "--log-format") == "json",
		Full: slices.Contains([]string{"debug", "trace"}, flagValue(args, "--log-level")),
	}
}

// flagValue returns the last value of a flag on a command line.
func flagValue(args []string, flag string) (value string) {
	for i, arg := range args {
		switch {
		case arg == "--":
			return value
		case arg == flag && i+1 < len(args):
			value = args[i+1]
		case strings.HasPrefix(arg, flag+"="):
			value = strings.TrimPrefix(arg, flag+"=")
		}
	}
	return value
}
