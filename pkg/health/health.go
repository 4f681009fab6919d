// Package health answers what operators ask of a process:
// whether it has to be restarted, whether it is ready, and what it waits for. The
// rules by which each is judged are here and nowhere else.
package health

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Kind is why something is waited for.
type Kind int

const (
	// Fault is a wait for something that is to be there and is not. It is short at
	// first, and wrong when it has lasted for [Patience].
	Fault Kind = iota
	// NATSAway is a [Fault] of NATS, which every stage needs.
	NATSAway
	// AmpAway is a [Fault] of Amp, which extractors need.
	AmpAway
	// PlannerFails is a [Fault] of what the planner needs to reconcile the pipeline.
	PlannerFails
	// BackPressure is a log that is full because it is read faster from Amp than a
	// destination takes it. It is wrong when nothing has moved for [Standstill].
	BackPressure
	// InTurn is a sink that waits for another transaction of ampipe which writes to the same
	// destination. It is wrong when the sink has committed nothing for [Standstill].
	InTurn
	// Expected is a wait that belongs to what was asked for, however long it lasts:
	// for blocks that the chain does not have yet, or for the history.
	Expected
)

const (
	// Patience is how long a fault may last before it is an error: restarts,
	// elections and short cuts pass by themselves.
	Patience = 30 * time.Second
	// Standstill is how long a full log may stay as it is, or a sink may wait for other
	// transactions, beside the time that a sink may gather entries before it commits them.
	Standstill = 2 * time.Minute
	// HungAfter is how long a loop that comes round every few seconds may take. What
	// it calls has time limits of seconds and minutes, so that it hangs after that.
	HungAfter = 15 * time.Minute
)

// InOrder reports whether a wait of the kind is in order unless nothing moves for long.
func (k Kind) InOrder() bool { return k == BackPressure || k == InTurn || k == Expected }

// Wait is what a part of a pipeline waits for.
type Wait struct {
	Part   string
	Reason string
	Kind   Kind
	Since  time.Time
}

// Stop is a part of a pipeline that has stopped for good.
type Stop struct {
	Part   string
	Reason string
	Since  time.Time
}

// Stage is a stage of a pipeline that runs in this process.
type Stage struct {
	Name    string
	Unready string    // why it is not ready; empty: it is, while nothing fails that it needs
	Missing uint64    // blocks of its history, if that is why
	Since   time.Time // of Unready
	Needs   []Kind    // it is not ready while a wait of one of these kinds is wrong
}

// Loop is work that comes round again and again.
type Loop struct {
	Part string
	Last time.Time // when it came round last
}

// Pipeline is what a process knows of one pipeline.
type Pipeline struct {
	Name        string
	Level       string // of Sentence, as ampipe status has it
	Sentence    string // how the pipeline is as a whole, in the words of ampipe status; empty: this process does not know that now
	Waits       []Wait
	Stops       []Stop
	Stages      []Stage
	Loops       []Loop
	Moved       time.Time     // when the log last took an entry, or got room
	CommitDelay time.Duration // how long a sink may gather entries before it commits them
}

// State is how a part is.
type State string

const (
	// StateExpected is a wait that is in order.
	StateExpected State = "expected"
	// StateBackPressure is a wait for destinations that are slower than Amp, or for another
	// transaction of ampipe in one.
	StateBackPressure State = "back-pressure"
	// StateWaiting is a wait that is short so far.
	StateWaiting State = "waiting"
	// StateFailing is a wait that has lasted too long. It may still end by itself.
	StateFailing State = "failing"
	// StateStopped is a part that does not resume by itself.
	StateStopped State = "stopped"
	// StateUnready is a stage that is not ready.
	StateUnready State = "not ready"
	// StateHung is a loop that does not come round any more.
	StateHung State = "hung"
)

// Part is a part of a pipeline that waits, is not ready or has stopped.
type Part struct {
	Pipeline      string    `json:"pipeline"`
	Part          string    `json:"part"`
	State         State     `json:"state"`
	Reason        string    `json:"reason"`
	Since         time.Time `json:"since,omitzero"`
	BlocksMissing uint64    `json:"blocks_missing,omitempty"`
}

// Whole is how a pipeline is as a whole, in the words of ampipe status: all its processes,
// of which the one that is asked is one.
type Whole struct {
	Pipeline string `json:"pipeline"`
	Level    string `json:"level"`
	Sentence string `json:"sentence"`
}

// Answer is what a process answers to one question about its health.
type Answer struct {
	OK        bool    `json:"ok"`
	Pipelines []Whole `json:"pipelines,omitempty"` // those of which the process knows it
	Parts     []Part  `json:"parts"`
}

