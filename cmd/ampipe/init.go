package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/ampipe/ampipe/cmd/internal/cli"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/ops"
	"github.com/ampipe/ampipe/pkg/pipeline"
)

func initCommand(flags *cli.Flags) *cobra.Command {
	var tables []string
	c := &cobra.Command{
		Use:   "init AMP_URL --table DATASET.TABLE",
		Short: "Write a configuration for tables of a server",
		Long: `Asks the server about the tables and writes the configuration, with comments:
a pipeline for each table, with a key and types that suit its columns. Then it
runs check. A file that is there is never overwritten; --config names another.

With DATABASE_URL or REDIS_URL in the environment these are the destinations,
else a Delta Lake table in a folder. The others stand in the file as comments.

  ampipe init grpc://localhost:1602 --table eth_rpc.logs`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			err := writeConfig(c, flags, args[0], tables)
			if fault.Of(err) == fault.ClassPermanent {
				return ops.Config(err)
			}
			if err != nil {
				return err
			}
			return ops.Findings(forEach(flags, pipeline.Check)(c, nil))
		},
	}
	c.Flags().StringArrayVar(&tables, "table", nil, "`table` to load, as a query names it; may be given several times")
	return c
}

// writeConfig writes the file, unless it is there.
func writeConfig(c *cobra.Command, flags *cli.Flags, amp string, tables []string) error {
	_, err := os.Lstat(flags.File)
	if err == nil {
		return isThere(flags.File)
	}
	text, err := pipeline.Draft(c.Context(), amp, tables, flags.File, os.Getenv)
	if err != nil {
		return err
	}
	file, err := os.OpenFile(flags.File, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return isThere(flags.File)
	}
	if err != nil {
		return fault.Permanent(fmt.Errorf("write the configuration: %w", err))
	}
	_, err = file.Write(text)
	err = errors.Join(err, file.Close())
	if err != nil {
		_ = os.Remove(flags.File) // a part of it is of no use
		return fmt.Errorf("write the configuration: %w", err)
	}
	_, _ = fmt.Fprintf(c.OutOrStdout(), "wrote %s\n\n", flags.File) // there is no other place to report it
	return nil
}

func isThere(file string) error {
	return fault.Permanent(fmt.Errorf("%s is there already and is not overwritten: name another file with --config", file))
}
