package progress

import (
	"slices"
	"strings"
	"time"

	"github.com/ampipe/ampipe/pkg/health"
)

// Judgement is how a pipeline is as a whole, in the words of package status, which makes it.
type Judgement struct {
	Level    string // one of Levels
	Sentence string
	Sinks    map[string]string // the state of each sink, one of States

	Levels, States []string // that there are
}

// Settles is how long after a change in this process a judgement may not know of it: it is
// made of what processes have written of themselves.
const Settles = 6 * time.Second

// judged is the last judgement, and when it and what it is compared with came.
type judged struct {
	Judgement
	at      time.Time // zero: there is none
	changed time.Time // when a wait or a stop of this process began or ended last
	state   State     // of this process when it came
	stale   chan struct{}
}

// Judge sets how the pipeline is as a whole.
func (m *Meter) Judge(j Judgement) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.judged.Judgement, m.judged.at = j, m.now()
	m.judged.state = m.measured(m.judged.at).state()
}

// changes notes that a wait or a stop has begun or ended.
func (m *Meter) changes() {
	m.judged.changed = m.now()
	select {
	case m.judged.stale <- struct{}{}:
	default:
	}
}

// Stale returns a channel that receives when a wait or a stop of this process has begun or
// ended, which a judgement knows of that is made [Settles] later.
func (m *Meter) Stale() <-chan struct{} { return m.judged.stale }

// sentence returns the sentence about the whole, or "" while none is known that knows of what
// this process has met and of the state that it has now.
func (m *Meter) sentence(now State) string {
	if m.judged.at.IsZero() || m.judged.state != now || m.judged.at.Before(m.judged.changed.Add(Settles)) {
		return ""
	}
	return m.judged.Sentence
}

// unsaid returns waits without those of which the sentence speaks.
func unsaid(sentence string, waits []health.Wait) []health.Wait {
	return slices.DeleteFunc(slices.Clone(waits), func(w health.Wait) bool { return sentence != "" && strings.Contains(sentence, w.Reason) })
}

var (
	descState = newDesc("ampipe_state", "1 for the level that the pipeline has as a whole, else 0.", "state")
	descSink  = newDesc("ampipe_sink_state", "1 for the state that the sink has, else 0.", "sink", "state")
)

// collectJudgement sends how the pipeline is as a whole.
func (m *Meter) collectJudgement(send sender) {
	j := m.judged
	if j.at.IsZero() {
		return
	}
	for _, level := range j.Levels {
		send.gauge(descState, truth(level == j.Level), level)
	}
	for sink, is := range j.Sinks {
		for _, state := range j.States {
			send.gauge(descSink, truth(state == is), sink, state)
		}
	}
}
