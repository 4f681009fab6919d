package extract

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/sqlcheck"
	"github.com/ampipe/ampipe/pkg/state"
)

// lane is the live lane in the one process that writes it. One goroutine uses it.
type lane struct {
	publisher
	spec    state.Spec
	query   *sqlcheck.Query
	encoder *entry.Encoder
	holder  string

	closed      uint64       // of the lane's last watermark or invalidation
	next        block.Number // first block that is not complete in the lane
	writtenUpTo block.Number // first block of which the lane has said nothing since then: rows may reach up to it
	checkpoints checkpoints
	bad         block.Number // that the server could not compute when it was last asked
	reorgs      uint64
	recent      []state.Reorg // of them, the last
	counts      rowCounts
	saved       time.Time // when the position was copied to the state
	rev         uint64    // of the position in the state; 0: there is none

	cutter *entry.Cutter // of the range that is arriving, or nil
	open   amp.Range
	seen   time.Time // when it was first heard of
}

var (
	// errLost says that the log no longer holds what was published last.
	errLost = errors.New("the log has lost the end of the live lane")
	// errOccupied says that the live lane still holds an epoch before the plan's.
	errOccupied = errors.New("the live lane still holds entries of an epoch before")
	// errOutdated says that the lane is of a later epoch than the plan that was read.
	errOutdated = errors.New("the live lane is of a later epoch")
)

