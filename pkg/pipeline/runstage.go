package pipeline

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/ops"
	"github.com/ampipe/ampipe/pkg/plan"
	"github.com/ampipe/ampipe/pkg/progress"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/state"
)

// RunPlanner plans a pipeline and watches over it until every sink has
// everything, or ctx ends. Extractors and sinks run in other processes.
func RunPlanner(ctx context.Context, p *config.Pipeline, o Options) error {
	var asked *inquiry
	ask := func(ctx context.Context, s *stages) (end func()) {
		asked = s.ask(ctx)
		return asked.end
	}
	return runStage(ctx, p, rolePlanner, o, stagePlanner, startPage, ask, func(ctx context.Context, s *stages) error {
		started := time.Now()
		s.meter.Unready(stagePlanner, notAnswered)
		spec, err := s.plan(ctx, asked) // extractors and sinks that wait for it start while the sample is taken
		if err != nil {
			return err
		}
		s.meter.Unready(stagePlanner, "the pipeline is not planned yet")
		size, err := s.partitionSize(ctx, asked, spec)
		if err != nil {
			return err
		}
		planner := s.planner(asked.source, o)
		defer s.countLetters(ctx)()
		notify := planner.Notify
		planner.Notify = func(status plan.Status) {
			notify(status)
			for _, sink := range status.Sinks {
				s.meter.Stopped(sink.Name, sink.Stopped)
			}
		}
		defer s.meter.Ended(stagePlanner)
		judging, end := context.WithCancel(ctx)
		var judge sync.WaitGroup
		judge.Go(func() { s.judge(judging) })
		status, err := planner.Run(ctx, spec, size)
		end()
		judge.Wait()
		if err != nil {
			return err
		}
		o.Screen.Finish()
		s.summarizePlan(o, status, time.Since(started))
		sayFailed(o.out(), status.Partitions)
		if n := status.Failed.Len(); n > 0 {
			return ops.Incomplete(fmt.Errorf("%s could not be read: %v", counted(n, "block"), status.Failed))
		}
		return nil
	})
}

// RunExtractor runs the workers of a pipeline until ctx ends. It waits for the
// plan.
func RunExtractor(ctx context.Context, p *config.Pipeline, o Options) error {
	return runStage(ctx, p, roleExtractor, o, stageExtractor, nil, nil, func(ctx context.Context, s *stages) error {
		s.meter.Extracts()
		untrace, err := s.openTraces(ctx, "ampipe-extractor")
		if err != nil {
			return err
		}
		defer untrace()
		source, err := s.openSource(ctx)
		if err != nil {
			return err
		}
		defer func() { _ = source.Close() }() // the workers have stopped
		spec, err := s.waitSpec(ctx, stageExtractor)
		if err != nil {
			return err
		}
		if err := s.untilReached(ctx, source, spec); err != nil {
			return err
		}
		return s.extract(ctx, source, spec)
	})
}

// RunSink runs one sink of a pipeline until ctx ends. It waits for the plan.
func RunSink(ctx context.Context, p *config.Pipeline, c config.Sink, o Options) error {
	w, err := newWriter(o, c)
	if err != nil {
		return refused(err)
	}
	return runStage(ctx, p, "sink-"+c.Name, o, stageSink(c.Name), nil, nil, func(ctx context.Context, s *stages) (err error) {
		s.meter.Applies(c.Name)
		untrace, err := s.openTraces(ctx, "ampipe-sink-"+c.Name)
		if err != nil {
			return err
		}
		defer untrace()
		spec, err := s.waitSpec(ctx, stageSink(c.Name))
		if err != nil {
			return err
		}
		err = s.openWriter(ctx, c, w, spec)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, w.Close()) }()
		return s.apply(ctx, c, w, spec)
	})
}

