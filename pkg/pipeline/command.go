package pipeline

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strings"

	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/ops"
	"github.com/ampipe/ampipe/pkg/sink"
)

// SinkCommand is the whole of a command for a destination that is not part of ampipe: it
// runs one sink of one pipeline, checks a pipeline as far as the destination goes, or
// verifies it, until ctx ends. It reads the command line and returns the exit code; signals
// are the program's, which ends ctx.
func SinkCommand(ctx context.Context, name string, d sink.Destination) int {
	var c sinkCommand
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.Usage = func() {
		say(flags.Output(), "usage: %s [flags] [run | check | doctor | verify]\n\n"+
			"run     applies the pipeline's log to its %s until it is stopped (default)\n"+
			"check   looks at everything that run needs, and changes nothing\n"+
			"doctor  looks for what costs speed or safety, and changes nothing\n"+
			"verify  compares what is loaded with the source, block by block\n", name, d.Kind)
		flags.PrintDefaults()
	}
	flags.StringVar(&c.file, "config", "pipeline.yaml", "configuration `file`")
	flags.StringVar(&c.pipeline, "pipeline", "", "`name` of the pipeline, if the file has several")
	flags.StringVar(&c.sink, "sink", "", "`name` of the sink to run, if the pipeline has several")
	flags.StringVar(&c.listen, "listen", os.Getenv("AMPIPE_LISTEN"),
		"`address` for /metrics, /livez, /readyz and /healthz (default: that of AMPIPE_LISTEN, or none)")
	flags.StringVar(&c.log.Level, "log-level", "info", "trace, debug, info, warn or error")
	flags.StringVar(&c.log.Format, "log-format", "auto", "auto, console or json")
	switch err := flags.Parse(os.Args[1:]); {
	case err == flag.ErrHelp:
		return ops.ExitDone
	case err != nil:
		return ops.ExitConfig // it has been printed
	}
	c.verb = strings.Join(flags.Args(), " ")
	report := ops.Reporter{Out: os.Stderr, JSON: c.log.Format == "json", Full: c.log.Level == "debug" || c.log.Level == "trace"}
	return ops.Main(ctx, report, func(ctx context.Context) error { return c.run(ctx, d) })
}

// sinkCommand is a command line of SinkCommand.
type sinkCommand struct {
	verb, file, pipeline, sink, listen string
	log                                ops.LogOptions
}

func (c *sinkCommand) run(ctx context.Context, d sink.Destination) error {
	p, err := c.load()
	if err != nil {
		return ops.Config(err)
	}
	terminal := ops.IsTerminal(os.Stderr)
	log, err := ops.Logger(os.Stderr, terminal, c.log)
	if err != nil {
		return ops.Config(err)
	}
	if d.LogTo != nil {
		d.LogTo(func(text string) { log.Debug().Str("part", d.Kind).Msg(text) })
	}
	o := Options{Destinations: []sink.Destination{d}, Logger: log, Listen: c.listen, Out: os.Stdout, JSON: c.log.Format == "json"}
	switch c.verb {
	case "check":
		return refused(ops.Findings(ops.Failures(checkServer(p), Check(ctx, p, o))))
	case "doctor":
		return c.diagnose(ctx, p, o)
	case "verify":
		return Verify(ctx, p, o)
	case "", "run":
	default:
		return ops.Config(fmt.Errorf("%q is not one of run, check, doctor, verify", c.verb))
	}
	s, err := d.Pick(p, c.sink)
	if err != nil {
		return ops.Config(err)
	}
	return RunSink(ctx, p, s, o)
}

// reportColumns is how wide the report of a sink's command is.
const reportColumns = 80

// diagnose prints what is found about the pipeline.
func (c *sinkCommand) diagnose(ctx context.Context, p *config.Pipeline, o Options) error {
	report, err := Diagnose(ctx, []*config.Pipeline{p}, o)
	if err != nil {
		return err
	}
	say(o.out(), "%s", strings.Join(report.Text(reportColumns), "\n"))
	return report.Err()
}

// load reads the file and picks the pipeline.
func (c *sinkCommand) load() (*config.Pipeline, error) {
	all, err := config.Load(c.file, os.Getenv)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, p := range all {
		if p.Name == c.pipeline || (c.pipeline == "" && len(all) == 1) {
			return p, nil
		}
		names = append(names, p.Name)
	}
	listed := strings.Join(names, ", ")
	if c.pipeline == "" {
		return nil, fmt.Errorf("%s has several pipelines (%s): name the one to run", c.file, listed)
	}
	return nil, fmt.Errorf("%s has no pipeline %q; it has %s", c.file, c.pipeline, listed)
}
