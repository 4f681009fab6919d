package pipeline

import (
	"context"
	"fmt"
	"sync"

	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/ops"
)

// Reload is a configuration for a run that has been started: see [Options.Reload].
type Reload struct {
	Pipelines []*config.Pipeline

	// Done is called with why the configuration is refused as a whole, so that the settings
	// stay as they are, or with nil once they are changed; nil: nobody is told.
	Done func(error)
}

// withSettings returns options that hold the settings of pipelines, and takes what comes by
// [Options.Reload] until stop is called. here returns the stages of a pipeline in this
// process, and check why a configuration is refused.
func (o Options) withSettings(
	ctx context.Context, pipelines []*config.Pipeline, here func(*config.Pipeline) []string, check func([]*config.Pipeline) error,
) (_ Options, stop func()) {
	o.settings = map[string]*settings{}
	for _, p := range pipelines {
		o.settings[p.Name] = newSettings(p)
	}
	if o.Reload == nil {
		return o, func() {}
	}
	ctx, end := context.WithCancel(ctx)
	var taking sync.WaitGroup
	taking.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case r := <-o.Reload:
				err := check(r.Pipelines)
				if err == nil {
					o.take(pipelines, r.Pipelines, here)
				}
				if r.Done != nil {
					r.Done(err)
				}
			}
		}
	})
	return o, func() {
		end()
		taking.Wait()
	}
}

// take takes the changes of the pipelines that run.
func (o Options) take(run, changed []*config.Pipeline, here func(*config.Pipeline) []string) {
	known := map[string]*config.Pipeline{}
	for _, p := range run {
		known[p.Name] = p
	}
	for _, p := range changed {
		log := o.Logger.With().Str("pipeline", p.Name).Logger()
		was := known[p.Name]
		delete(known, p.Name)
		if was == nil {
			log.Warn().Msg("the pipeline is new: it runs once this process is started again")
			continue
		}
		o.settings[p.Name].take(p, here(was), log)
	}
	for _, p := range run {
		if known[p.Name] != nil {
			o.Logger.Warn().Str("pipeline", p.Name).Msg("the pipeline is not in the configuration any more: " +
				"it runs until this process is started again, and ampipe drop removes it from NATS")
		}
	}
}

// settingsOf returns the settings of a pipeline.
func (o Options) settingsOf(p *config.Pipeline) *settings {
	if s := o.settings[p.Name]; s != nil {
		return s
	}
	return newSettings(p)
}

// checkConfigs returns why pipelines cannot run in one process, as far as the configuration
// alone says it.
func (o Options) checkConfigs(pipelines []*config.Pipeline) error {
	err := checkFiles(pipelines...)
	if err != nil {
		return refused(err)
	}
	for _, p := range pipelines {
		err := o.checkSinks(p)
		if err != nil {
			return refused(fmt.Errorf("pipeline %q: %w", p.Name, err))
		}
	}
	return nil
}

// checkStageConfigs does so for a stage that is a process of its own.
func (o Options) checkStageConfigs(pipelines []*config.Pipeline) error {
	for _, p := range pipelines {
		err := checkServer(p)
		if err == nil {
			err = o.checkSinks(p)
		}
		if err != nil {
			return ops.Config(fmt.Errorf("pipeline %q: %w", p.Name, err))
		}
	}
	return nil
}
