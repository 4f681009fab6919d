package cli

import (
	"context"

	"github.com/spf13/pflag"

	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/ops"
	"github.com/ampipe/ampipe/pkg/pipeline"
	"github.com/ampipe/ampipe/pkg/sink"
)

// SinkStage is the main of a command that runs one sink of one pipeline, of the
// destination that the command is for. It returns the exit code.
func SinkStage(use, long string, d sink.Destination) int {
	SaveMemory(CollectSink)
	var name string
	add := func(flags *pflag.FlagSet) {
		flags.StringVar(&name, "sink", "", "`name` of the sink, if the pipeline has several")
	}
	run := func(ctx context.Context, p *config.Pipeline, o pipeline.Options) error {
		s, err := d.Pick(p, name)
		if err != nil {
			return ops.Config(err)
		}
		return pipeline.RunSink(ctx, p, s, o)
	}
	return Stage(use+" [PIPELINE]", "Apply the log to "+d.Kind, long, add, run, d)
}
