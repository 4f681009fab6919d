package progress

import (
	"cmp"
	"context"
	"maps"
	"regexp"
	"slices"
	"time"

	"github.com/ampipe/ampipe/pkg/health"
)

const (
	// repeatEvery is how often a wait that lasts is reported.
	repeatEvery = 5 * time.Minute
	// repeatAfter is how soon a fault that comes and goes is said again, and how long a
	// reason has to last that was not said when it came.
	repeatAfter = 30 * time.Second
	// maxReasons bounds the reasons that are remembered of one kind of part.
	maxReasons = 32
)

// WaitEvent is what became of a wait.
type WaitEvent int

// A wait begins, gets another reason, lasts, and ends.
const (
	WaitBegan WaitEvent = iota
	WaitChanged
	WaitLasts
	WaitEnded
)

// WaitNote is what is to be said about a wait.
type WaitNote struct {
	Event  WaitEvent
	Part   string
	Parts  int // of its kind that wait
	Kind   health.Kind
	Reason string        // of WaitEnded: the last one
	For    time.Duration // since the first part of its kind waits
}

// wait is a [health.Wait] that knows when it got its reason.
type wait struct {
	health.Wait
	changed time.Time
}

// waitGroup is what was said about parts of one kind, as of [kindOf]: thousands of
// partitions may wait for the same server.
type waitGroup struct {
	began   time.Time            // the first of them waits since then; zero: none does
	current string               // pattern of the newest reason
	changed time.Time            // current last
	noted   bool                 // something was said about this wait
	pattern string               // of what was said last
	last    time.Time            // when that was
	said    map[string]time.Time // when a reason was last said, by pattern
}

// SayUntil calls [Meter.Say] no more once ctx has ended: parts that stop then have not
// resumed.
func (m *Meter) SayUntil(ctx context.Context) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.saying = ctx.Done()
}

// WaitingFor is Waiting for a wait of any kind. A wait that changes its kind begins again.
func (m *Meter) WaitingFor(kind health.Kind, part, reason string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.parts[kindOf(part)] = true
	now := m.now()
	w, before := m.condition.waits[part]
	if reason == "" {
		if before {
			m.changes()
			delete(m.condition.waits, part)
			m.sayEnd(w, now)
		}
		return
	}
	if before && w.Kind == kind && w.Reason == reason {
		return
	}
	if !before || w.Kind != kind {
		m.changes()
		w = wait{Wait: health.Wait{Part: part, Kind: kind, Since: now}}
	}
	w.Reason, w.changed = reason, now
	m.condition.waits[part] = w
	m.sayReason(w, now)
}

// SayWaits reports waits that last. It is to be called about once a second.
func (m *Meter) SayWaits() {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	for kind, g := range m.condition.groups {
		if g.began.IsZero() {
			continue
		}
		w := m.newestOf(kind)
		settled := now.Sub(g.changed) >= repeatAfter
		switch {
		case !g.noted && settled:
			m.say(g, WaitBegan, w, now)
		case g.noted && g.pattern != g.current && settled:
			m.say(g, WaitChanged, w, now)
		case g.noted && now.Sub(g.last) >= repeatEvery:
			m.say(g, WaitLasts, w, now)
		}
	}
}

// Waits returns what is waited for, what a person should look at first first:
// faults before what is in order, what others need before them, and then what is new.
func (m *Meter) Waits() []health.Wait {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.waits()
}

func (m *Meter) waits() []health.Wait {
	order := []health.Kind{
		health.NATSAway, health.AmpAway, health.PlannerFails, health.Fault, health.InTurn, health.BackPressure, health.Expected,
	}
	all := slices.SortedFunc(maps.Values(m.condition.waits), func(a, b wait) int {
		return cmp.Or(
			cmp.Compare(slices.Index(order, a.Kind), slices.Index(order, b.Kind)),
			b.changed.Compare(a.changed),
			cmp.Compare(a.Part, b.Part),
		)
	})
	waits := make([]health.Wait, len(all))
	for i, w := range all {
		waits[i] = w.Wait
	}
	return waits
}

// newestOf returns the wait of a kind of part that got its reason last.
func (m *Meter) newestOf(kind string) (newest wait) {
	for part, w := range m.condition.waits {
		if kindOf(part) != kind {
			continue
		}
		if newest.Part == "" || w.changed.After(newest.changed) || (w.changed.Equal(newest.changed) && part < newest.Part) {
			newest = w
		}
	}
	return newest
}

// sayReason reports a new reason.
func (m *Meter) sayReason(w wait, now time.Time) {
	kind := kindOf(w.Part)
	g := m.condition.groups[kind]
	if g == nil {
		g = &waitGroup{said: map[string]time.Time{}}
		m.condition.groups[kind] = g
	}
	if g.began.IsZero() {
		g.began = now
	}
	pattern := patternOf(w.Reason)
	if pattern != g.current {
		g.current, g.changed = pattern, now
	}
	quiet := repeatEvery
	if !g.noted && !w.Kind.InOrder() {
		quiet = repeatAfter
	}
	said, before := g.said[pattern]
	switch {
	case g.noted && g.pattern == pattern, before && now.Sub(said) < quiet, !before && len(g.said) >= maxReasons:
	case g.noted:
		m.say(g, WaitChanged, w, now)
	default:
		m.say(g, WaitBegan, w, now)
	}
}

// sayEnd reports that the last part of a kind has resumed, if its wait was reported.
func (m *Meter) sayEnd(w wait, now time.Time) {
	kind := kindOf(w.Part)
	if m.newestOf(kind).Part != "" {
		return
	}
	g := m.condition.groups[kind]
	if g.noted {
		m.note(WaitNote{Event: WaitEnded, Part: w.Part, Kind: w.Kind, Reason: w.Reason, For: now.Sub(g.began)})
	}
	for pattern, at := range g.said {
		if now.Sub(at) >= repeatEvery {
			delete(g.said, pattern)
		}
	}
	*g = waitGroup{said: g.said}
}

func (m *Meter) say(g *waitGroup, event WaitEvent, w wait, now time.Time) {
	g.noted, g.pattern, g.last = true, patternOf(w.Reason), now
	g.said[g.pattern] = now
	parts := 0
	for part := range m.condition.waits {
		if kindOf(part) == kindOf(w.Part) {
			parts++
		}
	}
	m.note(WaitNote{Event: event, Part: w.Part, Parts: parts, Kind: w.Kind, Reason: w.Reason, For: now.Sub(g.began)})
}

func (m *Meter) note(n WaitNote) {
	select {
	case <-m.saying:
	default:
		if m.Say != nil {
			m.Say(n)
		}
	}
}

// patternOf returns what two reasons have in common that differ in numbers only: times,
// ports, blocks.
func patternOf(reason string) string { return numbers.ReplaceAllString(reason, "0") }

var numbers = regexp.MustCompile(`(?:[0-9][0-9.,:]*(?:ns|µs|ms|[hms])?)+`)
