// Package cli is what the commands share: their flags, and the way from a
// configuration file to the pipelines in it.
package cli

import (
	"errors"
	"fmt"
	"io/fs"
	stdlog "log"
	"os"
	"slices"
	"strings"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/ops"
	"github.com/ampipe/ampipe/pkg/pipeline"
	"github.com/ampipe/ampipe/pkg/progress"
	"github.com/ampipe/ampipe/pkg/sink"
)

const exitCodes = `
Exit codes: 0 done, 1 failed, 2 bad configuration, 3 finished with failed
partitions or with differences, 130 interrupted.`

// EnvListen is the environment variable that holds the default of --listen: in a
// container it tells the process and its health check the same address.
const EnvListen = "AMPIPE_LISTEN"

// Flags are the flags that every command has.
type Flags struct {
	File   string
	Listen string
	Log    ops.LogOptions

	Destinations []sink.Destination // that the command was built with
}

// Register adds the flags to c.
func (f *Flags) Register(c *cobra.Command) {
	flags := c.PersistentFlags()
	flags.StringVarP(&f.File, "config", "c", "pipeline.yaml", "configuration `file`")
	flags.StringVar(&f.Listen, "listen", os.Getenv(EnvListen),
		"`address` for /metrics, /livez, /readyz and /healthz, e.g. :9090 (default: that of "+EnvListen+", or none)")
	f.Log = ops.LogOptions{Level: "info", Format: "auto"}
	flags.Var(&choice{&f.Log.Level, logLevels}, "log-level", "trace, debug, info, warn or error")
	flags.Var(&choice{&f.Log.Format, logFormats}, "log-format", "auto, console or json")
	completeFlags(c)
}

// Load reads the configuration and picks the named pipelines, or all.
func (f *Flags) Load(names []string) ([]*config.Pipeline, error) {
	all, err := config.Load(f.File, os.Getenv)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ops.Config(fmt.Errorf("%w%s", err, suggestFile(names)))
	}
	if err != nil {
		return nil, ops.Config(err)
	}
	if len(names) == 0 {
		return all, nil
	}
	var picked []*config.Pipeline
	for _, name := range names {
		i := slices.IndexFunc(all, func(p *config.Pipeline) bool { return p.Name == name })
		if i < 0 {
			hint := didYouMean(name, namesOf(all))
			if isFile(name) {
				hint = suggestFile([]string{name})
			}
			return nil, ops.Config(fmt.Errorf("%s has no pipeline %q; it has %s%s", f.File, name, listed(all), hint))
		}
		picked = append(picked, all[i])
	}
	return picked, nil
}

// suggestFile returns the end of a message about a configuration that is not there: the
// argument that is a file, if one is.
func suggestFile(args []string) string {
	if i := slices.IndexFunc(args, isFile); i >= 0 {
		return fmt.Sprintf("; did you mean --config %s?", args[i])
	}
	return "; name the file of the configuration with --config"
}

func isFile(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.Mode().IsRegular()
}

// One reads the configuration and picks the one pipeline of a process that can
// run only one.
func (f *Flags) One(names []string) (*config.Pipeline, error) {
	pipelines, err := f.Load(names)
	if err != nil {
		return nil, err
	}
	if len(pipelines) > 1 {
		return nil, ops.Config(fmt.Errorf("%s has several pipelines (%s): name the one to run", f.File, listed(pipelines)))
	}
	return pipelines[0], nil
}

// Options makes the screen of the process, and what all of its commands pass on.
func (f *Flags) Options(c *cobra.Command) (pipeline.Options, error) {
	screen, log, err := f.Screen()
	columns, _ := ops.Size(os.Stdout)
	return pipeline.Options{
		Destinations: f.Destinations, Logger: log, Listen: f.Listen, Out: c.OutOrStdout(), Columns: columns,
		Screen: screen, JSON: f.Log.Format == "json",
	}, err
}

// Screen makes the screen of the process, on standard error, and the logger that writes
// to it. What libraries print by themselves goes to the logger, too.
func (f *Flags) Screen() (*progress.Screen, zerolog.Logger, error) {
	if f.Log.LevelVar == nil {
		f.Log.LevelVar = &ops.LevelVar{}
	}
	terminal := ops.IsTerminal(os.Stderr) && f.Log.Format != "json" // then every line is JSON
	screen := &progress.Screen{Out: os.Stderr, Terminal: terminal, Size: func() (int, int) { return ops.Size(os.Stderr) }}
	log, err := ops.Logger(screen, terminal, f.Log)
	if err != nil {
		return nil, log, ops.Config(err)
	}
	amp.LogTo(func(serious bool, text string) {
		level := zerolog.DebugLevel
		if serious {
			level = zerolog.WarnLevel
		}
		log.WithLevel(level).Str("part", "grpc").Msg(text)
	})
	for _, d := range f.Destinations {
		if d.LogTo != nil {
			d.LogTo(func(text string) { log.Debug().Str("part", strings.ToLower(d.Kind)).Msg(text) })
		}
	}
	stdlog.SetFlags(0)
	stdlog.SetOutput(libraryLog{log})
	return screen, log, nil
}

// libraryLog is the output of the standard library's logger, which libraries use.
type libraryLog struct{ zerolog.Logger }

func (l libraryLog) Write(line []byte) (int, error) {
	l.Warn().Str("part", "library").Msg(strings.TrimSpace(string(line)))
	return len(line), nil
}

func namesOf(pipelines []*config.Pipeline) []string {
	names := make([]string, len(pipelines))
	for i, p := range pipelines {
		names[i] = p.Name
	}
	return names
}

func listed(pipelines []*config.Pipeline) string { return strings.Join(namesOf(pipelines), ", ") }

func didYouMean(name string, names []string) string {
	return config.DidYouMean(name, names, max(1, len(name)/3))
}
