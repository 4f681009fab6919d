package pipeline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/ops"
	"github.com/ampipe/ampipe/pkg/page"
)

// do does what a button of the page asks for: what the command of that name does, with the
// user that this process has in NATS. It returns what the command prints.
func (s *servedPage) do(ctx context.Context, pipelines []*config.Pipeline, a page.Action, o Options) (string, error) {
	at := slices.IndexFunc(pipelines, func(p *config.Pipeline) bool { return p.Name == a.Pipeline })
	if at < 0 {
		return "", fmt.Errorf("this process does not run pipeline %q", a.Pipeline)
	}
	p := pipelines[at]
	if p.NATS.Embedded != "" && !s.nats.Load() {
		return "", errServerStarts
	}
	var out bytes.Buffer
	o = Options{Destinations: o.Destinations, Logger: o.Logger, Out: &out}
	err := act(ctx, p, a, o)
	said := strings.TrimSpace(out.String())
	line := o.Logger.Info()
	if err != nil {
		line = o.Logger.Warn().Err(err)
	}
	line.Str("pipeline", p.Name).Str("button", string(a.Verb)).Str("sink", a.Sink).Str("blocks", a.Blocks).Bool("dry_run", a.DryRun).
		Str("said", said).Msg("a button of the page was pressed")
	return said, printed(err)
}

// act calls the command.
func act(ctx context.Context, p *config.Pipeline, a page.Action, o Options) error {
	if a.Verb != page.Retry && !slices.Contains(sinkNames(p), a.Sink) {
		return ops.Config(fmt.Errorf("pipeline %q has no sink %q; it has %s", p.Name, a.Sink, strings.Join(sinkNames(p), ", ")))
	}
	switch a.Verb {
	case page.Pause:
		return Pause(ctx, p, o, a.Sink)
	case page.Resume:
		return Resume(ctx, p, o, a.Sink)
	}
	ranges := strings.Fields(a.Blocks)
	if len(ranges) == 0 {
		return ops.Config(errors.New("name the blocks to load again, such as 16M:17M, or all"))
	}
	if slices.Equal(ranges, []string{"all"}) {
		ranges = nil
	}
	if a.Verb == page.Retry {
		return Retry(ctx, p, o, ranges)
	}
	return Replay(ctx, p, o, ReplayOptions{Sink: a.Sink, Ranges: ranges, DryRun: a.DryRun, asPlanner: true})
}

// printed returns the errors that a command prints, each as a line.
func printed(err error) error {
	var lines []string
	for _, one := range ops.Split(err) {
		if !errors.Is(one, ops.ErrSaid) {
			lines = append(lines, strings.Join(strings.Fields(one.Error()), " "))
		}
	}
	if len(lines) == 0 {
		return nil
	}
	return errors.New(strings.Join(lines, "\n"))
}
