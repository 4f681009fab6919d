package queue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Process is what a process says about itself and one of its pipelines: every
// [BeatEvery] while it runs, and when it ends. One that was killed says nothing more.
type Process struct {
	Role    string   `json:"role"` // as of [Config.Role]
	Slot    int      `json:"slot"` // distinguishes processes of one role; that of a dead one is used again
	Host    string   `json:"host"`
	PID     int      `json:"pid"`
	Version string   `json:"version"`
	Stages  []string `json:"stages"` // that run in it: "planner", "extractor", "sink NAME"

	Started time.Time `json:"started"`
	Beat    time.Time `json:"beat"`            // when this was written
	Ended   time.Time `json:"ended,omitzero"`  // zero: it runs, or was killed
	Error   string    `json:"error,omitempty"` // why it ended; empty: it has everything, or was stopped
	Done    bool      `json:"done,omitempty"`  // it has ended because everything is loaded

	Read  Rate          `json:"read,omitzero"`  // appended to the log
	Left  float64       `json:"left,omitempty"` // seconds until the history is complete, if it knows
	Sinks []ProcessSink `json:"sinks,omitempty"`
	Waits []Wait        `json:"waits,omitempty"` // the most important first
	More  int           `json:"more,omitempty"`  // waits that are not among Waits
}

// Rate is how many rows have passed since the process began, and how many do in a second.
type Rate struct {
	Rows   uint64  `json:"rows"`
	PerSec float64 `json:"per_second"`
}

// ProcessSink is what a process does for a sink.
type ProcessSink struct {
	Name string `json:"name"`
	Rate
	Latency float64 `json:"latency,omitempty"` // seconds from hearing of the last live blocks to their commit
}

// Wait is a part of a pipeline that waits or has stopped, as a process sees it.
type Wait struct {
	Part   string    `json:"part"`
	State  string    `json:"state"` // see package health
	Reason string    `json:"reason"`
	Since  time.Time `json:"since,omitzero"`
}

const (
	// BeatEvery is how often a process writes its document.
	BeatEvery = 5 * time.Second
	// LostAfter is how old a document is that a process which runs does not leave behind.
	LostAfter = 15 * time.Second

	keyProcess = "process"
)

// Runs reports whether the process runs, as far as is known at a time.
func (p Process) Runs(now time.Time) bool { return p.Ended.IsZero() && now.Sub(p.Beat) < LostAfter }

// Lost reports whether the process has died without a word, or cannot reach NATS.
func (p Process) Lost(now time.Time) bool { return p.Ended.IsZero() && now.Sub(p.Beat) >= LostAfter }

func (p Process) key() string { return fmt.Sprintf("%s.%s.%d", keyProcess, p.Role, p.Slot) }

// Processes reads the documents of all processes, by role and slot. When each was written
// is of the clock of NATS, which all have in common.
func (s *State) Processes(ctx context.Context) ([]Stored[Process], error) {
	all, err := List[Process](ctx, s, keyProcess)
	for i := range all {
		all[i].Value.Beat = all[i].Written
	}
	slices.SortFunc(all, func(a, b Stored[Process]) int {
		return cmp.Or(cmp.Compare(a.Value.Role, b.Value.Role), cmp.Compare(a.Value.Slot, b.Value.Slot))
	})
	return all, err
}

// ProcessWriter writes the document of this process. It is for one goroutine.
type ProcessWriter struct {
	state  *State
	alone  bool
	slot   int
	rev    uint64 // 0: it has no slot
	claims int
}

// ProcessWriter returns a writer without a slot. alone says that no other process of its
// role can run.
func (s *State) ProcessWriter(alone bool) *ProcessWriter {
	return &ProcessWriter{state: s, alone: alone}
}

// Put writes the document. The first time, and when the slot has become another process's
// because this one could not write for long, it takes the first slot that is free.
func (w *ProcessWriter) Put(ctx context.Context, p Process) error {
	if err := checkName("role", p.Role); err != nil {
		return err
	}
	if refused := w.state.conn.silenced.Load(); refused != nil {
		return refused.err
	}
	ctx, cancel := context.WithTimeout(ctx, apiWait) // what is refused is not answered
	defer cancel()
	err := w.write(ctx, p)
	if refused := w.state.conn.silenced.Load(); err != nil && refused != nil {
		return refused.err
	}
	return err
}

func (w *ProcessWriter) write(ctx context.Context, p Process) error {
	if w.rev > 0 {
		p.Slot = w.slot
		rev, err := w.state.Update(ctx, p.key(), p, w.rev)
		if err == nil {
			w.rev = rev
		}
		if !errors.Is(err, ErrConflict) {
			return err
		}
	}
	w.rev = 0
	return w.claim(ctx, p)
}

// claim takes a slot and writes the document there.
func (w *ProcessWriter) claim(ctx context.Context, p Process) error {
	all, err := w.state.Processes(ctx)
	if err != nil {
		return err
	}
	taken := map[int]Stored[Process]{}
	for _, other := range all {
		if other.Value.Role == p.Role {
			taken[other.Value.Slot] = other
		}
	}
	ahead, err := w.state.conn.ClockAhead(ctx)
	if err != nil {
		return err
	}
	now := time.Now().Add(-ahead)
	first := w.claims == 0
	w.claims++
	for p.Slot = 0; ; p.Slot++ {
		other, exists := taken[p.Slot]
		if exists && !w.alone && !p.replaces(other.Value, now, first) {
			continue
		}
		rev, err := w.put(ctx, p, other.Rev)
		if errors.Is(err, ErrConflict) {
			continue // another process was faster
		}
		if err == nil {
			w.slot, w.rev = p.Slot, rev
		}
		return err
	}
}

func (w *ProcessWriter) put(ctx context.Context, p Process, rev uint64) (uint64, error) {
	if rev == 0 {
		return w.state.Create(ctx, p.key(), p)
	}
	return w.state.Update(ctx, p.key(), p, rev)
}

// replaces reports whether p may have the slot of another process: that has ended, is
// lost, or was this one before it was restarted, as a container does, with the same name
// and process id. Two that only look alike would take the slot from each other for ever,
// so the latter counts when p begins, and not again.
func (p Process) replaces(other Process, now time.Time, begins bool) bool {
	return !other.Runs(now) || (begins && other.Host == p.Host && other.PID == p.PID && other.Started.Before(p.Started))
}
