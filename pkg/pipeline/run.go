package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/ops"
	"github.com/ampipe/ampipe/pkg/plan"
	"github.com/ampipe/ampipe/pkg/progress"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/state"
	"github.com/ampipe/ampipe/pkg/trace"
)

// Options hold what a process adds to the configuration.
type Options struct {
	Destinations []sink.Destination // that sinks may be of
	Logger       zerolog.Logger
	Out          io.Writer        // for results; nil: nowhere
	Screen       *progress.Screen // for progress; nil: none
	Listen       string           // address of metrics and health; empty: none
	Observer     Observer         // told what a run does

	// Tracer makes the spans of entries, whatever the configuration says of traces; nil: that
	// decides. Its sampler decides which entries are traced. It is the caller's to shut down.
	Tracer trace.Provider

	Page bool // serve the page, unless the configuration turns it off

	Results bool // the summary has every partition
	JSON    bool // and is of JSON, as far as it is about partitions
	Failed  bool // [Results]: only of partitions that have failed

	RetryFailed bool // load partitions again that failed in an earlier run
	Deep        bool // Verify: also search for rows that are of no block
	Repair      bool // Verify: have blocks that differ loaded again
	DryRun      bool // with Repair: only say what would be done
	Wait        bool // with Repair: wait for blocks that a reorg may still replace, and repair them, too
	Several     bool // the command is about several pipelines: what it prints names each
	Columns     int  // of the terminal that Out is; 0: it is none, and lines may be of any length

	// Reload has configurations that were read again: a run takes of them what may change
	// while it runs, and logs what does not; nil: there are none.
	Reload   <-chan Reload
	settings map[string]*settings // of a run, by pipeline

	// Monitor is the URL of the monitoring of the NATS server, for Diagnose; empty: port 8222
	// of the host that it connects to.
	Monitor string
}

func (o Options) out() io.Writer {
	if o.Out == nil {
		return io.Discard
	}
	return o.Out
}

// sinkOf returns how a line that is printed names a sink.
func (o Options) sinkOf(pipeline, sink string) string {
	if o.Several {
		return pipeline + ": " + sink
	}
	return sink
}

// errDone ends the stages of a pipeline because everything is loaded.
var errDone = errors.New("everything is loaded")

// errNoSink ends the stages of a pipeline whose sinks have all stopped.
var errNoSink = errors.New("no sink is running")

// Run runs all stages of the pipelines in this process until each of them is
// complete, or ctx ends. Everything is checked before anything is started, in
// every pipeline. If a pipeline fails the others continue; the errors of all are
// joined. A pipeline that ends with failed partitions is [ops.Incomplete]. When ctx has ended
// the error is [ops.ErrInterrupted] and the cause of ctx: what was written is kept, and
// another Run resumes there.
func Run(ctx context.Context, pipelines []*config.Pipeline, o Options) (err error) {
	ctx, release := ops.Interruptible(ctx)
	defer release()
	o.Observer = o.Observer.serial()
	meters := map[string]*progress.Meter{}
	for _, p := range pipelines {
		meters[p.Name] = newMeter(p, "it connects after the pipelines before it", allStages(o.sinksHere(p))...)
	}
	routes, stop, err := startReporting(ctx, meters, o)
	if err != nil {
		return err
	}
	defer func() { err = ops.Failures(err, stop()) }()
	page, err := startPage(ctx, pipelines, roleRun, routes, o)
	if err != nil {
		return err
	}
	defer page.stop()
	if err := o.checkConfigs(pipelines); err != nil {
		return err
	}
	o, end := o.withSettings(ctx, pipelines, func(p *config.Pipeline) []string { return allStages(o.sinksHere(p)) }, o.checkConfigs)
	defer end()
	var conn *natsConn // the pipelines of a file share one NATS
	defer func() {
		if conn != nil {
			err = errors.Join(err, conn.Close())
		}
	}()
	runs := make([]*run, 0, len(pipelines))
	defer func() {
		for _, r := range runs {
			r.beat.end(ops.Failures(err, ops.ErrInterrupted)) // unless it has ended before
			r.close()
		}
	}()
	for _, p := range pipelines {
		runs = append(runs, newRun(ctx, p, meters[p.Name], o))
	}
	for _, r := range runs {
		setUnready(r.meter, r.sinks, notConnected)
		if conn == nil {
			err := retryNATS(ctx, r.config, r.meter, func(ctx context.Context) (err error) {
				conn, err = openNATS(ctx, r.config.NATS, roleRun, o.Logger)
				return err
			})
			if err != nil {
				return refused(err)
			}
			page.connected()
		}
		err := r.prepare(ctx, conn)
		if err != nil {
			r.beat.end(err)
			return refused(fmt.Errorf("pipeline %q: %w", r.config.Name, err))
		}
	}
	var wait sync.WaitGroup
	errs := make([]error, len(runs))
	for i, r := range runs {
		wait.Go(func() {
			err := r.run(ctx, o)
			r.beat.end(err)
			if err == nil {
				setUnready(r.meter, r.sinks, "") // it has everything, and others may still run
				return
			}
			errs[i] = fmt.Errorf("pipeline %q: %w", r.config.Name, err)
			if code := ops.ExitCode(err); len(runs) > 1 && code != ops.ExitInterrupted && code != ops.ExitIncomplete {
				r.meter.Failed(err.Error())
				r.logger.Error().Err(err).Msg("the pipeline has failed; the others continue")
			}
		})
	}
	wait.Wait()
	return ops.Failures(errs...)
}