// holdLive reads from the log how far the lane is, and closes it if the process that wrote
// it before did not.
func (x *Extractor) holdLive(ctx context.Context, spec state.Spec) (*lane, error) {
	query, err := x.queryOf(spec)
	if err != nil {
		return nil, err
	}
	l := &lane{
		publisher: publisher{x: x, lane: queue.LiveLane, name: livePart, trace: x.Tracer.Lane(queue.LiveLane, true)},
		spec:      spec, query: query, holder: rand.Text(),
	}
	if l.encoder, err = entry.NewEncoder(x.Schema, x.Codec, x.EntryLimit); err != nil {
		return nil, fault.Permanent(err)
	}
	var was state.LivePosition
	var tail queue.Tail
	err = x.whileAway(ctx, func() (err error) {
		was, l.rev, err = x.State.LivePosition(ctx)
		if err != nil && !errors.Is(err, queue.ErrNotFound) {
			return fmt.Errorf("read the position of the live lane: %w", err)
		}
		if tail, err = x.Log.Tail(ctx, queue.LiveLane); err != nil {
			return fmt.Errorf("read the end of the live lane: %w", err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	l.reorgs, l.recent = was.Reorgs, was.Recent
	switch {
	case max(was.Epoch, tail.Entry.Epoch) > spec.Epoch:
		return nil, fmt.Errorf("%w %d, and the plan of epoch %d", errOutdated, max(was.Epoch, tail.Entry.Epoch), spec.Epoch)
	case entry.Newer(tail.Damaged):
		return nil, fault.Permanent(fmt.Errorf("read the end of the live lane: %w", tail.Damaged))
	case was.Epoch == spec.Epoch && (was.Seq > tail.Seq || tail.Damaged != nil):
		return nil, l.lost(ctx, was) // nothing can follow what no sink can apply
	case !tail.Found:
		err = l.begin(ctx)
	case tail.Entry.Epoch != spec.Epoch:
		return nil, errOccupied // the planner, who began the epoch, removes them
	default:
		l.checkpoints = checkpoints{list: slices.Clone(was.Points)}
		if was.Epoch != spec.Epoch { // the copy is of the epoch before
			l.checkpoints = checkpoints{list: slices.Clone(spec.Live.Points)}
		}
		err = l.resume(ctx, tail)
	}
	return l, err
}

// lost reports to the planner, which knows the sinks, that an epoch has to begin.
func (l *lane) lost(ctx context.Context, was state.LivePosition) error {
	was.Phase = state.LiveLost
	if _, err := l.x.State.SaveLivePosition(ctx, was, l.rev); err != nil {
		return fmt.Errorf("report that the live lane is lost: %w", err)
	}
	return errLost
}

// begin starts the lane of an epoch: everything from its start on is void until entries
// follow.
func (l *lane) begin(ctx context.Context) error {
	l.checkpoints = checkpoints{list: slices.Clone(l.spec.Live.Points)}
	l.next = l.spec.Live.Start
	if err := l.invalidate(ctx, l.next); err != nil {
		return err
	}
	return l.save(ctx, state.LiveRunning, nil) // a lane that vanishes from here on is lost, not new
}

// resume goes back from the lane's last message to the watermark, or the
// invalidation, that closed it last. What follows that is unfinished and is rolled back.
func (l *lane) resume(ctx context.Context, tail queue.Tail) error {
	l.seq = tail.Seq
	at := tail
	for at.Entry.Kind == entry.Data && !at.Entry.Complete {
		l.writtenUpTo = max(l.writtenUpTo, at.Entry.Range.End)
		var before queue.Tail
		if at.After > 0 {
			err := l.x.whileAway(ctx, func() (err error) {
				before, err = l.x.Log.At(ctx, at.After)
				return err
			})
			if err != nil {
				return fmt.Errorf("read the live lane back: %w", err)
			}
		}
		if !before.Found || before.Damaged != nil || before.Lane != queue.LiveLane {
			return l.lost(ctx, state.LivePosition{
				Epoch: l.spec.Epoch, Seq: l.seq, Next: l.next, Points: l.checkpoints.list,
				Reorgs: l.reorgs, Recent: l.recent,
			})
		}
		at = before
	}
	l.closed = at.Seq
	h := at.Entry
	if h.Closes() {
		l.next = h.Range.End
		l.checkpoints.close(block.Cursor{Network: h.Network, Number: h.Range.Last(), Hash: h.Hash})
	} else {
		l.next = h.Range.Start
		l.checkpoints.cut(l.next)
		if !h.Prev.IsZero() {
			l.checkpoints.close(block.Cursor{Network: h.Network, Number: l.next - 1, Hash: h.Prev})
		}
	}
	if at.Seq == tail.Seq {
		return nil
	}
	return l.invalidate(ctx, l.next)
}

// invalidate voids every block from n on, and makes block n-1 the place to resume
// from.
func (l *lane) invalidate(ctx context.Context, n block.Number) error {
	l.checkpoints.cut(n)
	if err := l.save(ctx, state.LiveRunning, nil); err != nil { // no checkpoint above n may be remembered once it is void
		return err
	}
	h := entry.Header{
		Kind: entry.Invalidate, Epoch: l.spec.Epoch, Network: l.spec.Network,
		Range: block.Closed(n, max(n, l.writtenUpTo-min(l.writtenUpTo, 1))), Seen: now(),
	}
	if base := l.checkpoints.last(); base != nil && base.Number+1 == n {
		h.Prev = base.Hash
	}
	if err := l.publish(ctx, entry.Group{{Header: h}}); err != nil {
		return err
	}
	l.closed, l.next, l.writtenUpTo = l.seq, n, n
	return nil
}

// publish appends a group to the lane.
func (l *lane) publish(ctx context.Context, group entry.Group) error {
	first := group[0].Header
	id := fmt.Sprintf("%s/%d/%d/%s", queue.LiveLane, l.spec.Epoch, l.seq, l.holder)
	if err := l.put(ctx, l.seq, id, group); err != nil {
		return fmt.Errorf("publish %s of live blocks %v: %w", first.Kind, first.Range, err)
	}
	for _, e := range group {
		if e.Kind == entry.Data {
			l.writtenUpTo = max(l.writtenUpTo, e.Range.End)
			l.counts.add(e.Header)
		}
		if l.x.Observer != nil {
			l.x.Observer.Live(e.Header, len(e.Payload))
		}
	}
	return nil
}

// saveEvery is how old the copy of the lane's position may grow.
const saveEvery = 2 * time.Second

// save copies the lane's position to the state, if nobody else has written it since.
func (l *lane) save(ctx context.Context, phase state.LivePhase, cause error) error {
	p := state.LivePosition{
		Epoch: l.spec.Epoch, Seq: l.closed, Next: l.next, Points: l.checkpoints.list,
		Phase: phase, Reorgs: l.reorgs, Recent: l.recent,
	}
	if phase == state.LiveDone {
		p.Until = l.spec.MaxBlock
	}
	if cause != nil {
		p.Error = cause.Error()
	}
	tries := 0
	err := l.x.whileAway(ctx, func() error {
		tries++
		rev, err := l.x.State.SaveLivePosition(ctx, p, l.rev)
		if errors.Is(err, queue.ErrConflict) && tries > 1 {
			rev, err = l.saidBefore(ctx, p, err)
		}
		if err == nil {
			l.rev, l.saved = rev, time.Now()
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("write the position of the live lane: %w", err)
	}
	return nil
}

// saidBefore returns the revision of the position in the state if it is p, because only
// the answer to an earlier try was lost; otherwise it returns the conflict.
func (l *lane) saidBefore(ctx context.Context, p state.LivePosition, conflict error) (uint64, error) {
	is, rev, err := l.x.State.LivePosition(ctx)
	switch {
	case errors.Is(err, queue.ErrNotFound):
		return 0, conflict
	case err != nil:
		return 0, err
	}
	ours, err := json.Marshal(p)
	if err != nil {
		return 0, err
	}
	stored, err := json.Marshal(is)
	if err == nil && !bytes.Equal(stored, ours) {
		err = conflict
	}
	return rev, err
}

// whileAway repeats what needs NATS until it answers, or the task is lost: a lane that was
// given up would wait for its task, the queue of which may come back later than the log.
func (x *Extractor) whileAway(ctx context.Context, op func() error) error {
	var err error
	waited := false
	stopped := fault.Retry(ctx, fault.Backoff{Min: 100 * time.Millisecond, Max: time.Second}, func(context.Context) error {
		err = op()
		if fault.Of(err) == fault.ClassLater {
			return err
		}
		return nil // any other error is the caller's
	}, func(err error, _ time.Duration) {
		waited = true
		x.tellLive(err)
	})
	if waited && stopped == nil {
		x.tellLive(nil)
	}
	return err
}

// now returns the time in the resolution of an entry.
func now() time.Time { return time.UnixMicro(time.Now().UnixMicro()).UTC() }
