package pipeline

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/ops"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/state"
	"github.com/ampipe/ampipe/pkg/status"
)

const (
	// pauseWait is how long [Pause] waits for a sink that runs to commit what it has in hand,
	// for which it has ten seconds.
	pauseWait = 15 * time.Second
	// pauseEvery is how often it looks.
	pauseEvery = 200 * time.Millisecond
)

// Pause has a sink stand still until [Resume], also when it is started again. It returns when
// a sink that runs has committed what it had in hand; if that takes too long the error is
// [ops.Incomplete].
func Pause(ctx context.Context, p *config.Pipeline, o Options, sink string) error {
	return changePause(ctx, p, o, sink, func(ctx context.Context, kv *queue.State, now state.Pause, _ state.SinkReport, runs bool) error {
		how := "is paused"
		if now.Paused {
			how = "was paused already, since " + now.Since.UTC().Format(time.DateTime) + " UTC"
		} else {
			now = state.Pause{Paused: true, Since: time.Now().UTC().Truncate(time.Second)}
			if err := kv.PutPause(ctx, sink, now); err != nil {
				return err
			}
		}
		if !runs {
			say(o.out(), "%s: sink %s %s; it does not run, and stands still when it is started, until ampipe resume %s", p.Name, sink, how, sink)
			return nil
		}
		if err := waitForRest(ctx, kv, sink, now); err != nil {
			return fmt.Errorf("pipeline %q: %w", p.Name, err)
		}
		say(o.out(), "%s: sink %s %s; ampipe resume %s lets it continue", p.Name, sink, how, sink)
		return nil
	})
}

// waitForRest waits until a sink reports that it stands still.
func waitForRest(ctx context.Context, kv *queue.State, sink string, p state.Pause) error {
	for began := time.Now(); time.Since(began) < pauseWait; {
		report, _, err := kv.Report(ctx, sink)
		switch {
		case err == nil && report.ByRequest && report.Reason == p.Reason(sink):
			return nil
		case err != nil && !errors.Is(err, queue.ErrNotFound):
			return err
		}
		if err := fault.Sleep(ctx, pauseEvery); err != nil {
			return err
		}
	}
	return ops.Incomplete(fmt.Errorf("sink %s is to pause and has not said within %v that it does: "+
		"ampipe status shows when it has; one of a version without ampipe pause never does", sink, pauseWait))
}

// Resume has a sink continue that [Pause] has paused.
func Resume(ctx context.Context, p *config.Pipeline, o Options, sink string) error {
	return changePause(ctx, p, o, sink, func(ctx context.Context, kv *queue.State, now state.Pause, r state.SinkReport, runs bool) error {
		if !now.Paused && !r.ByRequest { // one whose document was lost with the state still stands still
			say(o.out(), "%s: sink %s is not paused by ampipe pause", p.Name, sink)
			return nil
		}
		if err := kv.PutPause(ctx, sink, state.Pause{Since: time.Now().UTC().Truncate(time.Second)}); err != nil {
			return err
		}
		when := "continues"
		if !runs {
			when = "is not paused any more; it does not run"
		}
		say(o.out(), "%s: sink %s %s", p.Name, sink, when)
		return nil
	})
}

// changePause calls do with whether a sink is paused, what it has reported last, and whether a
// process runs it, as far as is known.
func changePause(
	ctx context.Context, p *config.Pipeline, o Options, sink string,
	do func(_ context.Context, _ *queue.State, now state.Pause, reported state.SinkReport, runs bool) error,
) error {
	return readFacts(ctx, p, steerNATS, o.Logger, func(ctx context.Context, conn *natsConn, f status.Facts) error {
		kv, err := conn.State(ctx, p.Name)
		if err != nil {
			return err
		}
		now, err := kv.Pause(ctx, sink)
		if err != nil {
			return err
		}
		var reported state.SinkReport
		for _, s := range f.Sinks {
			if s.Name == sink {
				reported = s.Report
			}
		}
		return do(ctx, kv, now, reported, sinkRuns(f, conn, sink))
	})
}

// sinkRuns reports whether a process runs a sink, as far as is known.
func sinkRuns(f status.Facts, conn *natsConn, sink string) bool {
	return runningFor(f, conn, func(stage string) bool { return stage == stageSink(sink) }) != ""
}
