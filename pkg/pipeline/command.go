package pipeline

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/ops"
	"github.com/ampipe/ampipe/pkg/sink"
)

// SinkCommand is the whole of a command for a destination that is not part of ampipe: it
// runs one sink of one pipeline, checks a pipeline as far as the destination goes, or
// verifies it, until ctx ends. It reads the command line and returns the exit code. Signals
// are the program's, which ends ctx, and passes SIGHUP on by reload: for each the
// configuration is read again, and what may change while a sink runs is taken. With a nil
// reload it is read once.
func SinkCommand(ctx context.Context, reload <-chan os.Signal, name string, d sink.Destination) int {
	c := newSinkCommand(reload, os.Stdout, os.Stderr)
	flags := c.flags(name, d.Kind)
	switch err := c.parse(flags, os.Args[1:]); {
	case errors.Is(err, flag.ErrHelp):
		return ops.ExitDone
	case err != nil:
		return ops.ExitConfig // it has been printed
	}
	report := ops.Reporter{Out: os.Stderr, JSON: c.log.Format == "json", Full: c.log.Level == "debug" || c.log.Level == "trace"}
	return ops.Main(ctx, report, func(ctx context.Context) error { return c.run(ctx, d) })
}

// sinkCommand is a command line of SinkCommand.
type sinkCommand struct {
	file, pipeline, sink, listen string
	verb                         string
	log                          ops.LogOptions
	fixedLevel                   bool // log is of the command line
	verify                       Options
	reload                       <-chan os.Signal
	out, errs                    io.Writer
}

func newSinkCommand(reload <-chan os.Signal, out, errs io.Writer) *sinkCommand {
	return &sinkCommand{reload: reload, out: out, errs: errs, log: ops.LogOptions{LevelVar: &ops.LevelVar{}}}
}

func (c *sinkCommand) flags(name, kind string) *flag.FlagSet {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.SetOutput(c.errs)
	flags.Usage = func() {
		say(flags.Output(), "usage: %s [run | check | doctor | verify] [flags]\n\n"+
			"run     applies the pipeline's log to its %s until it is stopped (default)\n"+
			"check   looks at everything that run needs, and changes nothing\n"+
			"doctor  looks for what costs speed or safety, and changes nothing\n"+
			"verify  compares what is loaded with the source, block by block\n", name, kind)
		flags.PrintDefaults()
	}
	flags.StringVar(&c.file, "config", "pipeline.yaml", "configuration `file`")
	flags.StringVar(&c.pipeline, "pipeline", "", "`name` of the pipeline, if the file has several")
	flags.StringVar(&c.sink, "sink", "", "`name` of the sink to run, if the pipeline has several")
	flags.StringVar(&c.listen, "listen", os.Getenv("AMPIPE_LISTEN"),
		"`address` for /metrics, /livez, /readyz and /healthz (default: that of AMPIPE_LISTEN, or none)")
	flags.StringVar(&c.log.Level, "log-level", "info", "trace, debug, info, warn or error, instead of log_level of the file")
	flags.StringVar(&c.log.Format, "log-format", "auto", "auto, console or json")
	flags.BoolVar(&c.verify.JSON, "json", false, "doctor, verify: print JSON (docs/doctor.md, docs/verify.md)")
	flags.BoolVar(&c.verify.Deep, "deep", false, "verify: also search for rows that are of no block")
	flags.BoolVar(&c.verify.Repair, "repair", false, "verify: load exactly the blocks again that differ")
	flags.BoolVar(&c.verify.Wait, "wait", false, "verify --repair: wait until no reorg may replace what differs, and repair all of it")
	flags.BoolVar(&c.verify.DryRun, "dry-run", false, "verify --repair: only say what would be done")
	return flags
}

// parse reads the command line. Flags may stand before the verb and behind it. What is wrong
// is printed.
func (c *sinkCommand) parse(flags *flag.FlagSet, args []string) error {
	err := flags.Parse(args)
	if err == nil && flags.NArg() > 0 {
		c.verb = flags.Arg(0)
		err = flags.Parse(flags.Args()[1:])
	}
	if err != nil {
		return err
	}
	verbs := []string{"", "run", "check", "doctor", "verify"}
	switch more := flags.Args(); {
	case !slices.Contains(verbs, c.verb):
		err = fmt.Errorf("%q is not one of run, check, doctor, verify", c.verb)
	case len(more) > 0:
		err = fmt.Errorf("%s takes no %q", c.verb, more[0])
	case (c.verify.DryRun || c.verify.Wait) && !c.verify.Repair:
		err = ErrRepairAlone
	}
	if err != nil {
		say(flags.Output(), "%v", err)
	}
	flags.Visit(func(f *flag.Flag) { c.fixedLevel = c.fixedLevel || f.Name == "log-level" })
	return err
}

// ErrRepairAlone refuses a command line of verify.
var ErrRepairAlone = errors.New("--dry-run and --wait go with --repair")

func (c *sinkCommand) run(ctx context.Context, d sink.Destination) error {
	terminal := ops.IsTerminal(os.Stderr)
	log, err := ops.Logger(c.errs, terminal, c.log)
	if err != nil {
		return ops.Config(err)
	}
	if d.LogTo != nil {
		d.LogTo(func(text string) { log.Debug().Str("part", d.Kind).Msg(text) })
	}
	o := c.verify
	o.Destinations, o.Logger, o.Listen, o.Out = []sink.Destination{d}, log, c.listen, c.out
	o.Columns, _ = ops.Size(os.Stdout)
	r := Reloader{Asked: c.reload, Level: c.log.LevelVar, FixedLevel: c.fixedLevel, Load: func() ([]*config.Pipeline, error) {
		p, err := c.load()
		if err != nil {
			return nil, ops.Config(err)
		}
		return []*config.Pipeline{p}, nil
	}}
	return r.Run(ctx, o, func(ctx context.Context, all []*config.Pipeline, o Options) error { return c.do(ctx, all[0], d, o) })
}

// do carries out the verb.
func (c *sinkCommand) do(ctx context.Context, p *config.Pipeline, d sink.Destination, o Options) error {
	switch c.verb {
	case "check":
		return refused(ops.Findings(ops.Failures(checkServer(p), Check(ctx, p, o))))
	case "doctor":
		report, err := Diagnose(ctx, []*config.Pipeline{p}, o)
		if err != nil {
			return err
		}
		if err := report.Print(o); err != nil {
			return err
		}
		return report.Err()
	case "verify":
		return Verify(ctx, p, o)
	}
	s, err := d.Pick(p, c.sink)
	if err != nil {
		return ops.Config(err)
	}
	return RunSink(ctx, p, s, o)
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
