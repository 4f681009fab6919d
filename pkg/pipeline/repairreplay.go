package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/progress"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/state"
	"github.com/ampipe/ampipe/pkg/status"
)

// replay asks for a replay, and waits until the destination holds the blocks again. loads is
// false if that cannot be waited for: nothing runs the sink, or it was a dry run.
func (v *verification) replay(ctx context.Context, w *withoutLetters, request state.Replay) (loads bool, err error) {
	open := steerNATS
	if v.options.DryRun {
		open = asOperator
	}
	asking, cancel := context.WithTimeout(ctx, replayTimeout)
	defer cancel()
	conn, err := open(asking, v.config.NATS, v.log)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	facts, err := status.Read(asking, conn.Conn, v.config.Name)
	if err != nil {
		return false, err
	}
	err = planLacks(facts)
	if err != nil {
		return false, err
	}
	if !slices.Contains(facts.Spec.Sinks, v.sink.Name) {
		return false, fmt.Errorf("pipeline %q has no sink %q; it has %s", v.config.Name, v.sink.Name, strings.Join(facts.Spec.Sinks, ", "))
	}
	kv, err := conn.State(asking, v.config.Name)
	if err != nil {
		return false, err
	}
	ask := &asked{sink: v.sink.Name, kv: kv, request: request}
	for _, d := range v.found.Differences {
		if d.Beyond && request.Blocks.Covers(d.Blocks) {
			ask.only.Add(d.Blocks)
		}
	}
	err = ask.look(asking, conn, v.config.Name, facts.Parts, v.say)
	if err != nil {
		return false, err
	}
	v.repaired.Blocks = block.NewSet(append(v.repaired.Blocks, request.Blocks.Ranges()...)...).Ranges()
	if v.options.DryRun {
		v.repaired.Outcome = repairWould
		return false, nil
	}
	err = ask.save(asking)
	if err != nil {
		return false, err
	}
	paused := func(s status.SinkFacts) bool {
		return s.Name == v.sink.Name && s.Report.State == state.SinkPaused && s.Report.ByRequest
	}
	switch {
	case !sinkRuns(facts, conn, v.sink.Name):
		v.repaired.Outcome = repairAsked
		v.say("no process runs the sink: it does that when it is started; compare again afterwards")
		return false, nil
	case slices.ContainsFunc(facts.Sinks, paused):
		v.repaired.Outcome = repairAsked
		v.say("the sink is paused: it does that after ampipe resume %s; compare again afterwards", v.sink.Name)
		return false, nil
	}
	err = v.awaitReplay(ctx, conn, w, ask)
	if err != nil {
		return false, err
	}
	letters, err := readLetters(ctx, conn, v.config) // a row may have been put aside
	w.letters = letters[v.sink.Name]
	return true, err
}

// awaitReplay waits until the blocks of a replay are in the destination again.
func (v *verification) awaitReplay(ctx context.Context, conn *natsConn, w sink.Writer, ask *asked) error {
	type progress struct {
		rev     uint64
		lacking uint64
	}
	var last progress
	moved := time.Now()
	for {
		now, rev, err := ask.kv.Replay(ctx, ask.sink)
		if err != nil && !errors.Is(err, queue.ErrNotFound) {
			return fmt.Errorf("look how far the replay is: %w", err)
		}
		holds, err := w.State(ctx)
		if err != nil {
			return fmt.Errorf("read how far the destination is: %w", err)
		}
		ours := now.Asked.Equal(ask.request.Asked)
		if ours && now.Step == state.ReplayFailed {
			return fmt.Errorf("the replay has failed: %s", now.Error)
		}
		lacking := v.lacking(holds, ask.request.Blocks)
		if (!ours || !now.UnderWay()) && lacking == 0 {
			return nil
		}
		if at := (progress{rev, lacking}); at != last {
			last, moved = at, time.Now()
		}
		if patience := repairPatience + v.sink.CommitDelay(); time.Since(moved) > patience {
			return fmt.Errorf("%s; what was asked for is done when that is mended", v.stands(ctx, conn, lacking, patience))
		}
		err = fault.Sleep(ctx, repairLook)
		if err != nil {
			return err
		}
	}
}

// lacking returns how many of the blocks are still to be loaded into the destination.
// Those that are not the pipeline's, or the live lane's to bring, are only removed.
func (v *verification) lacking(holds sink.State, blocks block.Set) (n uint64) {
	wanted := v.all
	if holds.Live.Started {
		wanted.End = min(wanted.End, holds.Live.Start)
	}
	for _, r := range blocks.Ranges() {
		for _, gap := range holds.Coverage.Missing(r.Intersect(wanted)) {
			n += gap.Len()
		}
	}
	return n
}

// stands says why a repair stands still, as far as the state of the pipeline says it.
func (v *verification) stands(ctx context.Context, conn *natsConn, lacking uint64, patience time.Duration) string {
	text := fmt.Sprintf("%s of its blocks have not come for %v", progress.Grouped(lacking), patience)
	facts, err := status.Read(ctx, conn.Conn, v.config.Name)
	if err != nil {
		return text
	}
	is := status.Build(facts, status.Options{Embedded: v.config.NATS.Embedded != "", CommitDelays: commitDelays(v.config)})
	return text + ": " + is.Sentence
}
