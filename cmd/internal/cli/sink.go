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
)

// SinkStage is the whole of a command that runs one sink of one pipeline: one of
// those that are its own. kind names them for people. It gives the exit code.
func SinkStage(use, kind, long string, own func(config.Sink) bool) int {
	var name string
	add := func(flags *pflag.FlagSet) {
		flags.StringVar(&name, "sink", "", "`name` of the sink, if the pipeline has several")
	}
	run := func(ctx context.Context, p *config.Pipeline, o pipeline.Options) error {
		s, err := pick(p, kind, name, own)
		if err != nil {
			return ops.Config(err)
		}
		return pipeline.RunSink(ctx, p, s, o)
	}
	return Stage(use+" [PIPELINE]", "Apply the log to "+kind, long, add, run)
}

// pick finds the sink of that name among those of a kind, or the only one.
func pick(p *config.Pipeline, kind, name string, own func(config.Sink) bool) (config.Sink, error) {
	found := slices.DeleteFunc(slices.Clone(p.Sinks), func(s config.Sink) bool {
		return !own(s) || name != "" && s.Name != name
	})
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) == 0:
		return config.Sink{}, missing(p, kind, name, own)
	}
	names := make([]string, len(found))
	for i, s := range found {
		names[i] = s.Name
	}
	return config.Sink{}, fmt.Errorf("pipeline %q has several %s sinks: name one with --sink (%s)", p.Name, kind, strings.Join(names, ", "))
}

// missing returns the error of a pipeline that has no sink of this kind and name.
func missing(p *config.Pipeline, kind, name string, own func(config.Sink) bool) error {
	var names []string
	for _, s := range p.Sinks {
		if own(s) {
			names = append(names, s.Name)
		}
	}
	if len(names) == 0 {
		return fmt.Errorf("pipeline %q has no %s sink", p.Name, kind)
	}
	return fmt.Errorf("pipeline %q has no %s sink %q; it has %s%s", p.Name, kind, name, strings.Join(names, ", "), didYouMean(name, names))
}
