package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/ampipe/ampipe/cmd/internal/cli"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/pipeline"
)

func dlqCommand(flags *cli.Flags) *cobra.Command {
	c := &cobra.Command{
		Use:   "dlq",
		Short: "Show, load and drop the rows that destinations have refused",
		Long: `Shows the dead letters of sinks with on_bad_row: dead_letter: the rows that their
destinations have refused, each with block, column, value and reason. They are in NATS,
and are shown while the pipeline runs or not.`,
	}
	c.AddCommand(
		lettersCommand(flags, "list", "Count the dead letters by sink, column and reason",
			`Counts the dead letters by sink, column and reason. The exit code is 3 if there are some.`,
			"print a JSON object for each reason, in a line", pipeline.ListDeadLetters),
		lettersCommand(flags, "show", "Show each dead letter with its row",
			`Shows each dead letter with its row: of all blocks, or of the ranges.`,
			"print a JSON object for each dead letter, in a line", pipeline.ShowDeadLetters),
		replayLettersCommand(flags),
		dropLettersCommand(flags),
	)
	return c
}

func replayLettersCommand(flags *cli.Flags) *cobra.Command {
	var as pipeline.ReplayOptions
	c := lettersCommand(flags, "replay", "Load the blocks of dead letters again",
		`Loads the blocks again that have dead letters: of the ranges, or all with --all. Do so
once the table or the types are fixed. The blocks are removed from the destination,
rows and coverage, and come from the log as far as it has them, else from Amp, as by
ampipe replay; after the query was changed give --from-amp. A row that is accepted now
is there, and its letter is gone; one that is refused again stays a letter.

Blocks that a reorg may still replace are left out, and the exit code is 3. Where
processes have users of their own in NATS it needs the planner's.`,
		eachSink, func(ctx context.Context, p *config.Pipeline, o pipeline.Options, of pipeline.Letters) error {
			return pipeline.ReplayDeadLetters(ctx, p, o, of, as)
		})
	c.Flags().BoolVar(&as.FromAmp, "from-amp", false, "read nothing from the log: it holds the rows of the query as it was")
	c.Flags().BoolVar(&as.DryRun, "dry-run", false, "only say what would be done")
	orAll(flags, c, allLetters, errors.New("name either the blocks whose dead letters to load again, such as 16M:17M, or --all; "+
		"`ampipe dlq list` shows what there is"))
	return c
}

func dropLettersCommand(flags *cli.Flags) *cobra.Command {
	c := lettersCommand(flags, "drop", "Remove dead letters",
		`Removes the dead letters of the ranges, or all with --all. Their rows stay out of the
destination, and verify names their blocks from then on.

Where processes have users of their own in NATS it needs the planner's.`,
		eachSink, pipeline.DropDeadLetters)
	orAll(flags, c, allLetters, errors.New("name either the blocks whose dead letters to drop, such as 16M:17M, or --all; "+
		"`ampipe dlq list` shows what there is"))
	return c
}

// What the help says of flags of commands that change dead letters.
const (
	allLetters = "all dead letters"
	eachSink   = "print a JSON object for each sink, in a line"
)

// lettersCommand returns a command about dead letters.
func lettersCommand(
	flags *cli.Flags, name, short, long, json string,
	do func(context.Context, *config.Pipeline, pipeline.Options, pipeline.Letters) error,
) *cobra.Command {
	var sink string
	var asJSON bool
	c := eachRange(flags, name, short, long, func(ctx context.Context, p *config.Pipeline, o pipeline.Options, ranges []string) error {
		o.JSON = asJSON
		return do(ctx, p, o, pipeline.Letters{Sink: sink, Ranges: ranges})
	})
	c.Flags().StringVar(&sink, "sink", "", "only of the sink of this name")
	c.Flags().BoolVar(&asJSON, "json", false, json)
	return c
}
