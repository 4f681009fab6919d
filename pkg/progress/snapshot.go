package progress

import (
	"maps"
	"slices"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/health"
)

// Snapshot is the state of a pipeline at one moment, as far as a process knows it.
type Snapshot struct {
	Line string // all of it in one line

	// Sentence is the whole in the words of ampipe status, if this process knows it.
	Sentence string
	State    State
	Failure  string // why it has failed
	Waits    []health.Wait

	Planned    bool // Blocks is known
	Done       uint64
	Blocks     uint64        // of the history
	Left       time.Duration // until the history is complete; 0: unknown
	Rows       uint64        // appended to the log
	RowsPerSec float64       // of the log
	Sinks      []SinkSnapshot
	Live       string        // where the slowest sink is, for people; empty: the chain is not followed
	LiveBlock  *block.Number // nil: unknown
	LiveBehind time.Duration
	Reorgs     uint64
}

// SinkSnapshot is the state of a sink.
type SinkSnapshot struct {
	Name        string
	Active      bool   // something is known about it
	Stopped     string // why it has stopped for good
	Rows        uint64
	RowsPerSec  float64
	Behind      time.Duration
	BehindKnown bool
	Latency     time.Duration // from hearing of the last live blocks to their commit; 0: unknown
}

// State is what a pipeline does.
type State string

// The states of a pipeline. The first of them that holds counts.
const (
	StateFailed   State = "failed"
	StateStopped  State = "a sink has stopped"
	StateWaiting  State = "waiting"
	StateLoading  State = "loading"
	StateLive     State = "live"
	StateComplete State = "complete"
	StateStarting State = "starting"
)

// Snapshot returns the state of the pipeline now.
func (m *Meter) Snapshot() Snapshot {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	s := m.measured(now)
	s.State = s.state()
	s.Sentence = m.sentence(s.State)
	s.Line = m.line(now, s.Sentence)
	return s
}

// measured returns what a snapshot is made of.
func (m *Meter) measured(now time.Time) Snapshot {
	s := Snapshot{
		Failure: m.condition.failure.reason, Waits: m.waits(),
		Planned: m.planned, Blocks: m.history.Len(), Rows: m.rows, Live: m.livePart(now), Reorgs: m.live.reorgs,
	}
	if m.rows > 0 {
		s.RowsPerSec = m.speed.perSecond(now)
	}
	if s.Blocks > 0 {
		s.Done, s.Left = m.slowest(now)
	}
	if slowest := m.slowestLive(); slowest != nil {
		number := slowest.number
		s.LiveBlock, s.LiveBehind = &number, slowest.behind
	}
	for _, name := range slices.Sorted(maps.Keys(m.sinks)) {
		sink := m.sinks[name]
		one := SinkSnapshot{
			Name: name, Stopped: sink.stopped.reason, Rows: sink.rows, RowsPerSec: sink.speed.perSecond(now),
			Active: sink.rows > 0 || (sink.known && m.rows > 0), Latency: sink.live.behind,
		}
		one.Behind, one.BehindKnown = sink.lag(now)
		s.Sinks = append(s.Sinks, one)
	}
	return s
}

func (s Snapshot) state() State {
	faulty := slices.ContainsFunc(s.Waits, func(w health.Wait) bool { return !w.Kind.InOrder() })
	switch {
	case s.Failure != "":
		return StateFailed
	case s.stopped() > 0:
		return StateStopped
	case faulty:
		return StateWaiting
	case s.Blocks > s.Done:
		return StateLoading
	case s.Live != "":
		return StateLive
	case s.Planned:
		return StateComplete
	case s.Rows > 0 || slices.ContainsFunc(s.Sinks, func(s SinkSnapshot) bool { return s.Rows > 0 }):
		return StateLoading // in a process that runs one stage
	default:
		return StateStarting
	}
}

// stopped returns how many sinks have stopped for good.
func (s Snapshot) stopped() (n int) {
	for _, sink := range s.Sinks {
		if sink.Stopped != "" {
			n++
		}
	}
	return n
}

// logEvery is how often the progress is logged where there is no terminal.
const logEvery = 15 * time.Second

// ProgressLogger returns a function that is to be called every second. It calls say every
// 15 s, and at once when the pipeline has another state, or another sink has stopped.
func (m *Meter) ProgressLogger(say func(Snapshot)) func() {
	last := Snapshot{State: StateStarting}
	at := m.now()
	return func() {
		now, s := m.now(), m.Snapshot()
		if s.State == last.State && s.stopped() == last.stopped() && now.Sub(at) < logEvery {
			return
		}
		last, at = s, now
		say(s)
	}
}