// refused sets exit code 2 on an error that the user has to mend before anything can
// start. A process manager does not start the process again then, so that the disk of an
// embedded server, which others may have filled for a moment, is none of them.
func refused(err error) error {
	failed, is := errors.AsType[*queue.ServerError](err)
	if is && failed.Again {
		return err
	}
	if fault.Of(err) == fault.ClassPermanent {
		return ops.Config(err)
	}
	return err
}

// run is one pipeline. It can run once it is prepared.
type run struct {
	*stages
	untrace func()
	beat    *heartbeat
	asked   *inquiry
	ahead   []*connecting // to the destinations, until they are opened
	spec    state.Spec
	size    uint64
	sinks   []config.Sink // that this program runs
	writers []sink.Writer // of them, open
	cancel  context.CancelFunc
}

// newRun begins what a pipeline needs to start and what does not depend on NATS: the questions
// to the Amp server and, once the query is known to be right, the connections to the
// destinations. The caller closes it.
func newRun(ctx context.Context, p *config.Pipeline, meter *progress.Meter, o Options) *run {
	r := &run{stages: newStages(p, meter, o), sinks: o.sinksHere(p)}
	r.asked = r.ask(ctx)
	for _, c := range r.sinks {
		r.ahead = append(r.ahead, r.connect(ctx, c, r.asked))
	}
	r.writers = make([]sink.Writer, len(r.sinks))
	return r
}

// prepare waits until the query is checked, writes the plan and opens the destinations: all
// that can be refused. A destination is opened, and what it lacks is made, when everything
// else has been found right.
func (r *run) prepare(ctx context.Context, conn *natsConn) (err error) {
	err = retryNATS(ctx, r.config, r.meter, func(ctx context.Context) error { return r.open(ctx, conn) })
	if err != nil {
		return err
	}
	r.beat = r.startHeartbeat(roleRun, allStages(r.sinks)...)
	if r.untrace, err = r.openTraces(ctx, "ampipe"); err != nil {
		return err
	}
	if r.config.NATS.Embedded != "" {
		// A process that had some was killed with the server.
		if err := r.tasks.Reclaim(ctx); err != nil {
			return err
		}
	}
	setUnready(r.meter, r.sinks, notAnswered)
	if r.spec, err = r.plan(ctx, r.asked); err != nil {
		return err
	}
	if r.size, err = r.partitionSize(ctx, r.asked, r.spec); err != nil {
		return err
	}
	setUnready(r.meter, r.sinks, "the destinations are not open yet")
	for _, c := range r.options.sinksElsewhere(r.config) {
		r.logger.Info().Str("sink", c.Name).Msgf("left to the program that has its destination: %v", notBuilt(c))
	}
	return r.openWriters(ctx)
}

// openWriters opens the destinations. When one is refused, the others are not waited for.
func (r *run) openWriters(ctx context.Context) error {
	ctx, r.cancel = context.WithCancel(ctx) // not before the writers are closed, which may keep it
	var g errgroup.Group
	for i, c := range r.sinks {
		g.Go(func() error {
			w, err := r.ahead[i].take()
			if err == nil {
				err = r.openWriter(ctx, c, w, r.spec)
			}
			if err != nil {
				r.cancel()
				return err
			}
			r.writers[i] = w
			return nil
		})
	}
	return g.Wait()
}

// close releases the destinations and the source.
func (r *run) close() {
	for i, w := range r.writers {
		err := r.ahead[i].end()
		if w != nil {
			err = w.Close()
		}
		if err != nil {
			r.logger.Warn().Err(err).Msg("could not close the destination")
		}
	}
	if r.cancel != nil {
		r.cancel()
	}
	r.asked.end()
	if r.untrace != nil {
		r.untrace()
	}
}

// run runs the stages until the planner reports that everything is loaded. A sink
// that stops for good lets the others finish first.
func (r *run) run(ctx context.Context, o Options) error {
	started := time.Now()
	work, done := context.WithCancelCause(ctx)
	defer done(nil)
	g, work := errgroup.WithContext(work)
	r.meter.SayUntil(work)

	stopped := newStoppedSinks(r.config.Sinks)
	planner := r.planner(r.asked.source, o)
	defer r.countLetters(ctx)()
	planner.SinkStopped = stopped.has
	var status plan.Status
	g.Go(func() (err error) {
		defer func() { r.meter.Waiting("start of the live lane", "") }()
		defer r.meter.Ended(stagePlanner)
		status, err = planner.Run(work, r.spec, r.size)
		done(errDone)
		return err
	})
	g.Go(func() error { r.judge(work); return nil })
	g.Go(func() error { return r.conn.awaitFailure(work) }) // what only reads would go on
	g.Go(func() error { return r.extract(work, r.asked.source, r.spec) })
	for i, c := range r.sinks {
		g.Go(func() error {
			err := r.apply(work, c, r.writers[i], r.spec)
			if err == nil {
				return nil
			}
			r.meter.Stopped(c.Name, err.Error())
			if stopped.add(c.Name, err) {
				r.logger.Error().Err(err).Str("sink", c.Name).Msg("the sink has stopped; the others continue")
				return nil
			}
			return errNoSink
		})
	}
	err := g.Wait()
	if errors.Is(err, errNoSink) {
		err = nil // stopped.err says what stopped them
	}
	if err = ops.Failures(err, stopped.err()); err == nil && status.Failed.Len() > 0 {
		err = ops.Incomplete(fmt.Errorf("%s could not be read: %v", counted(status.Failed.Len(), "block"), status.Failed))
	}
	o.Screen.Finish()
	r.summarize(o, r.sinks, status, time.Since(started), err)
	return err
}
