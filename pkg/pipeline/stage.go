package pipeline

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/extract"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/health"
	"github.com/ampipe/ampipe/pkg/plan"
	"github.com/ampipe/ampipe/pkg/progress"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/apply"
	"github.com/ampipe/ampipe/pkg/sqlcheck"
	"github.com/ampipe/ampipe/pkg/state"
	"github.com/ampipe/ampipe/pkg/trace"
)

// stages are the stages of one pipeline, in this process or alone in it.
type stages struct {
	config *config.Pipeline
	conn   *natsConn
	log    *queue.Log
	tasks  *queue.Tasks
	state  *queue.State
	meter  *progress.Meter
	idle   *idleClock
	tracer *trace.Tracer // nil: there are no traces

	worker   string // names this process among those of a sink
	options  Options
	settings *settings
	logger   zerolog.Logger
}

// newStages returns the stages of a pipeline. What needs NATS comes after [stages.open].
func newStages(p *config.Pipeline, meter *progress.Meter, o Options) *stages {
	return &stages{
		config: p, meter: meter, idle: newIdleClock(),
		worker:  rand.Text(),
		options: o, settings: o.settingsOf(p),
		logger: o.Logger.With().Str("pipeline", p.Name).Logger(),
	}
}

// open opens the pipeline's log, tasks and state in NATS.
func (s *stages) open(ctx context.Context, conn *natsConn) error {
	p := s.config
	if conn.createsStreams {
		if _, err := conn.CheckRoom(ctx, p.Name, natsNeeds(p)); err != nil {
			return err
		}
		for _, name := range puttingAside(p) { // before the log, which takes what is left
			if _, err := conn.DeadLetters(ctx, p.Name, name, p.Log.DeadLetterBytes); err != nil {
				return err
			}
		}
	}
	log, err := conn.Log(ctx, p.Name, queue.LogConfig{MaxBytes: p.Log.MaxBytes, MaxBlock: p.Log.MaxBlockBytes})
	if err != nil {
		return fmt.Errorf("open the log: %w", err)
	}
	tasks, err := conn.Tasks(ctx, p.Name)
	if err != nil {
		return fmt.Errorf("open the task queue: %w", err)
	}
	kv, err := conn.State(ctx, p.Name)
	if err != nil {
		return fmt.Errorf("open the state: %w", err)
	}
	conn.state.addMeter(s.meter)
	s.conn, s.log, s.tasks, s.state = conn, log, tasks, kv
	return nil
}

// askSinks is how long a new plan waits for every sink to report what it holds. A sink
// reports at least every 15 s. Sinks that start later skip what they hold, after it was
// read once more.
const askSinks = 20 * time.Second

func (s *stages) planner(source plan.Source, o Options) *plan.Planner {
	return &plan.Planner{
		Retry: o.RetryFailed, AskSinks: askSinks,
		Source: source, State: s.state, Tasks: s.tasks, Log: s.log,
		Config: s.config, Notify: planObserver(s.meter), Logger: s.logger,
		OnWait: s.reconciled, BeforeCut: s.countReaders, Cut: s.settings.cut,
	}
}

// reconciled records that the planner has reconciled the pipeline, or why it could not.
func (s *stages) reconciled(reason error) {
	s.meter.Heartbeat(stagePlanner)
	s.meter.WaitingFor(health.PlannerFails, stagePlanner, text(reason))
	if reason == nil {
		s.meter.Ready(stagePlanner, health.NATSAway, health.PlannerFails)
	}
}

// plan writes the plan of a query that was checked.
func (s *stages) plan(ctx context.Context, asked *inquiry) (spec state.Spec, err error) {
	checked, err := asked.checked.wait()
	if err != nil {
		return spec, err
	}
	for _, warning := range checked.Warnings {
		s.logger.Warn().Msg(warning)
	}
	// Planning asks the source for the blocks that the live lane begins behind.
	err = fault.Retry(ctx, backoff(s.config), func(ctx context.Context) (err error) {
		spec, err = (&plan.Planner{Source: asked.source, State: s.state, Config: s.config, Logger: s.logger}).Plan(ctx, checked)
		return err
	}, s.waiting("plan"))
	s.meter.Waiting("plan", "")
	if err == nil && spec.Follows() {
		s.logger.Info().Stringer("history", spec.History).Uint64("live_from", uint64(spec.Live.Start)).Msg("planned")
	}
	return spec, err
}

