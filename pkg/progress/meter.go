// Package progress measures what happens in a pipeline: counters for metrics,
// and a line for people.
package progress

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/health"
)

// Meter collects what one process sees of one pipeline. It is safe for
// concurrent use.
type Meter struct {
	CommitDelay time.Duration // how long a sink may gather entries before it commits them; set before use
	// Say is called with what is to be logged about waits; nil: nothing is. It must not call the
	// meter. Set before use.
	Say func(WaitNote)

	mu        sync.Mutex
	started   time.Time
	history   block.Range
	extracted block.Set              // blocks in the log
	reading   map[string]block.Range // of partitions, by claim
	rows      uint64                 // appended to the log since the start
	bytes     uint64                 // of entries as published
	speed     speed                  // of appending
	sinks     map[string]*sinkMeter
	condition condition
	saying    <-chan struct{} // closed: nothing is said any more
	parts     map[string]bool // kinds of parts that have waited or resumed
	live      liveMeter
	judged    judged
	overview  *Overview // nil: no planner of this process has reconciled yet
	planned   bool      // history is known
	extracts  bool      // this process reads from Amp
	spans     func() (sent, lost uint64)
	now       func() time.Time
}

type sinkMeter struct {
	rows    uint64 // written since the start
	applies bool   // this process writes to the destination
	commits commits
	refused uint64  // rows that became dead letters since the start
	letters *uint64 // that there are; nil: not known
	covered uint64  // blocks of the history in the destination
	first   uint64  // of them, those that were there at the start
	known   bool    // covered has been read
	speed   speed
	live    liveSink
	behind  lag
	stopped stop // for good; without a reason: it has not
	judged  bool // stopped is known
}

// NewMeter starts to measure now. The sinks are those of the configuration.
func NewMeter(sinks ...string) *Meter {
	m := &Meter{
		now: time.Now, sinks: map[string]*sinkMeter{}, reading: map[string]block.Range{},
		condition: newCondition(), parts: map[string]bool{},
	}
	m.judged.stale = make(chan struct{}, 1)
	m.started = m.now()
	for _, name := range sinks {
		m.sinks[name] = &sinkMeter{}
	}
	return m
}

// Planned sets which blocks are wanted, and which of them the log has had.
func (m *Meter) Planned(history block.Range, extracted block.Set) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.planned, m.history = true, history
	m.extracted.AddAll(extracted)
}

// Reading sets which blocks of a partition the worker reads that has claimed it; none: it has
// stopped.
func (m *Meter) Reading(claim string, blocks block.Range) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if blocks.Empty() {
		delete(m.reading, claim)
		return
	}
	m.reading[claim] = blocks
}

// BeingRead returns the blocks of the partitions that are being read.
func (m *Meter) BeingRead() block.Set {
	m.mu.Lock()
	defer m.mu.Unlock()
	return block.NewSet(slices.Collect(maps.Values(m.reading))...)
}

// CountSpans has the metrics say how many spans of traces were sent, and how many were lost.
func (m *Meter) CountSpans(counts func() (sent, lost uint64)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.spans = counts
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
	m.condition.moved = m.now()
}

// Applied counts rows that a sink has committed.
func (m *Meter) Applied(sink string, rows uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.sink(sink)
	s.applies = true
	s.rows += rows
	s.speed.add(m.now(), rows)
	part := "sink " + sink
	if w := m.condition.waits[part]; w.Kind == health.InTurn { // its transactions take turns
		w.Since = m.now()
		m.condition.waits[part] = w
	}
}

// Covered sets how many blocks of the history a destination holds.
func (m *Meter) Covered(sink string, blocks uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.sink(sink)
	if !s.known {
		s.known, s.first = true, blocks
	}
	s.covered = blocks
}

// Rows returns the rows written by a sink since the start.
func (m *Meter) Rows(sink string) uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.sink(sink).rows
}

func (m *Meter) sink(name string) *sinkMeter {
	s := m.sinks[name]
	if s == nil {
		s = &sinkMeter{}
		m.sinks[name] = s
	}
	return s
}
