package status

import "github.com/ampipe/ampipe/pkg/progress"

// Judgement returns how the pipeline is for those that show it beside what they measure: the
// progress line and the metrics of a process.
func (p *Pipeline) Judgement() progress.Judgement {
	j := progress.Judgement{Level: string(p.Level), Sentence: p.Sentence, Sinks: map[string]string{}}
	for _, level := range []Level{Healthy, Degraded, Failed} {
		j.Levels = append(j.Levels, string(level))
	}
	for _, state := range []SinkState{SinkStarting, SinkLoading, SinkWaiting, SinkLive, SinkComplete, SinkPaused, SinkStopped, SinkGone} {
		j.States = append(j.States, string(state))
	}
	for _, s := range p.Sinks {
		j.Sinks[s.Name] = string(s.State)
	}
	return j
}
