//go:build !docs

package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/ampipe/ampipe/pkg/ops"
)

// Main runs a command and returns the process's exit code.
func Main(root *cobra.Command) int {
	prepare(root)
	return ops.Main(func(ctx context.Context) error { return root.ExecuteContext(ctx) })
}
