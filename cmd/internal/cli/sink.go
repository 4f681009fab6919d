package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/ops"
	"github.com/ampipe/ampipe/pkg/pipeline"
	"github.com/ampipe/ampipe/pkg/sink"
)

// SinkStage is the main of a command that runs one sink of one pipeline, of the
// destination that the command is for. It returns the exit code.
func SinkStage(use, long string, d sink.Destination) int {
	var name string
	add := func(flags *pflag.FlagSet) {
		flags.StringVar(&name, "sink", "", "`name` of the sink, if the pipeline has several")
	}
	run := func(ctx context.Context, p *config.Pipeline, o pipeline.Options) error {
		s, err := pick(p, d, name)
		if err != nil {
			return ops.Config(err)
		}
		return pipeline.RunSink(ctx, p, s, o)
	}
	return Stage(use+" [PIPELINE]", "Apply the log to "+d.Kind, long, add, run, d)
}

// pick returns the sink of that name among those of a destination, or the only one.
func pick(p *config.Pipeline, d sink.Destination, name string) (config.Sink, error) {
	found := slices.DeleteFunc(slices.Clone(p.Sinks), func(s config.Sink) bool {
		return !d.Owns(s) || (name != "" && s.Name != name)
	})
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) == 0:
		return config.Sink{}, missing(p, d, name)
	}
	names := make([]string, len(found))
	for i, s := range found {
		names[i] = s.Name
	}
	return config.Sink{}, fmt.Errorf("pipeline %q has several %s sinks: name one with --sink (%s)", p.Name, d.Kind, strings.Join(names, ", "))
}

// missing returns the error of a pipeline that has no sink of this destination and name.
func missing(p *config.Pipeline, d sink.Destination, name string) error {
	var names []string
	for _, s := range p.Sinks {
		if d.Owns(s) {
			names = append(names, s.Name)
		}
	}
	if len(names) == 0 {
		return fmt.Errorf("pipeline %q has no %s sink", p.Name, d.Kind)
	}
	return fmt.Errorf("pipeline %q has no %s sink %q; it has %s%s", p.Name, d.Kind, name, strings.Join(names, ", "), didYouMean(name, names))
}
