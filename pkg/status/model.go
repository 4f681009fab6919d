// Package status is the one model of how a pipeline is: read from the state in NATS alone,
// so that no process has to be up to be seen, and judged and put into a sentence in one
// place, which everything that shows a pipeline shares.
package status

import (
	"time"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/state"
)

// Level is how well a pipeline is.
type Level string

// A pipeline is healthy while it does what it is to do, also when it still loads. It is
// degraded while something is lacking that may pass by itself, or when it has finished
// without some blocks, and it has failed when somebody has to act before it continues.
const (
	Healthy  Level = "healthy"
	Degraded Level = "degraded"
	Failed   Level = "failed"
)

// Pipeline is how a pipeline is. Its JSON form is documented in docs/status.md, and stable.
type Pipeline struct {
	Name     string    `json:"pipeline"`
	At       time.Time `json:"at"` // by the clock of NATS
	Level    Level     `json:"level"`
	Sentence string    `json:"sentence"`       // the answer
	Next     string    `json:"next,omitempty"` // what to do; empty: nothing
	Troubles []Trouble `json:"troubles"`       // the worst first; of the first are Sentence and Next
	Notes    []Trouble `json:"notes"`          // what is waited for and in order

	Planned    bool       `json:"planned"`
	Complete   bool       `json:"complete"` // every sink has everything up to max_block
	History    History    `json:"history"`
	Partitions Partitions `json:"partitions"`
	Live       *Live      `json:"live"` // null: the chain is not followed
	Log        Log        `json:"log"`
	Sinks      []Sink     `json:"sinks"`
	Processes  []Process  `json:"processes"`
}

// Trouble is something that is not as it is to be.
type Trouble struct {
	Level Level     `json:"level"`
	Part  string    `json:"part"` // "planner", "extractor", "sink NAME", "live", "history", …
	Text  string    `json:"text"`
	Next  string    `json:"next,omitempty"`
	Since time.Time `json:"since,omitzero"`
}

// History is how far the blocks below the live lane are.
type History struct {
	Start   block.Number  `json:"start"`
	End     block.Number  `json:"end"`                     // the first block not in it
	Blocks  uint64        `json:"blocks"`                  // of it
	InLog   uint64        `json:"in_log"`                  // of them, those of partitions that are done
	Loaded  uint64        `json:"loaded"`                  // that every sink has which has not stopped
	Failed  uint64        `json:"failed"`                  // that could not be read
	Rows    uint64        `json:"rows"`                    // that were read so far
	PerSec  float64       `json:"rows_per_second"`         // that are read now
	Seconds float64       `json:"seconds_left"`            // until it is loaded, at the rate of now; 0: unknown
	Missing []block.Range `json:"failed_ranges,omitempty"` // of Failed, the first

	// Unplanned is how many blocks are in no partition yet: of a history with many, only some
	// are made ahead of the workers.
	Unplanned uint64 `json:"unplanned,omitempty"`
}

// Partitions counts the partitions of the history by what becomes of them.
type Partitions struct {
	Planned int `json:"planned"` // not queued yet
	Queued  int `json:"queued"`  // no worker has taken them
	Running int `json:"running"`
	Done    int `json:"done"`
	Failed  int `json:"failed"` // whose blocks no other partition has brought since
}

// Total returns how many partitions there are.
func (p Partitions) Total() int { return p.Planned + p.Queued + p.Running + p.Done + p.Failed }

// Live is how the live lane is.
type Live struct {
	Phase     string        `json:"phase"` // waiting, running, done, failed or lost
	Epoch     uint64        `json:"epoch"`
	Start     block.Number  `json:"start"`
	Head      *block.Number `json:"head"`      // the last block that is in the log; null: none yet
	Watermark *block.Number `json:"watermark"` // the last that is complete there
	Reorgs    uint64        `json:"reorgs"`
	Recent    []state.Reorg `json:"recent_reorgs"` // ascending by time
}

