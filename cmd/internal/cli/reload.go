package cli

import (
	"context"
	"os"
	"os/signal"
	"sync"
	"syscall"

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
	options, err := f.Options(c)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(c.Context())
	asked := make(chan os.Signal)
	var passing sync.WaitGroup
	defer func() {
		stop()
		passing.Wait()
	}()
	passing.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case hangup := <-hangups:
				if ends() {
					_ = syscall.Kill(os.Getpid(), syscall.SIGINT) // to itself, which cannot fail
					continue
				}
				select {
				case <-ctx.Done():
				case asked <- hangup:
				}
			}
		}
	})
	r := pipeline.Reloader{Load: load, Asked: asked, Level: f.Log.LevelVar, FixedLevel: c.Flags().Changed("log-level")}
	return r.Run(ctx, options, run)
}

// onTerminal returns a function that reports whether a SIGHUP says that the terminal is gone
// in which the process was started, so that it is to end as by an interrupt. One that was
// started to outlive its terminal (nohup) does not end.
func onTerminal() (gone func() bool) {
	had := ops.IsTerminal(os.Stderr) && !signal.Ignored(syscall.SIGHUP)
	return func() bool { return had && !ops.IsTerminal(os.Stderr) }
}
