package plan

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/state"
)

// mostSought is how many entries of the lane are read at once to find where a sink can take
// it up.
const mostSought = 64

// asked reports whether the plan asks a sink to rejoin the lane from where it is. A request
// that can be carried out no more, because the log was trimmed since, is made again.
func (l *liveStep) asked(ctx context.Context, now *round, sink SinkStatus) (asked bool, err error) {
	request, is := l.spec.Rejoin(sink.Name)
	switch {
	case !is:
		return false, nil
	case request.From != sink.Report.Live:
		return false, l.moved(ctx, now, sink, request)
	case request.To.Epoch != l.spec.Epoch:
		return false, nil
	}
	behind, err := l.Log.Next(ctx, queue.LiveLane, request.To.Seq)
	if err != nil || !behind.Found || (behind.Seq != request.To.Seq && behind.After != request.To.Seq) {
		return false, err
	}
	l.waits[sink.Name] = fmt.Sprintf("it is to rejoin at block %d, and has not yet", request.To.Start)
	return true, nil
}

// moved takes a request out of the plan that the sink is past. If it has followed it, what it
// lacks now is known, and is queued at once.
func (l *liveStep) moved(ctx context.Context, now *round, sink SinkStatus, request state.Rejoin) (err error) {
	mark := sink.Report.Live
	if mark.Epoch == request.To.Epoch && mark.Seq >= request.To.Seq {
		gap := block.Range{Start: max(request.Keep, l.spec.History.Start), End: min(request.To.Start, mark.Start)}
		missing := MissingFromSink(gap, now.parts, sink.Report.Coverage)
		now.parts, _, err = l.create(ctx, missing, now.parts)
		if err != nil {
			return err
		}
		if len(missing) > 0 {
			l.Logger.Info().Str("sink", sink.Name).Stringer("blocks", block.NewSet(missing...)).
				Msg("the sink has rejoined the live lane above these blocks; they come as history")
		}
	}
	return l.change(ctx, func(s *state.Spec) { s.Rejoins = withoutRejoin(s.Rejoins, sink.Name) })
}

// rejoin has a sink that needs a live entry which will not come take the lane further on, by
// itself: its blocks are compared with the chain, what lies between comes to it as history,
// and no other destination is touched. It returns false if only an epoch helps: nothing of
// the lane is left to continue with, the destination has nothing of it, or the sink is of an
// earlier version.
func (l *liveStep) rejoin(
	ctx context.Context, now *round, position state.LivePosition, tail queue.Tail, sink SinkStatus, reason string,
) (alone bool, err error) {
	mark := sink.Report.Live
	if !mark.Started || !sink.Report.Rejoins {
		return false, nil
	}
	to, found, err := l.placeFor(ctx, sink, tail)
	switch {
	case err != nil:
		return false, err
	case !found && (position.Phase != state.LiveRunning || tail.Damaged != nil):
		return false, nil
	case !found:
		l.waits[sink.Name] = "it rejoins behind the next range of blocks that is complete: " + reason
		return true, nil
	case to.Epoch == mark.Epoch && to.Seq <= mark.Seq:
		return false, nil
	}
	settled, err := l.settled(ctx, now, sink, mark.Start)
	if err != nil || !settled {
		return true, err
	}
	keep, waits, err := l.sharedWithChain(ctx, mark)
	if err != nil {
		return false, err
	}
	if waits != "" {
		l.waits[sink.Name] = waits
		return true, nil
	}
	keep = min(keep, to.Start)
	settled, err = l.settled(ctx, now, sink, keep)
	if err != nil || !settled {
		return true, err
	}
	err = l.change(ctx, func(s *state.Spec) {
		s.Rejoins = append(withoutRejoin(s.Rejoins, sink.Name),
			state.Rejoin{Sink: sink.Name, From: mark, Keep: keep, To: to, Asked: time.Now().UTC()})
	})
	if err != nil {
		return false, err
	}
	delete(l.settling, sink.Name)
	l.Logger.Warn().Str("sink", sink.Name).Uint64("at", uint64(to.Start)).Uint64("has_until", uint64(keep)).
		Msg(reason + "; it rejoins the live lane alone, and the blocks that it lacks come as history")
	return true, nil
}

