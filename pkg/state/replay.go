package state

import (
	"time"

	"github.com/ampipe/ampipe/pkg/block"
)

// ReplayStep is how far a replay is.
type ReplayStep string

const (
	// ReplayRemoves is a replay whose blocks are still to be removed.
	ReplayRemoves ReplayStep = "remove"
	// ReplayReads is one whose blocks are removed, and are read from the log.
	ReplayReads ReplayStep = "read"
	// ReplayDone is one that has read the log. What is missing now comes from Amp.
	ReplayDone ReplayStep = "done"
	// ReplayFailed is one that the destination has refused. What was removed comes from Amp.
	ReplayFailed ReplayStep = "failed"
)

// Replay is a request to load blocks of a destination again. A command makes it, and a
// process of the sink carries it out; both write by compare-and-set.
type Replay struct {
	Blocks  block.Set  `json:"blocks"`   // what is removed and loaded again
	FromLog block.Set  `json:"from_log"` // of them, those that may be read from the log, as far as it has them
	Removed block.Set  `json:"removed"`  // of Blocks
	Step    ReplayStep `json:"step"`
	Worker  string     `json:"worker,omitempty"` // the process that carries it out
	Error   string     `json:"error,omitempty"`  // why it has failed
	Asked   time.Time  `json:"asked"`
	Updated time.Time  `json:"updated"` // by the worker, which does so while it is at it
}

// UnderWay reports whether blocks may be missing in the destination that the log is still
// to bring.
func (r Replay) UnderWay() bool { return r.Step == ReplayRemoves || r.Step == ReplayReads }
