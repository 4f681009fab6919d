package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/ops"
	"github.com/ampipe/ampipe/pkg/progress"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/sink/apply"
	"github.com/ampipe/ampipe/pkg/state"
	"github.com/ampipe/ampipe/pkg/status"
)

// ReplayOptions is what is to be loaded again.
type ReplayOptions struct {
	Sink   string
	Ranges []string // as of [block.ParseRange]; none: everything
	DryRun bool     // only say what would be done

	FromAmp bool // nothing is read from the log: it holds the rows of an earlier query

	asPlanner bool // the process has the planner's user in NATS, and no other
}

// Replay has blocks removed from a destination and loaded again: from the log as far as it
// has them, else from Amp. It says how many come from where and, unless dry, leaves the
// request for the sink's processes.
func Replay(ctx context.Context, p *config.Pipeline, o Options, r ReplayOptions) (err error) {
	open := steerNATS
	if r.DryRun && !r.asPlanner {
		open = asOperator
	}
	ctx, cancel := context.WithTimeout(ctx, replayTimeout)
	defer cancel()
	conn, err := open(ctx, p.NATS, o.Logger)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	looking, seen := context.WithTimeout(ctx, readTimeout) // a server may be silent
	defer seen()
	facts, err := status.Read(looking, conn.Conn, p.Name)
	if err != nil {
		return err
	}
	err = planLacks(facts)
	if err != nil {
		return err
	}
	request, err := newReplay(p, facts, r)
	if err != nil {
		return ops.Config(err)
	}
	if request.Blocks.Len() == 0 {
		say(o.out(), "%s: sink %s holds none of these blocks%s; nothing is to be done", p.Name, r.Sink, prunedBelow(facts, r.Sink))
		return nil
	}
	if r.FromAmp {
		request.FromLog = block.Set{}
	}
	kv, err := conn.State(looking, p.Name)
	if err != nil {
		return err
	}
	asked := &asked{sink: r.Sink, kv: kv, request: request}
	err = asked.look(ctx, conn, p.Name, facts.Parts, func(format string, args ...any) {
		say(o.out(), "%s: %s", p.Name, fmt.Sprintf(format, args...))
	})
	if err != nil {
		return err
	}
	if r.DryRun {
		return nil
	}
	if err := asked.save(ctx); err != nil {
		return err
	}
	when := "the sink does it now, beside the live chain"
	if !sinkRuns(facts, conn, r.Sink) {
		when = "the sink does it when it is started"
	}
	say(o.out(), "%s: %s", p.Name, when)
	return nil
}

// prunedBelow says that blocks of a sink were pruned, or nothing.
func prunedBelow(f status.Facts, sink string) string {
	for _, s := range f.Sinks {
		if s.Name == sink && s.Report.Pruned > 0 {
			return fmt.Sprintf(" (those below block %d were pruned)", s.Report.Pruned)
		}
	}
	return ""
}

// asked is a request for a replay that is made.
type asked struct {
	sink    string
	kv      *queue.State
	request state.Replay
	only    block.Set // of its blocks, those that are removed and not loaded again
	rev     uint64    // of the request before, or once it is saved of this one
}

// look refuses a request beside one that is under way, and says how many blocks come from
// where.
func (a *asked) look(ctx context.Context, conn *natsConn, pipeline string, parts []state.Partition, say func(string, ...any)) error {
	looking, seen := context.WithTimeout(ctx, readTimeout) // a server may be silent
	defer seen()
	before, rev, err := a.kv.Replay(looking, a.sink)
	if err != nil && !errors.Is(err, queue.ErrNotFound) {
		return fmt.Errorf("look for a replay that is under way: %w", err)
	}
	if before.UnderWay() {
		return fault.Permanent(fmt.Errorf("blocks %v of sink %s are being replayed already: "+
			"wait until they are loaded, or start the sink if it does not run", before.Blocks, a.sink))
	}
	a.rev, a.request.Past = rev, before.Past
	log, err := conn.Log(looking, pipeline, queue.LogConfig{})
	if err != nil {
		return fmt.Errorf("open the log: %w", err)
	}
	if parts, err = state.Separate(parts); err != nil {
		return err
	}
	held, err := heldByLog(ctx, log, parts, a.request.FromLog)
	if err != nil {
		return err
	}
	loaded := without(a.request.Blocks, a.only)
	if all := loaded.Len(); all > 0 {
		say("%s of sink %s %s removed and loaded again, %s from the log and %s from Amp: %v",
			counted(all, "block"), a.sink, are(all), progress.Count(held.Len()), progress.Count(all-held.Len()), loaded)
	}
	if n := a.only.Len(); n > 0 {
		say("rows are removed of %s that did not come yet: %v", counted(n, "block"), a.only)
	}
	return nil
}