// placeFor returns the first place of the lane where a sink can take it up: behind an entry
// that closes a range, of which all that follow are still to come to it.
func (l *liveStep) placeFor(ctx context.Context, sink SinkStatus, tail queue.Tail) (to state.LiveState, found bool, err error) {
	seq := sink.Live.AckFloor + 1
	if mark := sink.Report.Live; mark.Epoch == l.spec.Epoch {
		seq = max(seq, mark.Seq+1) // what it has acknowledged may be known a moment later
	}
	for range mostSought {
		next, err := l.Log.Next(ctx, queue.LiveLane, seq)
		if err != nil {
			return to, false, err
		}
		if !next.Found {
			break
		}
		if to, found = l.behind(next); found {
			return to, true, nil
		}
		seq = next.Seq + 1
	}
	to, found = l.behind(tail)
	return to, found, nil
}

// behind returns the live state of a destination that has nothing of the lane but the entry
// that closes it.
func (l *liveStep) behind(e queue.Tail) (to state.LiveState, closes bool) {
	if !e.Found || e.Damaged != nil || e.Entry.Epoch != l.spec.Epoch {
		return to, false
	}
	h := e.Entry
	to = state.LiveState{Started: true, Epoch: h.Epoch, Seq: e.Seq}
	switch {
	case h.Closes():
		to.Start, to.Cursor = h.Range.End, block.Cursor{Network: h.Network, Number: h.Range.Last(), Hash: h.Hash}
		return to, true
	case h.Kind == entry.Invalidate:
		to.Start = h.Range.Start
		if to.Start > 0 {
			to.Cursor = block.Cursor{Network: h.Network, Number: to.Start - 1, Hash: h.Prev}
		}
		return to, true
	default:
		return to, false
	}
}

// settled reports whether a sink has dealt with all that was in the partitions' lanes when
// it was first seen to be behind, if any of that is of blocks from n on. They may be of a
// fork whose end the sink will not hear of: its live start keeps them out, until it moves.
func (l *liveStep) settled(ctx context.Context, now *round, sink SinkStatus, n block.Number) (bool, error) {
	if sink.Replays {
		l.waits[sink.Name] = "it rejoins when its replay is done"
		return false, nil
	}
	above := func(p state.Partition) bool { return p.End > n }
	if sink.Position.Drained() || !slices.ContainsFunc(now.parts, above) {
		return true, nil
	}
	until, seen := l.settling[sink.Name]
	if !seen {
		log, err := l.Log.State(ctx)
		if err != nil {
			return false, fmt.Errorf("read the state of the log: %w", err)
		}
		until = log.Last
		l.settling[sink.Name] = until
	}
	if sink.Position.AckFloor >= until {
		return true, nil
	}
	l.waits[sink.Name] = "it rejoins when it has applied the history that the log holds"
	return false, nil
}

// sharedWithChain returns the first block in which a destination may differ from the chain,
// or why that cannot be said now.
func (l *liveStep) sharedWithChain(ctx context.Context, mark state.LiveState) (from block.Number, waits string, err error) {
	c, err := l.head(ctx)
	switch {
	case err != nil:
		return 0, "", err
	case len(c.Head) != 1:
		return 0, noData, nil
	case mark.Cursor.Number > c.Head[0].Numbers.Last():
		return 0, amp.Behind(c.Head[0].Numbers.Last(), mark.Cursor.Number).Error(), nil
	}
	if mark.Cursor.Hash.IsZero() {
		// It has joined, and heard of no block since: a reorg that it has missed may reach
		// below its live start.
		from, _, err = l.remembered(ctx, c, mark)
	} else {
		from, _, err = l.certain(ctx, c, mark)
	}
	return from, "", err
}

func withoutRejoin(all []state.Rejoin, sink string) []state.Rejoin {
	return slices.DeleteFunc(slices.Clone(all), func(r state.Rejoin) bool { return r.Sink == sink })
}

// sayWaits adds to the status of each sink why it has not rejoined the lane yet.
func (l *liveStep) sayWaits(now *round) {
	for i := range now.Sinks {
		if reason := l.waits[now.Sinks[i].Name]; reason != "" {
			now.Sinks[i].Waits = reason
		}
	}
}
