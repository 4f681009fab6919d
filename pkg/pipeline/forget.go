package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/ops"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/state"
	"github.com/ampipe/ampipe/pkg/status"
)

// Forget lets go what NATS keeps of a sink that no process runs: its place in the plan, for
// which the log is kept and the pipeline waits, then its positions in the log and its
// documents. Its destination stays as it is. Dead letters are what is left of rows that are
// nowhere else: if it has some, it is forgotten only with withLetters. Interrupted, it can
// be given again.
func Forget(ctx context.Context, p *config.Pipeline, o Options, sink string, withLetters bool) error {
	return readFacts(ctx, p, steerNATS, o.Logger, func(ctx context.Context, conn *natsConn, f status.Facts) error {
		kv, err := conn.State(ctx, p.Name)
		if err != nil {
			return err
		}
		log, err := conn.Log(ctx, p.Name, queue.LogConfig{})
		if err != nil {
			return err
		}
		letters, aside, err := lettersOf(ctx, conn, p.Name, sink)
		if err != nil {
			return err
		}
		unread, known, err := knowsSink(ctx, kv, log, f, sink)
		if err != nil {
			return err
		}
		if !known && letters == nil {
			return fault.Permanent(fmt.Errorf("pipeline %q has nothing of a sink %q; it has %s",
				p.Name, sink, strings.Join(f.Spec.Sinks, ", ")))
		}
		who := runningFor(f, conn, func(stage string) bool { return stage == stageSink(sink) })
		if who != "" {
			return fault.Permanent(fmt.Errorf("pipeline %q: sink %s runs in %s: stop that, or, if other stages run there, "+
				"take the sink out of the configuration and start it again", p.Name, sink, who))
		}
		if aside > 0 && !withLetters {
			return ops.Config(fmt.Errorf("pipeline %q: sink %s has %s, rows that are not in its destination: load them by "+
				"`ampipe dlq replay`, or give --dead-letters to remove them, too", p.Name, sink, counted(aside, "dead letter")))
		}
		if err := leavePlan(ctx, p.Name, kv, sink); err != nil {
			return err
		}
		if err := errors.Join(log.RemoveConsumer(ctx, sink), kv.ForgetSink(ctx, sink), removeLetters(ctx, letters)); err != nil {
			return err
		}
		if aside > 0 {
			say(o.out(), "%s: %s of sink %s removed; what they hold is not in the destination", p.Name, counted(aside, "dead letter"), sink)
		}
		say(o.out(), "%s: sink %s is forgotten; it had %s of the log still to apply. Its destination is as it was",
			p.Name, sink, counted(unread, "entry"))
		if slices.Contains(sinkNames(p), sink) {
			say(o.out(), "%s: take it out of the configuration, or it is there again when the planner is started", p.Name)
		}
		return nil
	})
}

// lettersOf returns the dead letters of a sink and how many there are; nil if it has never
// put a row aside.
func lettersOf(ctx context.Context, conn *natsConn, pipeline, sink string) (letters *queue.DeadLetters, aside int, err error) {
	letters, err = conn.DeadLetters(ctx, pipeline, sink, 0)
	if errors.Is(err, queue.ErrNoStream) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	aside, err = letters.Len(ctx)
	return letters, aside, err
}

func removeLetters(ctx context.Context, letters *queue.DeadLetters) error {
	if letters == nil {
		return nil
	}
	return letters.Delete(ctx)
}

// knowsSink reports whether NATS holds anything of a sink, and how many entries of the log it
// has still to apply.
func knowsSink(
	ctx context.Context, kv *queue.State, log *queue.Log, f status.Facts, sink string,
) (unread uint64, known bool, err error) {
	known = slices.Contains(f.Spec.Sinks, sink)
	for _, lanes := range []queue.Lanes{queue.History, queue.Live} {
		at, err := log.Position(ctx, sink, lanes)
		if err != nil {
			return 0, false, err
		}
		unread += at.Unread()
		known = known || at.Exists
	}
	_, _, err = kv.Report(ctx, sink)
	if err == nil {
		return unread, true, nil
	}
	if !errors.Is(err, queue.ErrNotFound) {
		return 0, false, err
	}
	p, err := kv.Pause(ctx, sink)
	return unread, known || !p.Since.IsZero(), err
}

// leavePlan takes a sink out of the plan: planners that run wait for it no more.
func leavePlan(ctx context.Context, pipeline string, kv *queue.State, sink string) error {
	for {
		spec, rev, err := kv.LoadSpec(ctx)
		if err != nil {
			return err
		}
		i := slices.Index(spec.Sinks, sink)
		if i < 0 {
			return nil
		}
		if len(spec.Sinks) == 1 {
			return fault.Permanent(fmt.Errorf("pipeline %q has no other sink than %s: "+
				"ampipe drop %s removes the whole of it from NATS", pipeline, sink, pipeline))
		}
		spec.Sinks = slices.Delete(slices.Clone(spec.Sinks), i, i+1)
		_, err = kv.SaveSpec(ctx, spec, rev)
		if !errors.Is(err, queue.ErrConflict) { // else a planner has changed the plan meanwhile
			return err
		}
	}
}

// runningFor returns which process runs a stage that is meant; empty: none does, as far as
// is known.
func runningFor(f status.Facts, conn *natsConn, meant func(stage string) bool) string {
	if conn.server != nil {
		return "" // it would have the folder
	}
	for _, one := range f.Processes {
		if !one.Runs(f.Now) || !slices.ContainsFunc(one.Stages, meant) {
			continue
		}
		return one.String()
	}
	for _, s := range f.Sinks { // processes of earlier versions say nothing but this
		said := slices.ContainsFunc(f.Processes, func(one state.Process) bool { return slices.Contains(one.Stages, stageSink(s.Name)) })
		active := s.Report.State == state.SinkRunning || s.Report.State == state.SinkPaused
		if !said && active && meant(stageSink(s.Name)) && f.Now.Sub(s.Reported) < outdatedAfter {
			return "a process of an earlier version"
		}
	}
	return ""
}
