package main

import (
	"github.com/spf13/cobra"

	"github.com/ampipe/ampipe/cmd/internal/cli"
	"github.com/ampipe/ampipe/pkg/pipeline"
)

func doctorCommand(flags *cli.Flags) *cobra.Command {
	var asJSON bool
	var monitor string
	c := &cobra.Command{
		Use:   "doctor [PIPELINE…]",
		Short: "Look for what costs speed or safety",
		Long: `Makes every check of ampipe check, and looks for what keeps nothing from being loaded
but costs speed or safety: settings of NATS and of the destinations, disks, clocks, how
old the newest block of Amp is. Each finding comes with what to do. Nothing is changed,
and pipelines may run meanwhile.

The exit code is 0 if there is nothing to fix, 3 if there are findings, and 1 if
something could not be looked at.`,
		ValidArgsFunction: flags.Pipelines,
		RunE: func(c *cobra.Command, names []string) error {
			pipelines, err := flags.Load(names)
			if err != nil {
				return err
			}
			options, err := flags.Options(c)
			if err != nil {
				return err
			}
			options.Monitor = monitor
			report, err := pipeline.Diagnose(c.Context(), pipelines, options)
			if err != nil {
				return err
			}
			options.JSON = asJSON
			err = report.Print(options)
			if err != nil {
				return err
			}
			return report.Err()
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON (docs/doctor.md)")
	c.Flags().StringVar(&monitor, "nats-monitor", "", "`URL` of the monitoring of the NATS server, such as http://host:8222 "+
		"(default: port 8222 of the server it connects to)")
	return c
}