// partitionSize returns how many blocks a partition of a plan has, by the sample.
func (s *stages) partitionSize(ctx context.Context, asked *inquiry, spec state.Spec) (uint64, error) {
	sample, err := asked.sample.wait()
	if err != nil {
		return 0, err
	}
	if sample.Failed != nil {
		s.logger.Warn().Err(sample.Failed).Msg("some blocks cannot be read")
	}
	s.settings.planned(spec.History.Len(), sample.RowsPerBlock())
	return s.settings.partitionSize(), nil
}

// countReaders notes how many workers the extractors have together that run now, before blocks
// are cut into partitions for them. There are none in other processes if the server is embedded.
func (s *stages) countReaders(ctx context.Context) error {
	if s.config.NATS.Embedded != "" {
		return nil
	}
	processes, err := s.state.Processes(ctx)
	if err != nil {
		return fmt.Errorf("count the extractors: %w", err)
	}
	ahead, err := s.conn.ClockAhead(ctx)
	if err != nil {
		return err
	}
	workers := 0
	for _, p := range processes {
		if p.Value.Runs(time.Now().Add(-ahead)) {
			workers += p.Value.Workers
		}
	}
	if s.settings.counted(workers) {
		s.logger.Info().Int("workers", workers).Uint64("partition_blocks", s.settings.partitionSize()).Msg("partitions")
	}
	return nil
}

// extract runs the workers until ctx ends.
func (s *stages) extract(ctx context.Context, source *amp.Client, spec state.Spec) error {
	schema, column, err := tableOf(spec)
	if err != nil {
		return err
	}
	query, err := sqlcheck.Parse(spec.Query)
	if err != nil {
		return fmt.Errorf("read the query of the plan: %w", err)
	}
	s.meter.Extracts()
	s.meter.Ready(stageExtractor, health.NATSAway, health.AmpAway)
	x := &extract.Extractor{
		Source: source, Tasks: s.tasks, Log: s.log, State: s.state,
		Spec: spec, Query: query, Schema: schema, Column: column,
		Resize: s.settings.workers, MostBlocks: s.settings.mostBlocks,
		Backoff:    fault.Backoff{GiveUp: s.config.Extract.GiveUpAfter, Attempts: s.config.Extract.Attempts},
		Codec:      entry.Codec(s.config.Log.Compression),
		EntryBytes: s.config.Log.EntryBytes,
		EntryLimit: s.conn.EntryLimit(),
		Observer:   extractObserver{pipeline: s.config.Name, meter: s.meter, idle: s.idle, result: s.options.Observer.Partition},
		Tracer:     s.tracer,
		Logger:     s.logger,
	}
	return x.Run(ctx)
}

// table describes the pipeline's rows to a sink.
func (s *stages) table(name string, spec state.Spec) (sink.Table, error) {
	schema, column, err := tableOf(spec)
	return sink.Table{
		Pipeline: s.config.Name, Sink: name, Schema: schema, BlockColumn: column,
		Epoch: spec.Epoch, Network: spec.Network,
	}, err
}

// openWriter opens a sink's destination. It waits, visibly, for one that is down. If it
// fails, for whatever reason, it has closed the writer.
func (s *stages) openWriter(ctx context.Context, c config.Sink, w sink.Writer, spec state.Spec) error {
	err := s.openTable(ctx, c, w, spec)
	if err != nil {
		return fmt.Errorf("sink %q: %w", c.Name, errors.Join(err, w.Close()))
	}
	return nil
}

