// Package progress knows what has happened in a pipeline: counters for metrics,
// and a line for people.
package progress

import (
	"maps"
	"sync"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
)

// Meter gathers what one process sees of one pipeline. It is safe for
// concurrent use.
type Meter struct {
	mu        sync.Mutex
	started   time.Time
	history   block.Range
	extracted block.Set // blocks in the log
	rows      uint64    // appended to the log since the start
	bytes     uint64    // of entries as published
	speed     speed     // of appending
	sinks     map[string]*sinkMeter
	waits     map[string]string    // part of the pipeline -> what it waits for
	since     map[string]time.Time // the same, since when; a zero time stands for a kind of part that waits no more
	failure   string               // what ended the pipeline
	live      liveMeter
	overview  *Overview // nil: this process has no planner that has looked yet
	planned   bool      // history is known
	extracts  bool      // this process reads from Amp
	now       func() time.Time
}

type sinkMeter struct {
	rows    uint64 // written since the start
	applies bool   // this process writes to the destination
	commits commits
	covered uint64 // blocks of the history in the destination
	first   uint64 // of them, those that were there at the start
	known   bool   // covered has been read
	speed   speed
	live    liveSink
	stopped string // why it has stopped for good; empty: it has not
	judged  bool   // stopped is known
}

// NewMeter starts to measure now. The sinks are those of the configuration.
func NewMeter(sinks ...string) *Meter {
	m := &Meter{now: time.Now, sinks: map[string]*sinkMeter{}, waits: map[string]string{}, since: map[string]time.Time{}}
	m.started = m.now()
	for _, name := range sinks {
		m.sinks[name] = &sinkMeter{}
	}
	return m
}

// Planned tells what blocks are wanted, and which of them the log has had.
func (m *Meter) Planned(history block.Range, extracted block.Set) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.planned, m.history = true, history
	m.extracted.AddAll(extracted)
}

// Published counts an entry that is in the log.
func (m *Meter) Published(r block.Range, rows, bytes int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.extracts = true
	m.extracted.Add(r)
	m.rows += uint64(rows)
	m.bytes += uint64(bytes)
	m.speed.add(m.now(), uint64(rows))
}

// Applied counts rows that a sink has committed.
func (m *Meter) Applied(sink string, rows uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.sink(sink)
	s.applies = true
	s.rows += rows
	s.speed.add(m.now(), rows)
}

// Covered tells how many blocks of the history a destination holds.
func (m *Meter) Covered(sink string, blocks uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.sink(sink)
	if !s.known {
		s.known, s.first = true, blocks
	}
	s.covered = blocks
}

// Waiting tells that a part of the pipeline waits, and for what; an empty
// reason says that it goes on.
func (m *Meter) Waiting(part, reason string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.waitsSince(part, reason != "")
	if reason == "" {
		delete(m.waits, part)
		return
	}
	m.waits[part] = reason
}

// Waits gives what is waited for, by part of the pipeline.
func (m *Meter) Waits() map[string]string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.waits)
}

// Stopped tells that a sink has stopped for good, and why; an empty reason says
// that it is running again.
func (m *Meter) Stopped(sink, reason string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.sink(sink)
	s.stopped, s.judged = reason, true
}

// Failed tells that the pipeline has ended because of an error, and which.
func (m *Meter) Failed(reason string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.failure = reason
	clear(m.waits)
	clear(m.since)
}

// Stops returns what has stopped for good, with the reasons: sinks, by "sink NAME",
// and the whole, as "pipeline".
func (m *Meter) Stops() map[string]string {
	m.mu.Lock()
	defer m.mu.Unlock()
	stops := map[string]string{}
	for name, s := range m.sinks {
		if s.stopped != "" {
			stops["sink "+name] = s.stopped
		}
	}
	if m.failure != "" {
		stops["pipeline"] = m.failure
	}
	return stops
}

// Rows gives the rows written by a sink since the start.
func (m *Meter) Rows(sink string) uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.sink(sink).rows
}

// Elapsed is the time since the start.
func (m *Meter) Elapsed() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.now().Sub(m.started)
}

func (m *Meter) sink(name string) *sinkMeter {
	s := m.sinks[name]
	if s == nil {
		s = &sinkMeter{}
		m.sinks[name] = s
	}
	return s
}