// wholes returns how pipelines are as a whole.
func wholes(all []Pipeline) (known []Whole) {
	for _, p := range all {
		if p.Sentence != "" {
			known = append(known, Whole{p.Name, p.Level, p.Sentence})
		}
	}
	return known
}

// Live answers whether the process can continue without being restarted. A part that
// has stopped for good is not a reason to restart it while others run: the same
// configuration and the same data would stop it again, and the others with it. A
// process of which nothing runs any more ends by itself.
func Live(now time.Time, all []Pipeline) Answer {
	a := Answer{OK: true, Parts: []Part{}}
	for _, p := range all {
		for _, l := range p.Loops {
			if now.Sub(l.Last) < HungAfter {
				continue
			}
			a.OK = false
			a.Parts = append(a.Parts, Part{
				Pipeline: p.Name, Part: l.Part, State: StateHung, Since: utc(l.Last),
				Reason: fmt.Sprintf("it has not come round for %v, and hangs", now.Sub(l.Last).Round(time.Second)),
			})
		}
	}
	return a
}

// Ready answers whether every stage of the process is ready. If not it names those
// that are not, and everything that is waited for.
func Ready(now time.Time, all []Pipeline) Answer {
	a := Answer{OK: true, Pipelines: wholes(all), Parts: []Part{}}
	for _, p := range all {
		for _, s := range p.Stages {
			reason, since := p.unready(now, s)
			if reason == "" {
				continue
			}
			a.Parts = append(a.Parts, Part{
				Pipeline: p.Name, Part: s.Name, State: StateUnready, Reason: reason, Since: utc(since), BlocksMissing: s.Missing,
			})
		}
	}
	a.OK = len(a.Parts) == 0
	if a.OK {
		return a
	}
	for _, p := range all {
		for _, t := range p.problems(now) {
			said := func(o Part) bool { return o.Pipeline == t.Pipeline && o.Part == t.Part }
			if t.State != StateStopped || !slices.ContainsFunc(a.Parts, said) {
				a.Parts = append(a.Parts, t)
			}
		}
	}
	sortParts(a.Parts)
	return a
}

// Healthy answers what is waited for and what has stopped. It is not well if a part
// has stopped, or waits for longer, or for another reason, than is normal.
func Healthy(now time.Time, all []Pipeline) Answer {
	a := Answer{OK: true, Pipelines: wholes(all), Parts: []Part{}}
	for _, p := range all {
		a.Parts = append(a.Parts, p.problems(now)...)
	}
	a.OK = !slices.ContainsFunc(a.Parts, func(p Part) bool { return p.State == StateStopped || p.State == StateFailing })
	sortParts(a.Parts)
	return a
}

// problems returns what is waited for and what has stopped.
func (p Pipeline) problems(now time.Time) []Part {
	var parts []Part
	for _, s := range p.Stops {
		parts = append(parts, Part{Pipeline: p.Name, Part: s.Part, State: StateStopped, Reason: s.Reason, Since: utc(s.Since)})
	}
	for _, w := range p.Waits {
		parts = append(parts, Part{Pipeline: p.Name, Part: w.Part, State: p.judge(now, w), Reason: w.Reason, Since: utc(w.Since)})
	}
	return parts
}

// judge returns the state of a wait.
func (p Pipeline) judge(now time.Time, w Wait) State {
	switch w.Kind {
	case Expected:
		return StateExpected
	case BackPressure, InTurn:
		still := w.Since
		if w.Kind == BackPressure && p.Moved.After(still) {
			still = p.Moved
		}
		if now.Sub(still) < Standstill+p.CommitDelay {
			return StateBackPressure
		}
		return StateFailing
	default:
		if now.Sub(w.Since) < Patience {
			return StateWaiting
		}
		return StateFailing
	}
}

// unready returns why, and since when, a stage is not ready; empty: it is.
func (p Pipeline) unready(now time.Time, s Stage) (reason string, since time.Time) {
	if s.Unready != "" {
		return s.Unready, s.Since
	}
	for _, w := range p.Waits {
		if slices.Contains(s.Needs, w.Kind) && p.judge(now, w) == StateFailing {
			return w.Reason, w.Since
		}
	}
	return "", time.Time{}
}

// sortParts puts the parts into the order in which they are read: by pipeline, what
// was asked for first, and then the worst.
func sortParts(parts []Part) {
	worst := []State{StateHung, StateUnready, StateStopped, StateFailing, StateWaiting, StateBackPressure, StateExpected}
	slices.SortFunc(parts, func(a, b Part) int {
		return cmp.Or(
			cmp.Compare(a.Pipeline, b.Pipeline),
			cmp.Compare(slices.Index(worst, a.State), slices.Index(worst, b.State)),
			cmp.Compare(a.Part, b.Part),
		)
	})
}

func utc(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.UTC().Truncate(time.Second)
}
