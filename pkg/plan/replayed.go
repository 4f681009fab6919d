package plan

import (
	"github.com/ampipe/ampipe/pkg/state"
)

// ReplayLeft returns how many blocks of a replay are still to be loaded into the
// destination of a sink, by its last report. Blocks that the pipeline does not load are only
// removed.
func ReplayLeft(r state.Replay, spec state.Spec, report state.SinkReport) (left uint64) {
	if r.Step == state.ReplayRemoves {
		return r.Blocks.Len()
	}
	wanted := Wanted(spec, report.Live)
	for _, blocks := range r.Blocks.Ranges() {
		for _, lacking := range report.Coverage.Missing(blocks.Intersect(wanted)) {
			left += lacking.Len()
		}
	}
	return left
}

// Replaying is how far the replay of a sink is.
type Replaying struct {
	Blocks, Left uint64 // of one that is not done; 0: there is none
	Failed       bool
}

// replayingOf returns how far a replay is.
func replayingOf(r state.Replay, spec state.Spec, report state.SinkReport) Replaying {
	left := ReplayLeft(r, spec, report)
	switch {
	case r.Step == state.ReplayFailed:
		return Replaying{Failed: true}
	case r.UnderWay(), r.Step == state.ReplayDone && left > 0:
		return Replaying{Blocks: r.Blocks.Len(), Left: left}
	default:
		return Replaying{}
	}
}