// checkServer refuses a pipeline whose stages cannot be processes of their own.
func checkServer(p *config.Pipeline) error {
	if p.NATS.Embedded == "" {
		return nil
	}
	return ops.Config(fmt.Errorf("pipeline %q: one process per stage needs a NATS server that all can reach: "+
		"set nats.url instead of nats.embedded", p.Name))
}

// pageStarter is startPage, where there is a page. It is named only there: its buttons run
// commands, which know the embedded NATS server, and the linker leaves that out elsewhere.
type pageStarter func(
	ctx context.Context, pipelines []*config.Pipeline, role string, routes map[string]http.Handler, o Options,
) (*servedPage, error)

// runStage runs one stage in a process of its own. NATS, and what the planner makes there,
// may come up later than it. ahead begins what the stage needs and what does not depend on
// NATS, and returns a function that ends it; nil: there is nothing.
func runStage(
	ctx context.Context, p *config.Pipeline, role string, o Options, stage string, showPage pageStarter,
	ahead func(context.Context, *stages) (end func()), run func(context.Context, *stages) error,
) (err error) {
	ctx, release := ops.Interruptible(ctx)
	defer release()
	o.Observer = o.Observer.serial()
	err = checkServer(p)
	if err != nil {
		return err
	}
	o, end := o.withSettings(ctx, []*config.Pipeline{p}, func(*config.Pipeline) []string { return []string{stage} }, o.checkStageConfigs)
	defer end()
	meter := newMeter(p, notConnected, stage)
	routes, stop, err := startReporting(ctx, map[string]*progress.Meter{p.Name: meter}, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	if showPage != nil {
		page, err := showPage(ctx, []*config.Pipeline{p}, role, routes, o)
		if err != nil {
			return err
		}
		defer page.stop()
	}
	s := newStages(p, meter, o)
	if ahead != nil {
		defer ahead(ctx, s)()
	}
	conn, err := s.openStage(ctx, role)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	beat := s.startHeartbeat(role, stage)
	defer func() { beat.end(err) }()
	if err := run(ctx, s); err != nil {
		return fmt.Errorf("pipeline %q: %w", p.Name, err)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

// openStage connects to NATS and opens what the planner makes there. It waits for both, and
// for the latter on one connection.
func (s *stages) openStage(ctx context.Context, role string) (conn *natsConn, err error) {
	began := time.Now()
	err = retryNATS(ctx, s.config, s.meter, func(ctx context.Context) (err error) {
		if conn == nil {
			if conn, err = connectNATS(ctx, s.config.NATS, role, s.options.Logger); err != nil {
				return err
			}
		}
		err = s.open(ctx, conn)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, queue.ErrNoStream):
			return fault.Later(err, lookAgain(time.Since(began)))
		}
		err = errors.Join(err, conn.Close())
		conn = nil
		return err
	})
	if err != nil && conn != nil {
		err = errors.Join(err, conn.Close())
	}
	return conn, err
}

// lookAgain returns the pause before a stage looks again for what the planner makes, after it
// has waited for so long: a planner that was started with it has soon made it.
func lookAgain(waited time.Duration) time.Duration {
	return min(max(waited/4, 20*time.Millisecond), 5*time.Second)
}

const notPlanned = "the planner has not planned yet"

// waitSpec waits until the planner has planned.
func (s *stages) waitSpec(ctx context.Context, stage string) (state.Spec, error) {
	s.meter.Unready(stage, notPlanned)
	defer s.meter.Waiting("start", "")
	var spec state.Spec
	err := fault.Retry(ctx, fault.Backoff{GiveUp: fault.Forever}, func(ctx context.Context) (err error) {
		spec, _, err = s.state.LoadSpec(ctx)
		if !errors.Is(err, queue.ErrNotFound) {
			return err
		}
		s.meter.Waiting("start", notPlanned) // NATS answers: what was reported of it before is over
		spec, _, err = s.state.WaitSpec(ctx)
		return err
	}, s.waiting("start"))
	if err != nil {
		return spec, fmt.Errorf("wait for the plan: %w", err)
	}
	return spec, nil
}
