package cli

import (
	"context"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/ops"
	"github.com/ampipe/ampipe/pkg/pipeline"
)

// Serve calls run, which works until it is stopped, with the pipelines that load reads. At
// each SIGHUP they are read again: run takes what may change meanwhile.
func (f *Flags) Serve(
	c *cobra.Command, load func() ([]*config.Pipeline, error),
	run func(context.Context, []*config.Pipeline, pipeline.Options) error,
) error {
	hangups := make(chan os.Signal, 1) // one more while one is handled
	ends := onTerminal()
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	pipelines, err := load()
	if err != nil {
		return err
	}
	options, err := f.Options(c)
	if err != nil {
		return err
	}
	r := &reloader{
		load: load, level: f.Log.LevelVar, named: pipelines[0].LogLevel, fixed: c.Flags().Changed("log-level"),
		log: options.Logger, reloads: make(chan pipeline.Reload),
	}
	if !r.fixed {
		err := r.level.Set(r.named)
		if err != nil {
			return ops.Config(err)
		}
	}
	options.Reload = r.reloads
	ctx, stop := context.WithCancel(c.Context())
	var reloading sync.WaitGroup
	defer func() {
		stop()
		reloading.Wait()
	}()
	reloading.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-hangups:
				if !ends() {
					r.reload(ctx)
					continue
				}
				_ = syscall.Kill(os.Getpid(), syscall.SIGINT) // to itself, which cannot fail
			}
		}
	})
	return run(ctx, pipelines, options)
}

// onTerminal returns a function that reports whether a SIGHUP says that the terminal is gone
// in which the process was started, so that it is to end as by an interrupt. One that was
// started to outlive its terminal (nohup) does not end.
func onTerminal() (gone func() bool) {
	had := ops.IsTerminal(os.Stderr) && !signal.Ignored(syscall.SIGHUP)
	return func() bool { return had && !ops.IsTerminal(os.Stderr) }
}

// reloader reads the configuration again. Only one goroutine uses it.
type reloader struct {
	load    func() ([]*config.Pipeline, error)
	level   *ops.LevelVar
	named   string // log_level as it was read last
	fixed   bool   // --log-level decides instead
	log     zerolog.Logger
	reloads chan pipeline.Reload
}

// reload reads the configuration and passes it on. One with a fault changes nothing.
func (r *reloader) reload(ctx context.Context) {
	pipelines, err := r.load()
	if err != nil {
		r.refuse(err)
		return
	}
	done := make(chan error, 1)
	select {
	case <-ctx.Done():
		return
	case r.reloads <- pipeline.Reload{Pipelines: pipelines, Done: func(err error) { done <- err }}:
	}
	select {
	case <-ctx.Done():
	case err := <-done:
		if err != nil {
			r.refuse(err)
			return
		}
		r.takeLevel(pipelines[0].LogLevel)
	}
}

// refuse logs each fault of a configuration.
func (r *reloader) refuse(err error) {
	for _, one := range ops.Split(err) {
		r.log.Error().Err(one).Msg("the configuration was read again and is refused; the settings stay as they are")
	}
}

// takeLevel takes the level of the log that the configuration names.
func (r *reloader) takeLevel(name string) {
	if name == r.named {
		return
	}
	was := r.named
	r.named = name
	say := func(text string) { r.log.Info().Str("key", "log_level").Str("from", was).Str("to", name).Msg(text) }
	if r.fixed {
		say("the changed key is not used: --log-level of the command line decides")
		return
	}
	levels := strings.Fields(logLevels)
	quieter := slices.Index(levels, name) > slices.Index(levels, was)
	const taken = "the changed key is taken"
	if quieter { // it is said while it can be heard
		say(taken)
	}
	err := r.level.Set(name)
	if err != nil {
		r.refuse(err)
		return
	}
	if !quieter {
		say(taken)
	}
}
