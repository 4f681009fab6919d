package pipeline

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/health"
	"github.com/ampipe/ampipe/pkg/plan"
	"github.com/ampipe/ampipe/pkg/progress"
	"github.com/ampipe/ampipe/pkg/sink/apply"
	"github.com/ampipe/ampipe/pkg/state"
)

// The stages of a pipeline, as health calls them.
const (
	stagePlanner   = "planner"
	stageExtractor = "extractor"
)

func stageSink(name string) string { return "sink " + name }

// allStages returns the stages of a pipeline with these sinks.
func allStages(sinks []config.Sink) []string {
	stages := []string{stagePlanner, stageExtractor}
	for _, s := range sinks {
		stages = append(stages, stageSink(s.Name))
	}
	return stages
}

// setUnready sets why no stage of a pipeline with these sinks is ready; with an empty
// reason all are.
func setUnready(meter *progress.Meter, sinks []config.Sink, unready string) {
	for _, stage := range allStages(sinks) {
		if unready == "" {
			meter.Ready(stage)
			continue
		}
		meter.Unready(stage, unready)
	}
}

const (
	historyEvery = time.Second     // between two checks of what a sink lacks
	readyEvery   = 5 * time.Second // while it lacks nothing
	// outdatedAfter is how old what is known of the destination, and of the plan, may
	// be. Sinks report every 15 s at least.
	outdatedAfter = 45 * time.Second
)

const notConnected = "NATS is not connected yet"

// newMeter returns the meter of a pipeline of which some stages are to run in this
// process. unready is why they are not ready yet.
func newMeter(p *config.Pipeline, unready string, stages ...string) *progress.Meter {
	meter := progress.NewMeter(sinkNames(p)...)
	for _, s := range p.Sinks {
		meter.CommitDelay = max(meter.CommitDelay, s.CommitDelay())
	}
	for _, stage := range stages {
		meter.Unready(stage, unready)
	}
	return meter
}

// historyMonitor reports to the meter what a sink lacks of its history. It stands between
// the sink and the state, which it passes the sink's reports on to. PutReport may be
// called by any goroutine.
type historyMonitor struct {
	*stages
	sink string
	spec state.Spec
	read time.Time     // spec last
	ask  chan struct{} // holds a token when the sink is to report, though nothing has changed

	reported chan struct{} // holds a token when a report has been made

	rejoiner *apply.Rejoiner

	mu       sync.Mutex
	report   state.SinkReport // the last; its Read is zero if there was none
	indexing *state.Indexing  // what reports say of it
}

func newHistoryMonitor(s *stages, sink string) *historyMonitor {
	s.meter.Unready(stageSink(sink), notRead)
	return &historyMonitor{
		stages: s, sink: sink, ask: make(chan struct{}, 1), reported: make(chan struct{}, 1), rejoiner: apply.NewRejoiner(sink, s.log),
	}
}

// watchPlan asks the sink to report when the plan is written, until ctx ends: a planner that
// starts writes it, and waits to hear how far the sinks are. It also passes on what the plan
// asks of the sink.
func (h *historyMonitor) watchPlan(ctx context.Context) {
	retrier := fault.Retrier{Backoff: fault.Backoff{GiveUp: fault.Forever, Max: readyEvery}}
	for ctx.Err() == nil {
		err := h.state.WatchSpec(ctx, func(spec state.Spec, _ uint64) error { // update reports that NATS is away
			retrier.Progress()
			signal(h.ask)
			return h.rejoiner.Follow(ctx, spec)
		})
		pause, _ := retrier.Pause(fault.Again(err)) // never ends
		_ = fault.Sleep(ctx, pause)                 // its end is seen above
	}
}

// signal leaves a token, unless there is one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

const notRead = "what the destination holds has not been read yet"

// PutReport is part of [apply.Reports].
func (h *historyMonitor) PutReport(ctx context.Context, r state.SinkReport) error {
	h.meter.Heartbeat(stageSink(h.sink))
	h.mu.Lock()
	r.Indexing = h.indexing
	h.report = r
	h.mu.Unlock()
	signal(h.reported)
	return h.state.PutReport(ctx, r)
}

// run updates the meter until ctx ends.
func (h *historyMonitor) run(ctx context.Context) {
	defer h.meter.Ended(stageSink(h.sink))
	for ctx.Err() == nil {
		pause := historyEvery
		if h.update(ctx) {
			pause = readyEvery
		}
		_ = fault.Sleep(ctx, fault.Aligned(pause)) // its end is seen above
	}
}

// update sets in the meter whether the sink is ready, and reports it. If the plan cannot
// be read the last one counts, for a while.
func (h *historyMonitor) update(ctx context.Context) bool {
	spec, _, err := h.state.LoadSpec(ctx)
	if err == nil {
		h.spec, h.read = spec, time.Now()
	}
	h.mu.Lock()
	report := h.report
	h.mu.Unlock()
	stage := stageSink(h.sink)
	switch {
	case ctx.Err() != nil:
	case report.Read.IsZero():
		h.meter.Unready(stage, notRead)
	case time.Since(report.Read) > outdatedAfter:
		h.meter.Unready(stage, "the destination has not been read since "+clock(report.Read))
	case h.read.IsZero() || time.Since(h.read) > outdatedAfter:
		h.meter.Unready(stage, "the plan cannot be read: "+text(err))
	default:
		reason, blocks := lacks(h.spec, report)
		if reason == "" {
			h.meter.Ready(stage, health.NATSAway)
			return true
		}
		h.meter.Lacks(stage, reason, blocks)
	}
	return false
}

func clock(t time.Time) string { return t.UTC().Format(time.TimeOnly) + " UTC" }

// lacks returns why a sink does not have everything that was planned up to the live
// lane, with the blocks that are missing, or why it does not follow the chain yet.
// Without a reason it does.
func lacks(spec state.Spec, report state.SinkReport) (reason string, blocks uint64) {
	wanted := plan.Wanted(spec, report.Live)
	missing := block.NewSet(report.Coverage.Missing(wanted)...)
	if n := missing.Len(); n > 0 {
		return fmt.Sprintf("%d of %d blocks of the history are missing, the first is block %d",
			n, wanted.Len(), missing.Ranges()[0].Start), n
	}
	switch mark := report.Live; {
	case !spec.Follows(), spec.MaxBlock != nil && report.Coverage.Covers(block.Range{Start: spec.History.Start, End: *spec.MaxBlock}):
		return "", 0
	case !mark.Started:
		return "the history is complete, and the live lane has not begun", 0
	case spec.Live.Tentative || mark.Epoch < spec.Epoch:
		return "the history is complete, and the live lane has not begun again", 0
	default:
		return "", 0
	}
}
