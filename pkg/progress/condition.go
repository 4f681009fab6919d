package progress

import (
	"time"

	"github.com/ampipe/ampipe/pkg/health"
)

// condition is what a process knows of the health of a pipeline, for [Meter.Health].
type condition struct {
	waits   map[string]wait       // by part of the pipeline
	groups  map[string]*waitGroup // by kind of part
	failure stop                  // what ended the pipeline
	gaveUp  stop                  // what of the history could not be read
	stages  map[string]health.Stage
	loops   map[string]time.Time // when each came round last
	moved   time.Time            // when the log last took an entry, or got room
}

// stop is why, and since when, something has stopped for good.
type stop struct {
	reason string
	since  time.Time
}

func newCondition() condition {
	return condition{
		waits: map[string]wait{}, groups: map[string]*waitGroup{},
		stages: map[string]health.Stage{}, loops: map[string]time.Time{},
	}
}

// Waiting records that a part of the pipeline waits, and for what; with an empty reason it has
// resumed.
func (m *Meter) Waiting(part, reason string) { m.WaitingFor(health.Fault, part, reason) }

// Moved records that the log has got room.
func (m *Meter) Moved() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.condition.moved = m.now()
}

// Stopped records that a sink has stopped for good, and why; with an empty reason it
// runs again. One that has stopped waits for nothing, and has not resumed.
func (m *Meter) Stopped(sink, reason string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.sink(sink)
	if reason != s.stopped.reason {
		m.changes()
	}
	if reason == "" || s.stopped.reason == "" {
		s.stopped = stop{since: m.now()}
	}
	s.stopped.reason, s.judged = reason, true
	if part := "sink " + sink; reason != "" {
		delete(m.condition.waits, part)
		delete(m.condition.groups, part)
	}
}

// Failed records that the pipeline has ended because of an error, and which.
func (m *Meter) Failed(reason string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.condition.failure = stop{reason, m.now()}
	clear(m.condition.waits)
	clear(m.condition.groups)
	clear(m.parts)
	clear(m.condition.loops)
}

// GaveUp sets which blocks of the history could not be read; empty: none.
func (m *Meter) GaveUp(blocks string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	g := &m.condition.gaveUp
	if blocks == "" || g.reason == "" {
		g.since = m.now()
	}
	g.reason = blocks
}

// Stops returns what has stopped for good, with the reasons: sinks, by "sink NAME",
// and the whole, as "pipeline".
func (m *Meter) Stops() map[string]string {
	m.mu.Lock()
	defer m.mu.Unlock()
	stops := map[string]string{}
	for _, s := range m.stops() {
		stops[s.Part] = s.Reason
	}
	return stops
}

func (m *Meter) stops() []health.Stop {
	var stops []health.Stop
	for name, s := range m.sinks {
		if s.stopped.reason != "" {
			stops = append(stops, health.Stop{Part: "sink " + name, Reason: s.stopped.reason, Since: s.stopped.since})
		}
	}
	if f := m.condition.failure; f.reason != "" {
		stops = append(stops, health.Stop{Part: "pipeline", Reason: f.reason, Since: f.since})
	}
	return stops
}

// Unready records that a stage runs in this process, and why it is not ready.
func (m *Meter) Unready(stage, reason string) { m.unready(stage, reason, 0) }

// Lacks records that a stage is not ready because so many blocks of its history are
// missing.
func (m *Meter) Lacks(stage, reason string, blocks uint64) { m.unready(stage, reason, blocks) }

func (m *Meter) unready(stage, reason string, blocks uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, before := m.condition.stages[stage]
	if !before || s.Unready == "" {
		s = health.Stage{Name: stage, Since: m.now()}
	}
	s.Unready, s.Missing = reason, blocks
	m.condition.stages[stage] = s
}

// Ready records that a stage is ready, while no wait of the kinds that it needs is wrong.
func (m *Meter) Ready(stage string, needs ...health.Kind) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.condition.stages[stage] = health.Stage{Name: stage, Needs: needs}
}

// Heartbeat records that a loop runs and has come round again.
func (m *Meter) Heartbeat(part string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.condition.loops[part] = m.now()
}

// Ended records that a loop has ended.
func (m *Meter) Ended(part string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.condition.loops, part)
}

// Health returns the health of the pipeline, as far as the process knows it.
func (m *Meter) Health(name string) health.Pipeline {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := health.Pipeline{
		Name: name, Moved: m.condition.moved, CommitDelay: m.CommitDelay,
		Waits: m.waits(), Stops: m.stops(),
	}
	p.Sentence = m.sentence(m.measured(m.now()).state())
	if p.Sentence != "" {
		p.Level = m.judged.Level
	}
	for _, s := range m.condition.stages {
		for _, stop := range p.Stops {
			if stop.Part == s.Name || stop.Part == "pipeline" {
				s.Unready, s.Missing, s.Since = "it has stopped: "+stop.Reason, 0, stop.Since
			}
		}
		p.Stages = append(p.Stages, s)
	}
	if g := m.condition.gaveUp; g.reason != "" {
		p.Stops = append(p.Stops, health.Stop{Part: "history", Reason: g.reason, Since: g.since})
	}
	for part, last := range m.condition.loops {
		p.Loops = append(p.Loops, health.Loop{Part: part, Last: last})
	}
	return p
}
