package main

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ampipe/ampipe/cmd/internal/cli"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/ops"
	"github.com/ampipe/ampipe/pkg/pipeline"
	"github.com/ampipe/ampipe/pkg/status"
)

// watchEvery is how often `ampipe status --watch` looks.
const watchEvery = 2 * time.Second

func statusCommand(flags *cli.Flags) *cobra.Command {
	var watch, asJSON bool
	c := &cobra.Command{
		Use:   "status [PIPELINE…]",
		Short: "Say how the pipelines are, and what to do",
		Long: `Says in the first line how the pipelines are, then what to do, and then shows
partitions, live chain, log, sinks and processes. All of it is read from the state in
NATS: with nats.url from that server, with nats.embedded through the process that runs,
or from its folder when none does. A process that has died without a word is shown as
lost after 15 seconds.

The exit code is 0 if everything is as it is to be, 3 if something is lacking that may
pass by itself, and 1 if somebody has to act.`,
		ValidArgsFunction: flags.Pipelines,
		RunE: func(c *cobra.Command, names []string) error {
			pipelines, err := flags.Load(names)
			if err != nil {
				return err
			}
			viewer := pipeline.NewViewer(pipelines)
			defer viewer.Close()
			for {
				overview := viewer.Look(c.Context())
				if c.Context().Err() != nil {
					return context.Cause(c.Context())
				}
				if err := show(c.OutOrStdout(), overview, asJSON, watch); err != nil {
					return err
				}
				if !watch {
					return pipeline.Unwell(overview)
				}
				if err := fault.Sleep(c.Context(), watchEvery); err != nil {
					return err
				}
			}
		},
	}
	c.Flags().BoolVarP(&watch, "watch", "w", false, "show it again every 2 seconds, until it is interrupted")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON (docs/status.md); with --watch one document in each line")
	return c
}

// defaultColumns is how wide a table is where there is no terminal.
const defaultColumns = 80

// show prints an overview. At a terminal each that is watched stands in place of the one
// before.
func show(out io.Writer, overview status.Overview, asJSON, watched bool) error {
	if asJSON {
		encoder := json.NewEncoder(out)
		if !watched {
			encoder.SetIndent("", "  ")
		}
		return encoder.Encode(overview)
	}
	columns, lines := ops.Size(os.Stdout)
	if columns == 0 {
		columns = defaultColumns
	}
	text := overview.Text(columns)
	before, after := "", "\n"
	if watched {
		after = "\n\n"
		if lines > 0 {
			text = text[:min(len(text), lines-1)]
			before, after = "\x1b[H\x1b[2J", "\n" // to the top, and clear
		}
	}
	_, err := io.WriteString(out, before+strings.Join(text, "\n")+after)
	return err
}
