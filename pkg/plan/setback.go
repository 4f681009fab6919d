package plan

import (
	"context"

	"github.com/ampipe/ampipe/pkg/queue"
)

// surely is how many reports have to say so before a sink counts as set back: the
// first may be of a moment before what it lacks was committed.
const surely = 2

// lagging is a sink whose last live entry lies below what it has acknowledged.
type lagging struct {
	seq     uint64 // of the entry
	floor   uint64 // what was acknowledged when that was first seen
	report  uint64 // revision of the report that said so last
	reports int    // how many have said so since
}

// setBack tells whether a destination has lost live entries that it had committed, by
// a backup that was restored or a replica that was promoted without them. They were
// acknowledged, so the log does not deliver them again, and nothing can follow them.
func (w *watcher) setBack(ctx context.Context, sink SinkStatus) (bool, error) {
	mark := sink.Report.Live
	if mark.Epoch != w.spec.Epoch || sink.Live.AckFloor <= mark.Seq {
		delete(w.lagging, sink.Name)
		return false, nil
	}
	seen, before := w.lagging[sink.Name]
	if !before || seen.seq != mark.Seq {
		w.lagging[sink.Name] = lagging{seq: mark.Seq, floor: sink.Live.AckFloor, report: sink.rev}
		return false, nil
	}
	if sink.rev == seen.report {
		return false, nil
	}
	seen.report = sink.rev
	seen.reports++
	w.lagging[sink.Name] = seen
	if seen.reports < surely {
		return false, nil
	}
	// The floor may lie above the lane: whether there is an entry below it is told by
	// the log.
	next, err := w.Log.Next(ctx, queue.LiveLane, mark.Seq+1)
	return err == nil && next.Found && next.Seq <= seen.floor, err
}
