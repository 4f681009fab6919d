package plan

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/state"
)

// liveLaneBroken returns why some sink cannot continue with the live lane as it is, nor
// rejoin it alone; empty: all can.
func (l *liveStep) liveLaneBroken(ctx context.Context, position state.LivePosition, tail queue.Tail, now *round) (string, error) {
	begun := position.Epoch == l.spec.Epoch
	if begun && position.Phase == state.LiveLost {
		return "the log has lost the end of the live lane", nil
	}
	if max(position.Epoch, tail.Entry.Epoch) > l.spec.Epoch {
		return "the live lane is of a later epoch than the plan", nil
	}
	if begun && tail.Seq < position.Seq { // 0 if there is none
		return "the log has lost the end of the live lane", nil
	}
	// A sink that has stopped for good, or is paused, may lack what was trimmed without
	// it: it rejoins the lane when it is back.
	for _, sink := range running(now.Sinks) {
		if sink.rev == 0 {
			continue // nobody knows what it has
		}
		asked, err := l.asked(ctx, now, sink)
		if err != nil {
			return "", err
		}
		if asked {
			continue
		}
		ahead, err := l.ahead(ctx, sink.Report.Live, tail)
		if err != nil {
			return "", err
		}
		if ahead {
			return fmt.Sprintf("sink %s has applied live entries that the log does not have", sink.Name), nil
		}
		reason, err := l.missingLiveEntry(ctx, position, tail, sink)
		if err != nil {
			return "", err
		}
		if reason == "" {
			delete(l.settling, sink.Name)
			continue
		}
		alone, err := l.rejoin(ctx, now, position, tail, sink, reason)
		if err != nil || !alone {
			return reason, err
		}
	}
	return "", nil
}

// ahead reports whether a sink's last live entry is not in the lane, though nothing was
// trimmed there. The log may hold something else at its sequence by now.
func (l *liveStep) ahead(ctx context.Context, mark state.LiveState, tail queue.Tail) (bool, error) {
	switch {
	case !mark.Started, mark.Epoch < l.spec.Epoch:
		return false, nil
	case mark.Epoch > l.spec.Epoch, mark.Seq > tail.Seq:
		return true, nil
	case tail.Damaged == nil && tail.Entry.Epoch != mark.Epoch:
		return true, nil
	}
	last, err := l.Log.At(ctx, mark.Seq)
	if err != nil {
		return false, err
	}
	if last.Found {
		return last.Lane != queue.LiveLane || (last.Damaged == nil && last.Entry.Epoch != mark.Epoch), nil
	}
	head, err := l.Log.Head(ctx, queue.LiveLane)
	return err == nil && head.Found && head.Seq < mark.Seq, err
}

// begin decides where the live lane of an epoch begins: at a block below which every
// sink has the chain as it is. It needs to know how far all of them are. The epoch is
// least, or later than any that a sink or the log knows of.
func (l *liveStep) begin(ctx context.Context, position state.LivePosition, sinks []SinkStatus, least uint64) error {
	tail, err := l.Log.Tail(ctx, queue.LiveLane)
	if err != nil {
		return err
	}
	epoch := max(least, position.Epoch+1, tail.Entry.Epoch+1)
	var marks []state.LiveState
	joins := false // some sink has nothing of the live lane yet
	for _, sink := range sinks {
		if sink.rev == 0 && !l.sinkStopped(sink.Name) {
			l.status.Waits = fmt.Sprintf("sink %s has not said yet how far it is", sink.Name)
			return nil
		}
		if mark := sink.Report.Live; mark.Started {
			epoch = max(epoch, mark.Epoch+1)
			marks = append(marks, mark)
		} else {
			joins = true
		}
	}
	origin := *l.spec.Live
	if len(marks) > 0 {
		found, err := l.commonAncestor(ctx, marks)
		if err != nil || found == nil {
			return err
		}
		origin = *found
	}
	unbegun := l.spec.Live.Tentative
	origin.Tentative = false
	return l.change(ctx, func(s *state.Spec) {
		s.Epoch, s.Live, s.Rejoins = epoch, &origin, nil
		if s.Version > 0 && (s.LiveFrom == nil || origin.Start < *s.LiveFrom) {
			start := origin.Start
			s.LiveFrom = &start
		}
		switch {
		case !s.Follows(): // it brings nothing more; what it has brought comes as history to who lacks it
			s.History.End = max(s.History.End, *s.MaxBlock)
		case joins: // what the lane has brought so far comes to it as history
			s.History.End = max(s.History.End, origin.Start)
		case unbegun: // what lies above comes in the lane
			s.History.End = max(s.History.Start, min(s.History.End, origin.Start))
		}
	})
}