// save leaves the request for the sink's processes.
func (a *asked) save(ctx context.Context) error {
	asking, done := context.WithTimeout(ctx, readTimeout) // the server may have ended since
	defer done()
	rev, err := a.kv.SaveReplay(asking, a.sink, a.request, a.rev)
	if errors.Is(err, queue.ErrConflict) {
		return fault.Permanent(fmt.Errorf("somebody else has just asked for a replay of sink %s: wait until it is done", a.sink))
	}
	if err != nil {
		return fmt.Errorf("ask for the replay: %w", err)
	}
	a.rev = rev
	return nil
}

// replayTimeout is how long the command may take: it asks for two entries of each partition.
const replayTimeout = 5 * time.Minute

// newReplay returns the request: of the blocks that are wanted, those that the destination
// holds. Blocks of the live lane that a reorg may still reach are left to it.
func newReplay(p *config.Pipeline, f status.Facts, r ReplayOptions) (state.Replay, error) {
	at := slices.IndexFunc(f.Sinks, func(s status.SinkFacts) bool { return s.Name == r.Sink })
	if at < 0 {
		return state.Replay{}, fmt.Errorf("pipeline %q has no sink %q; it has %s", p.Name, r.Sink, strings.Join(f.Spec.Sinks, ", "))
	}
	report := f.Sinks[at].Report
	if f.Sinks[at].Reported.IsZero() {
		return state.Replay{}, fmt.Errorf("sink %s has not said yet what it holds: start it first", r.Sink)
	}
	final := finalBlock(p, f.Spec.Network, report.Live)
	wanted := block.NewSet(block.Range{End: final})
	if len(r.Ranges) > 0 {
		wanted = block.Set{}
	}
	for _, text := range r.Ranges {
		one, err := block.ParseRange(text, block.Range{Start: f.Spec.History.Start, End: final})
		if err != nil {
			return state.Replay{}, err
		}
		if one.End > final {
			return state.Replay{}, fmt.Errorf("%q: blocks from %d on may still be replaced by a reorg, "+
				"and the live chain brings them: name blocks below", text, final)
		}
		wanted.Add(one)
	}
	wanted.Remove(block.Range{End: report.Pruned})
	var blocks block.Set
	for _, r := range report.Coverage.Ranges() {
		for _, w := range wanted.Ranges() {
			blocks.Add(r.Intersect(w))
		}
	}
	return replayOf(blocks, report.Live, f.Now), nil
}

// replayOf returns the request to load blocks again of a destination whose live lane is so
// far.
func replayOf(blocks block.Set, live state.LiveState, now time.Time) state.Replay {
	request := state.Replay{Step: state.ReplayRemoves, Blocks: blocks, FromLog: blocks.Clone(), Asked: now, Updated: now}
	if live.Started { // the live lane's are not in a partition, or what is there may be of another fork
		request.FromLog.Remove(block.Range{Start: live.Start, End: block.Max + 1})
	}
	return request
}

// heldByLog returns which of the blocks the lanes of the partitions have.
func heldByLog(ctx context.Context, log *queue.Log, parts []state.Partition, blocks block.Set) (held block.Set, err error) {
	for _, lane := range apply.LanesOf(parts, blocks) {
		head, err := log.Head(ctx, lane.Name)
		if err != nil {
			return held, err
		}
		tail, err := log.Tail(ctx, lane.Name)
		if err != nil {
			return held, err
		}
		if head.Found && tail.Found && head.Damaged == nil && tail.Damaged == nil {
			has := block.NewSet(block.Range{Start: head.Entry.Range.Start, End: tail.Entry.After()})
			held.AddAll(has.Intersect(lane.Blocks))
		}
	}
	return held, nil
}