// Log is how full the log is.
type Log struct {
	Bytes    uint64    `json:"bytes"`
	MaxBytes int64     `json:"max_bytes"`
	Entries  uint64    `json:"entries"`
	Oldest   time.Time `json:"oldest,omitzero"`   // when its first entry was written
	HeldBy   string    `json:"held_by,omitempty"` // the sink that has the most of it still to apply
	Unread   uint64    `json:"unread"`            // entries that this sink has still to apply
	Copies   int       `json:"copies"`            // how many NATS servers are to hold it
	Away     []string  `json:"away,omitempty"`    // of them, those that the others cannot reach
}

// Fill returns how full the log is, from 0 to 1.
func (l Log) Fill() float64 {
	if l.MaxBytes <= 0 {
		return 0
	}
	return float64(l.Bytes) / float64(l.MaxBytes)
}

// Sink is how a sink is.
type Sink struct {
	Name   string    `json:"name"`
	State  SinkState `json:"state"`
	Reason string    `json:"reason,omitempty"` // why it is paused, stopped or gone
	Since  time.Time `json:"since,omitzero"`   // of Reason, if that is known

	// ByRequest says that it is paused because of `ampipe pause`, and does not continue by itself.
	ByRequest bool `json:"by_request"`

	Wanted  uint64  `json:"wanted"`  // blocks of the history that it is to have
	Covered uint64  `json:"covered"` // of them, those that its destination holds
	Rows    uint64  `json:"rows"`    // that its processes have written since they began
	PerSec  float64 `json:"rows_per_second"`
	Unread  uint64  `json:"unread"` // entries of the log that it has still to apply

	DeadLetters uint64 `json:"dead_letters"` // rows that its destination has refused, and that were put aside

	Position   *block.Number `json:"position"`        // the last live block that it has; null: none
	LagBlocks  uint64        `json:"lag_blocks"`      // live blocks that the log has and it lacks
	LagSeconds float64       `json:"lag_seconds"`     // for how long the first entry waits that it lacks
	Latency    float64       `json:"latency_seconds"` // from hearing of the last live blocks to their commit; 0: unknown

	Reported time.Time `json:"reported,omitzero"` // last

	Replay *Replay `json:"replay"` // null: none is asked for that is not done

	Pruned   block.Number    `json:"pruned"`   // blocks below count as covered, and none of their rows is there
	Indexing *state.Indexing `json:"indexing"` // null: its destination has all of its indexes
}

// ReplayState is what becomes of a request to load blocks of a sink again.
type ReplayState string

// The states of a replay.
const (
	ReplayWaits  ReplayState = "waiting" // no process has begun it
	ReplayRuns   ReplayState = "running"
	ReplayFailed ReplayState = "failed"
)

// Replay is a request to load blocks of a sink again.
type Replay struct {
	State  ReplayState `json:"state"`
	Step   string      `json:"step"`   // remove, read (from the log) or load (from Amp)
	Blocks uint64      `json:"blocks"` // that are removed and loaded again
	Left   uint64      `json:"left"`   // of them, those that are still to be loaded
	Error  string      `json:"error,omitempty"`
	Asked  time.Time   `json:"asked,omitzero"`
}

// SinkState is what a sink does.
type SinkState string

// The states of a sink.
const (
	SinkStarting SinkState = "starting" // it has not said yet how far it is
	SinkLoading  SinkState = "loading"  // it lacks blocks of the history
	SinkWaiting  SinkState = "waiting"  // it has the history, and its live lane has not begun
	SinkLive     SinkState = "live"
	SinkComplete SinkState = "complete" // it has everything up to max_block
	SinkPaused   SinkState = "paused"   // it waits, and continues by itself unless that was asked for
	SinkStopped  SinkState = "stopped"  // it does not continue by itself
	SinkGone     SinkState = "gone"     // no process runs it
)

// ProcessState is how a process is.
type ProcessState string

// The states of a process.
const (
	Running ProcessState = "running"
	Lost    ProcessState = "lost"  // it has said nothing for 15 s
	Ended   ProcessState = "ended" // and has said so
)

// Process is a process of the pipeline.
type Process struct {
	state.Process
	State ProcessState `json:"state"`
}
