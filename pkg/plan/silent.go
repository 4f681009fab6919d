package plan

import (
	"context"
	"fmt"
	"time"

	"github.com/ampipe/ampipe/pkg/state"
)

// silentAfter is how long live entries may wait for a sink that applies none and reports
// no reason. It is longer than a sink takes to report one.
const silentAfter = 45 * time.Second

// stillness is a sink's position in the live lane, and since when it is there.
type stillness struct {
	mark     state.LiveState
	floor    uint64
	since    time.Time
	report   uint64 // revision of the last report
	reported time.Time
}

// waitsStep writes into the status of each sink why live entries wait for it, if it
// does not say so itself: its processes are gone, or do not know.
type waitsStep struct {
	*reconciler
	still map[string]stillness // by sink
}

func (w *waitsStep) run(_ context.Context, now *round) error {
	for i := range now.Sinks {
		now.Sinks[i].Waits = w.stillness(now.Sinks[i], time.Now())
	}
	return nil
}

// stillness returns why live entries wait for a sink; empty: none do, or it is
// reported elsewhere.
func (w *waitsStep) stillness(sink SinkStatus, now time.Time) string {
	waiting := sink.Live.Unread()
	if waiting == 0 || w.sinkStopped(sink.Name) {
		delete(w.still, sink.Name)
		return ""
	}
	s, before := w.still[sink.Name]
	if !before || s.mark != sink.Report.Live || s.floor != sink.Live.AckFloor {
		s.mark, s.floor, s.since = sink.Report.Live, sink.Live.AckFloor, now
	}
	if !before || s.report != sink.rev {
		s.report, s.reported = sink.rev, now
	}
	w.still[sink.Name] = s
	patience := silentAfter + w.commitDelay(sink.Name)
	at := s.since.UTC().Format(time.TimeOnly)
	switch {
	case now.Sub(s.since) < patience:
		return ""
	case sink.Report.State == state.SinkFailed:
		return fmt.Sprintf("it has stopped, and %d live entries wait for it: %s", waiting, sink.Report.Reason)
	case now.Sub(s.reported) >= silentAfter:
		return fmt.Sprintf("it has not reported since %s UTC, and %d live entries wait for it: is it running?",
			s.reported.UTC().Format(time.TimeOnly), waiting)
	case sink.Report.Reason != "":
		return "" // it reports that itself
	default:
		return fmt.Sprintf("%d live entries wait for it, and it has applied none since %s UTC; its last is entry %d of epoch %d",
			waiting, at, s.mark.Seq, s.mark.Epoch)
	}
}

// commitDelay returns how long a sink may gather entries before it commits them. One
// that only other planners' configurations have commits without delay, as far as is known.
func (w *waitsStep) commitDelay(sink string) time.Duration {
	for _, c := range w.Config.Sinks {
		if c.Name == sink {
			return c.CommitDelay()
		}
	}
	return 0
}
