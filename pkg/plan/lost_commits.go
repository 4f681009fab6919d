package plan

import (
	"context"
	"fmt"
	"time"

	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/state"
)

// confirmingReadings is how many readings of a destination have to show lost commits
// before they count: the first may be of a moment before what is missing was committed.
const confirmingReadings = 2

// lagging is a sink whose destination seems to lack what the sink has acknowledged.
type lagging struct {
	epoch    uint64 // of the plan
	mark     state.LiveState
	tail     uint64    // of the lane, for a sink that may begin with any entry
	read     time.Time // the destination last
	readings int       // since it was first seen
}

// missingLiveEntry returns why the live entry that a sink needs next will not come; empty:
// it will, or there is none. An entry of another epoch than the plan's is of a lane that has
// not begun again yet.
func (l *liveStep) missingLiveEntry(ctx context.Context, position state.LivePosition, tail queue.Tail, sink SinkStatus) (string, error) {
	begun := position.Epoch == l.spec.Epoch
	mark := sink.Report.Live
	after := uint64(0) // the lane's beginning
	if mark.Started && mark.Epoch == l.spec.Epoch {
		after = mark.Seq
	}
	next, err := l.Log.Next(ctx, queue.LiveLane, after+1)
	if err != nil {
		return "", err
	}
	damaged := next.Damaged != nil && !entry.Newer(next.Damaged) // a newer one is reported by the sink
	lacks := false
	switch {
	case !next.Found:
		lacks = after > 0 && begun && l.unfinished(position, sink)
	case next.Damaged == nil && next.Entry.Epoch != l.spec.Epoch, damaged && !begun:
	case !mark.Started: // it may begin with any entry, but not when it has dealt with all
		lacks = begun && tail.Seq <= sink.Live.AckFloor
		after = tail.Seq
	case damaged:
		return fmt.Sprintf("entry %d of the live lane, which sink %s needs next, is damaged", next.Seq, sink.Name), nil
	case next.After != after:
		return fmt.Sprintf("sink %s lacks live entries that the log has no more: "+
			"entry %d follows entry %d, and it has come to entry %d of epoch %d",
			sink.Name, next.Seq, next.After, mark.Seq, mark.Epoch), nil
	default:
		lacks = next.Seq <= sink.Live.AckFloor
	}
	if !l.confirmed(sink, after, lacks) {
		return "", nil
	}
	return fmt.Sprintf("the destination of sink %s lacks live entries that the sink has acknowledged: "+
		"a backup was restored, a replica was promoted without them, or one of them is damaged",
		sink.Name), nil
}

// unfinished reports whether a lane that has reached max_block ends, for a sink, before
// that: the log has lost its last entries.
func (l *liveStep) unfinished(position state.LivePosition, sink SinkStatus) bool {
	if position.Phase != state.LiveDone || l.spec.MaxBlock == nil || !sink.Live.Drained() {
		return false
	}
	rest := l.spec.History
	rest.Start, rest.End = sink.Report.Live.After(), *l.spec.MaxBlock
	return !sink.Report.Coverage.Covers(rest)
}

// confirmed reports whether a sink has lacked the same for so many readings of its
// destination that it is certain. at is what else must not change meanwhile.
func (l *liveStep) confirmed(sink SinkStatus, at uint64, lacks bool) bool {
	if !lacks {
		delete(l.lagging, sink.Name)
		return false
	}
	read := readAt(sink.Report)
	now := lagging{epoch: l.spec.Epoch, mark: sink.Report.Live, tail: at, read: read}
	seen, before := l.lagging[sink.Name]
	if before && seen.epoch == now.epoch && seen.mark == now.mark && seen.tail == now.tail {
		now.readings = seen.readings
		if !read.Equal(seen.read) {
			now.readings++
		}
	}
	l.lagging[sink.Name] = now
	return now.readings >= confirmingReadings
}
