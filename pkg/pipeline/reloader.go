package pipeline

import (
	"context"
	"os"
	"sync"

	"github.com/rs/zerolog"

	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/ops"
)

// Reloader reads the configuration of a command, and again when it has changed.
type Reloader struct {
	Load       func() ([]*config.Pipeline, error)
	Asked      <-chan os.Signal // the configuration is read again for each; nil: never
	Level      *ops.LevelVar    // the level of the command's log, which log_level sets
	FixedLevel bool             // the command line has set it instead
}

// Run calls run with the pipelines and with options that pass on what is read again. The
// options that it is given are those of the command, with its log.
func (r Reloader) Run(ctx context.Context, o Options, run func(context.Context, []*config.Pipeline, Options) error) error {
	pipelines, err := r.Load()
	if err != nil {
		return err
	}
	named := pipelines[0].LogLevel // as it was read last
	if !r.FixedLevel {
		err := r.Level.Set(named)
		if err != nil {
			return ops.Config(err)
		}
	}
	reloads := make(chan Reload)
	o.Reload = reloads
	ctx, stop := context.WithCancel(ctx)
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
			case <-r.Asked:
				named = r.reload(ctx, o.Logger, reloads, named)
			}
		}
	})
	return run(ctx, pipelines, o)
}

// reload reads the configuration and passes it on. One with a fault changes nothing. It
// returns the level of the log that the configuration names now; before is the one that it
// has named so far.
func (r Reloader) reload(ctx context.Context, log zerolog.Logger, to chan<- Reload, before string) (named string) {
	pipelines, err := r.Load()
	if err != nil {
		refuseReload(log, err)
		return before
	}
	done := make(chan error, 1)
	select {
	case <-ctx.Done():
		return before
	case to <- Reload{Pipelines: pipelines, Done: func(err error) { done <- err }}:
	}
	select {
	case <-ctx.Done():
		return before
	case err = <-done:
	}
	if err != nil {
		refuseReload(log, err)
		return before
	}
	r.takeLevel(log, before, pipelines[0].LogLevel)
	return pipelines[0].LogLevel
}

// refuseReload logs each fault of a configuration.
func refuseReload(log zerolog.Logger, err error) {
	for _, one := range ops.Split(err) {
		log.Error().Err(one).Msg("the configuration was read again and is refused; the settings stay as they are")
	}
}

// takeLevel takes the level of the log that the configuration names.
func (r Reloader) takeLevel(log zerolog.Logger, was, named string) {
	if named == was {
		return
	}
	say := func(text string) { log.Info().Str("key", "log_level").Str("from", was).Str("to", named).Msg(text) }
	if r.FixedLevel {
		say("the changed key is not used: --log-level of the command line decides")
		return
	}
	before, _ := zerolog.ParseLevel(was) // the configuration has been checked
	after, _ := zerolog.ParseLevel(named)
	const taken = "the changed key is taken"
	if after > before { // it is said while it can be heard
		say(taken)
	}
	err := r.Level.Set(named)
	if err != nil {
		refuseReload(log, err)
		return
	}
	if after < before {
		say(taken)
	}
}