// openTable opens a sink's destination for the table of a plan.
func (s *stages) openTable(ctx context.Context, c config.Sink, w sink.Writer, spec state.Spec) error {
	table, err := s.table(c.Name, spec)
	if err != nil {
		return err
	}
	s.meter.Unready(stageSink(c.Name), "the destination is not open yet")
	part := stageSink(c.Name)
	err = fault.Retry(ctx, backoff(s.config), func(ctx context.Context) error {
		// It is the reason while nothing is known that is nearer to the cause: what a
		// call waits for that takes long, not what the one before has met.
		stop := fault.Watch(fault.Long, func(since time.Duration) {
			s.meter.Waiting(part, fmt.Sprintf("opening the destination has taken %v so far", since.Round(time.Second)))
		})
		defer stop()
		ctx, returned := sink.WithWaits(ctx, func(reason error) {
			stop() // this reason is nearer to the cause
			s.meter.WaitingFor(kindOfSink(reason), part, text(reason))
		})
		defer returned()
		return w.Open(ctx, table)
	}, s.waiting(part))
	if err != nil {
		return err
	}
	s.meter.Waiting(part, "")
	for _, warning := range w.Warnings(table) {
		s.logger.Warn().Str("sink", c.Name).Msg(warning)
	}
	return nil
}

// apply runs a sink until ctx ends. It stands still while a person has paused it.
func (s *stages) apply(ctx context.Context, c config.Sink, w sink.Writer, spec state.Spec) error {
	s.meter.Applies(c.Name)
	table, err := s.table(c.Name, spec)
	if err != nil {
		return err
	}
	history := newHistoryMonitor(s, c.Name)
	watching, end := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() { history.run(watching) })
	watch.Go(func() { history.watchPlan(watching) })
	defer func() {
		end()
		watch.Wait()
	}()
	logger := s.logger.With().Str("sink", c.Name).Logger()
	observer := sinkObserver{pipeline: s.config.Name, name: c.Name, meter: s.meter, live: s.options.Observer.Live, logger: logger}
	loop := apply.Loop{
		Writer: w, Table: table, Reports: history, Asked: history.ask,
		Resize:    s.settings.writers[c.Name],
		StageTime: c.CommitDelay(),
		Backoff:   backoff(s.config),
		Ended:     (&historyEnd{kv: s.state, log: s.log, sink: c.Name}).reached,
		Observer:  observer,
		Tracer:    s.tracer,
		Logger:    logger,
	}
	building := newIndexing(ctx, history, c, w)
	return s.unlessPaused(ctx, c.Name,
		func(ctx context.Context) error {
			if building != nil {
				defer beside(ctx, building.run)()
			}
			return s.applyLog(ctx, c, loop, observer, history.rejoiner)
		},
		func(ctx context.Context, p state.Pause) { s.rest(ctx, c.Name, &loop, p) })
}

// applyLog reads the log for a sink and has loop apply it until ctx ends. Beside it
// requests to load blocks again are carried out.
func (s *stages) applyLog(ctx context.Context, c config.Sink, loop apply.Loop, observer sinkObserver, rejoiner *apply.Rejoiner) error {
	log := &sinkLog{stages: s, sink: c}
	defer log.close()
	part := stageSink(c.Name)
	err := fault.Retry(ctx, fault.Backoff{GiveUp: fault.Forever}, func(ctx context.Context) error {
		err := log.open(ctx, loop.Writer)
		if err != nil {
			return err
		}
		err = rejoiner.Renew(ctx)
		if err != nil {
			return fmt.Errorf("read the live lane: %w", err)
		}
		return nil
	}, s.waiting(part))
	if ctx.Err() != nil {
		return nil // stopped before it began
	}
	if err != nil {
		return err
	}
	s.meter.Waiting(part, "")
	loop.Source, loop.Live, loop.DeadLetters = log.history, log.live, log.letters
	loop.Rejoin = rejoiner.Requests()

	replayer := &apply.Replayer{
		Loop: loop, Requests: s.state, Log: s.log, Worker: s.worker, Letters: s.conn.PastLetters(s.config.Name, c.Name),
	}
	replayer.Loop.Observer = replayObserver{observer}
	defer beside(ctx, replayer.Run)()
	return loop.Run(ctx)
}

// beside runs f until the function that it returns is called, which waits for its end.
func beside(ctx context.Context, f func(context.Context)) (stop func()) {
	ctx, end := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { f(ctx) })
	return func() {
		end()
		running.Wait()
	}
}
