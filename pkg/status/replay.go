package status

import (
	"time"

	"github.com/ampipe/ampipe/pkg/plan"
	"github.com/ampipe/ampipe/pkg/progress"
	"github.com/ampipe/ampipe/pkg/state"
)

// replay returns the replay of a sink, if one is asked for that is not done.
func (p *Pipeline) replay(f Facts, facts SinkFacts) *Replay {
	asked := facts.Replay
	r := &Replay{
		State: ReplayRuns, Step: string(asked.Step), Blocks: asked.Blocks.Len(), Asked: asked.Asked, Error: asked.Error,
		Left: plan.ReplayLeft(asked, *f.Spec, facts.Report),
	}
	switch {
	case asked.UnderWay() && (asked.Worker == "" || p.runs(stageSink(facts.Name)) == nil):
		r.State = ReplayWaits
	case asked.UnderWay():
	case asked.Step == state.ReplayFailed:
		r.State = ReplayFailed
	case asked.Step == state.ReplayDone && r.Left > 0:
		r.Step = "load"
	default:
		return nil
	}
	return r
}

// judgeReplays says how far replays are, and finds those that nobody carries out.
func (p *Pipeline) judgeReplays(o Options) {
	for _, s := range p.Sinks {
		r := s.Replay
		if r == nil {
			continue
		}
		part := "replay of sink " + s.Name
		runs := p.runs(stageSink(s.Name)) != nil
		switch {
		case r.State == ReplayFailed:
			p.trouble(Degraded, part, "mend the cause, then ask again: ampipe replay "+s.Name+" …", time.Time{},
				"the replay of %s has failed: %s", s.Name, r.Error)
		case r.State == ReplayWaits && !runs:
			p.trouble(Degraded, part, p.startAdvice(o, stageSink(s.Name), ""), r.Asked,
				"a replay of %s of %s waits, and no process runs the sink", progress.Counted(r.Blocks, "block"), s.Name)
		case s.ByRequest:
			p.note(part, r.Asked, "a replay of %s of %s begins when the sink is resumed", progress.Counted(r.Blocks, "block"), s.Name)
		case r.State == ReplayWaits:
			p.note(part, r.Asked, "a replay of %s of %s begins within seconds", progress.Counted(r.Blocks, "block"), s.Name)
		default:
			does := map[string]string{
				string(state.ReplayRemoves): "removes them", string(state.ReplayReads): "reads the log", "load": "reads them from Amp",
			}[r.Step]
			p.note(part, r.Asked, "a replay of %s of %s %s; %s to load", progress.Counted(r.Blocks, "block"), s.Name, does, progress.Grouped(r.Left))
		}
	}
}
