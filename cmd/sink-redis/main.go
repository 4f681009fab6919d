// Command sink-redis is one Redis sink of a pipeline as a process of its
// own.
package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/ampipe/ampipe/cmd/internal/cli"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/ops"
	"github.com/ampipe/ampipe/pkg/pipeline"
)

const long = `Applies the entries of the pipeline's log to its keys in Redis until it is
stopped. Several processes of one sink share the work.`

func main() {
	var name string
	add := func(flags *pflag.FlagSet) {
		flags.StringVar(&name, "sink", "", "`name` of the sink, if the pipeline has several")
	}
	run := func(ctx context.Context, p *config.Pipeline, o pipeline.Options) error {
		s, err := pick(p, name)
		if err != nil {
			return ops.Config(err)
		}
		return pipeline.RunSink(ctx, p, s, o)
	}
	os.Exit(cli.Stage("sink-redis [PIPELINE]", "Apply the log to Redis", long, add, run))
}

// pick finds the Redis sink of that name, or the only one.
func pick(p *config.Pipeline, name string) (config.Sink, error) {
	found := slices.DeleteFunc(slices.Clone(p.Sinks), func(s config.Sink) bool {
		return s.Redis == nil || name != "" && s.Name != name
	})
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) == 0:
		return config.Sink{}, fmt.Errorf("pipeline %q has no such Redis sink", p.Name)
	}
	names := make([]string, len(found))
	for i, s := range found {
		names[i] = s.Name
	}
	return config.Sink{}, fmt.Errorf("pipeline %q has several Redis sinks: name one with --sink (%s)", p.Name, strings.Join(names, ", "))
}