// commonAncestor finds where the live lane can begin again. A sink has the chain up to its
// cursor if that is still a block of it. Where it is not, the lane begins again
// further below, after a block that the chain had when the epoch began, and still has.
// One that is far behind does not take the others back: the lane voids its live blocks,
// which come again as history. Only a lane that has reached max_block with the others
// goes back for it. It returns nil if that is not known yet.
func (l *liveStep) commonAncestor(ctx context.Context, marks []state.LiveState) (*state.Origin, error) {
	c, err := l.head(ctx)
	if err != nil {
		return nil, err
	}
	if len(c.Head) != 1 {
		l.status.Waits = noData
		return nil, nil
	}
	slices.SortFunc(marks, func(a, b state.LiveState) int { return cmp.Compare(b.After(), a.After()) })
	var base block.Cursor // the last block that stays; without a hash if none is known
	for i, mark := range marks {
		if mark.After()+farBehind < marks[0].After() && mark.After() < c.LiveStart && !l.beyond(c.LiveStart) {
			break
		}
		if last := c.Head[0].Numbers.Last(); mark.Cursor.Number > last {
			l.status.Waits = amp.Behind(last, mark.Cursor.Number).Error()
			return nil, nil
		}
		start, stays, err := l.certain(ctx, c, mark)
		if err != nil {
			return nil, err
		}
		if i == 0 || start < c.LiveStart {
			c.LiveStart, base = start, stays
		}
	}
	origin, err := c.Origin(ctx, l.Source)
	if err != nil {
		return nil, err
	}
	if n := len(origin.Points); !base.Hash.IsZero() && (n == 0 || origin.Points[n-1] != base) {
		l.status.Waits = "the chain has changed this moment" // the next round sees how
		return nil, nil
	}
	return origin, nil
}

// beyond reports whether a lane that begins at a block has none below max_block.
func (l *liveStep) beyond(start block.Number) bool {
	return l.spec.MaxBlock != nil && start >= *l.spec.MaxBlock
}

const noData = "the server has no data for this query at the moment"

// farBehind is how many blocks a sink may lie behind the furthest one for an epoch to
// begin at its cursor.
const farBehind = 10_000

// certain returns the first block in which a sink may differ from the chain, and the block
// before it, without its hash if only the chain knows that.
func (l *liveStep) certain(ctx context.Context, c *Checked, mark state.LiveState) (block.Number, block.Cursor, error) {
	cursor := mark.Cursor
	if cursor.Hash.IsZero() { // no watermark yet, or all was undone, down to the first block of the chain
		return mark.After(), block.Cursor{}, nil
	}
	if still, err := l.canonical(ctx, c, cursor); err != nil || still {
		return mark.After(), cursor, err
	}
	from, base, err := fork(ctx, l.Source, c.Query, cursor)
	switch {
	case err != nil:
		return 0, block.Cursor{}, err
	case from < l.spec.History.Start: // what lies below was not asked for
		return l.spec.History.Start, block.Cursor{}, nil
	case from != cursor.Number:
		return from, base, nil
	}
	// The server may not know the block any more, and then the fork may be deeper.
	return l.remembered(ctx, c, mark)
}

// remembered returns the first block in which a sink may differ from the chain if nothing
// is known of its cursor: the one after the last block below its live start, and the plan's,
// that the chain had when the epoch began, and still has.
func (l *liveStep) remembered(ctx context.Context, c *Checked, mark state.LiveState) (block.Number, block.Cursor, error) {
	start := max(min(mark.Start, l.spec.Live.Start), l.spec.History.Start) // what is below came as history
	if l.spec.Live.Tentative || len(l.spec.Live.Points) == 0 {
		// Nothing is remembered of the chain as it was, or the lane began with its first block.
		l.Logger.Warn().Stringer("block", mark.Cursor).Uint64("from", uint64(start)).
			Msg("a destination ends with a block that the chain has replaced; what it has of the live lane comes again")
		return start, block.Cursor{}, nil
	}
	for _, p := range slices.Backward(l.spec.Live.Points) {
		if p.Number >= start || p.Number > c.Head[0].Numbers.Last() {
			continue
		}
		if p.Number < l.spec.History.Start {
			break // of nothing that was loaded; planned by an older version
		}
		if still, err := l.canonical(ctx, c, p); err != nil || still {
			return p.Number + 1, p, err
		}
	}
	return l.spec.History.Start, block.Cursor{}, nil // everything may have left the chain
}

// canonical reports whether a block is in the chain. It is not above the head.
func (l *liveStep) canonical(ctx context.Context, c *Checked, at block.Cursor) (bool, error) {
	if head := c.Head[0]; at.Number == head.Numbers.Last() {
		return at.Hash == head.Hash, nil
	}
	now, err := probe(ctx, l.Source, c.Query, l.spec.Network, at.Number+1)
	if err != nil {
		return false, fmt.Errorf("ask for the hash of block %d: %w", at.Number, err)
	}
	return now.Hash == at.Hash, nil
}
