package status

import (
	"fmt"
	"slices"
	"time"

	"github.com/ampipe/ampipe/pkg/progress"
)

// calm returns the sentence about a pipeline without troubles, and what to do next.
func (p *Pipeline) calm(o Options) (sentence, next string) {
	h := p.History
	starting := slices.ContainsFunc(p.Sinks, func(s Sink) bool { return s.State == SinkStarting })
	loading := slices.ContainsFunc(p.Sinks, func(s Sink) bool { return s.State == SinkLoading })
	waiting := slices.ContainsFunc(p.Sinks, func(s Sink) bool { return s.State == SinkWaiting })
	switch {
	case !p.Planned:
		return "starting: it is not planned yet", ""
	case p.Complete:
		return fmt.Sprintf("complete: everything is loaded, blocks %s to %s", progress.Grouped(uint64(h.Start)), p.lastBlock()), ""
	case starting:
		return "starting: the sinks have not said yet how far they are", ""
	case loading:
		text := fmt.Sprintf("loading: %s of %s are in every destination", p.percent(), progress.Counted(h.Blocks, "block"))
		if h.Seconds > 0 {
			text += ", " + progress.Duration(time.Duration(h.Seconds*float64(time.Second))) + " left"
		}
		return text, ""
	case waiting:
		reason := "the live lane is about to begin"
		for _, n := range p.Notes {
			if n.Part == "start of the live lane" {
				reason = n.Text
			}
		}
		return "loaded; " + reason, ""
	case slices.ContainsFunc(p.Sinks, func(s Sink) bool { return s.State == SinkComplete && s.Indexing != nil }):
		return "loaded; indexes are being built", ""
	case p.Live == nil:
		return "loaded; the last blocks are being counted", ""
	default:
		return "live; everything loaded; " + p.behind(), ""
	}
}

// lastBlock returns the last block of a pipeline that is complete.
func (p *Pipeline) lastBlock() string {
	end := p.History.End
	if p.Live != nil && p.Live.Watermark != nil {
		end = max(end, *p.Live.Watermark+1)
	}
	return progress.Grouped(uint64(max(end, 1) - 1))
}

// percent returns how much of the history every destination has.
func (p *Pipeline) percent() string { return Percent(p.History.Loaded, p.History.Blocks) }

// Percent writes a share for people. Not all is not "100 %".
func Percent(have, all uint64) string {
	if all == 0 || have >= all {
		return "100 %"
	}
	return fmt.Sprintf("%d %%", min(99, uint64(float64(have)*100/float64(all))))
}

// behind says how far the slowest sink is behind the log.
func (p *Pipeline) behind() string {
	return progress.Duration(p.worstBehind()) + " behind"
}

// Behind returns how long live blocks take, or wait, until the sink has them.
func (s Sink) Behind() time.Duration {
	return time.Duration(max(s.LagSeconds, s.Latency) * float64(time.Second))
}
