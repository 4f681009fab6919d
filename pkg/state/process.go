package state

import (
	"fmt"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
)

// Process is what a process says about itself and one of its pipelines: every
// [BeatEvery] while it runs, and when it ends. One that was killed says nothing more.
type Process struct {
	Role    string   `json:"role"` // planner, extractor, sink, run
	Slot    int      `json:"slot"` // distinguishes processes of one role; that of a dead one is used again
	Host    string   `json:"host"`
	PID     int      `json:"pid"`
	Version string   `json:"version"`
	Stages  []string `json:"stages"`            // that run in it: "planner", "extractor", "sink NAME"
	Workers int      `json:"workers,omitempty"` // that read partitions at once; 0: it is no extractor

	Started time.Time `json:"started"`
	Beat    time.Time `json:"beat"`            // when this was written
	Ended   time.Time `json:"ended,omitzero"`  // zero: it runs, or was killed
	Error   string    `json:"error,omitempty"` // why it ended; empty: it has everything, or was stopped
	Done    bool      `json:"done,omitempty"`  // it has ended because everything is loaded

	Read Rate    `json:"read,omitzero"`  // appended to the log
	Left float64 `json:"left,omitempty"` // seconds until the history is complete, if it knows
	// Reading are the blocks of partitions that it reads from Amp now; if they are many ranges, the largest.
	Reading []block.Range `json:"reading,omitempty"`
	Sinks   []ProcessSink `json:"sinks,omitempty"`
	Waits   []Wait        `json:"waits,omitempty"` // the most important first
	More    int           `json:"more,omitempty"`  // waits that are not among Waits
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
)

// Runs reports whether the process runs, as far as is known at a time.
func (p Process) Runs(now time.Time) bool { return p.Ended.IsZero() && now.Sub(p.Beat) < LostAfter }

// Lost reports whether the process has died without a word, or cannot reach NATS.
func (p Process) Lost(now time.Time) bool { return p.Ended.IsZero() && now.Sub(p.Beat) >= LostAfter }

// Command returns what people call the process: the command that started it.
func (p Process) Command() string {
	if p.Role == "run" {
		return "ampipe run"
	}
	return p.Role
}

// String returns which process it is: ampipe run on vm (process 7365).
func (p Process) String() string {
	return fmt.Sprintf("%s on %s (process %d)", p.Command(), p.Host, p.PID)
}

// Is reports whether other is the document of the same process.
func (p Process) Is(other Process) bool {
	return p.Host == other.Host && p.PID == other.PID && p.Started.Equal(other.Started)
}

// Replaces reports whether p may have the slot of another process: that has ended, is
// lost, or was this one before it was restarted, as a container does, with the same name
// and process id. Two that only look alike would take the slot from each other for ever,
// so the latter counts when p begins, and not again.
func (p Process) Replaces(other Process, now time.Time, begins bool) bool {
	return !other.Runs(now) || (begins && other.Host == p.Host && other.PID == p.PID && other.Started.Before(p.Started))
}
