// Package state has the documents that the processes of a pipeline share: the plan, the
// partitions, the position of the live lane, the reports of the sinks and what each process
// says of itself. They are kept as JSON, which processes of earlier and later versions read.
package state

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
)

// Spec is the plan of a pipeline. Planners write it, each by compare-and-set of what it has
// read; every process of the pipeline waits for it and follows it.
type Spec struct {
	Epoch       uint64        `json:"epoch"`
	Query       string        `json:"query"`        // the user's, without ";" and SETTINGS
	BlockColumn string        `json:"block_column"` // name in the query's output
	Schema      []byte        `json:"schema"`       // Arrow IPC stream without batches
	Network     string        `json:"network"`
	History     block.Range   `json:"history"`             // [min_block, live start or max_block)
	Live        *Origin       `json:"live,omitempty"`      // nil: the chain is not followed
	MaxBlock    *block.Number `json:"max_block,omitempty"` // as configured
	Sinks       []string      `json:"sinks,omitempty"`     // names of all that are configured
	Planned     time.Time     `json:"planned"`

	// Version counts the queries that the pipeline has had, from 0: another query of
	// the same columns takes over. Earlier are those before, in order.
	Version int       `json:"version,omitempty"`
	Earlier []Earlier `json:"earlier,omitempty"`
	// LiveFrom is the first block of the live lane that Query brings; nil: all of them,
	// or, of a later version, none yet.
	LiveFrom *block.Number `json:"live_from,omitempty"`

	// Rejoins are the sinks that are to take the live lane further on; one at most of each.
	Rejoins []Rejoin `json:"rejoins,omitempty"`
}

// Earlier is a query that a pipeline had before.
type Earlier struct {
	Version  int           `json:"version"`
	Query    string        `json:"query"`
	LiveFrom *block.Number `json:"live_from,omitempty"` // see Spec
}

// FirstLive returns the first block that the live lane has brought with Query; nil: none.
func (s Spec) FirstLive() *block.Number {
	if s.LiveFrom != nil || s.Version > 0 || s.Live == nil {
		return s.LiveFrom
	}
	start := min(s.Live.Start, s.History.End)
	return &start
}

// Follows reports whether the pipeline has blocks that only the live lane brings.
func (s Spec) Follows() bool {
	return s.Live != nil && (s.MaxBlock == nil || *s.MaxBlock > s.Live.Start)
}

// Origin is where the live lane of an epoch begins.
type Origin struct {
	// Start is the first block of the lane.
	Start block.Number `json:"start"`
	// Points are blocks of the chain below Start, ascending, the last of them
	// Start-1: where to resume from, and what a deep reorg is compared with. The first
	// is the one before the history, unless the history begins with the server's
	// earliest block (or the plan is of an older version, which remembered fewer).
	// Without any the stream begins at the server's earliest block, which is Start.
	Points []block.Cursor `json:"points,omitempty"`
	// Open says that block Start-1 is not in the chain yet, so that its hash is
	// still to be asked for.
	Open bool `json:"open,omitempty"`
	// Tentative says that Start is where the head of the chain would have it, and that
	// the sinks, which may hold more or other blocks, are still to be asked. The lane
	// does not begin before.
	Tentative bool `json:"tentative,omitempty"`
}

// PartitionState is the state of a partition.
type PartitionState string

// A partition is open until all its entries are in the log (done) or it was
// given up (failed).
const (
	PartitionOpen   PartitionState = "open"
	PartitionDone   PartitionState = "done"
	PartitionFailed PartitionState = "failed"
)

// Partition is a part of the history, worked on by one extractor at a time.
// Start and Generation name it for ever; End moves down when its tail is split
// off. A range that has to be loaded again gets a partition of a higher
// generation, and so a lane of its own.
type Partition struct {
	Start      block.Number   `json:"start"`
	Generation int            `json:"generation"`
	End        block.Number   `json:"end"`
	State      PartitionState `json:"state"`
	Attempts   int            `json:"attempts,omitempty"` // how often it was begun, or tried again
	Error      string         `json:"error,omitempty"`
	Rows       uint64         `json:"rows,omitempty"`
	Seconds    float64        `json:"seconds,omitempty"` // for which workers had it; 0: an older version has written it

	// Version is that of the query which the partition is read with.
	Version int `json:"version,omitempty"`

	// Held says that the partition was not read: every sink held it when the pipeline
	// was planned, and which version loaded it is not known.
	Held bool `json:"held,omitempty"`

	// Next is the copy of the lane's position, the first block not in the log,
	// for when its messages have been trimmed. 0: nothing was copied.
	Next block.Number `json:"next,omitempty"`

	// Merged says that the record stands for several partitions, which are done and lie
	// beside each other. Processes of earlier versions see one large partition.
	Merged *Merged `json:"merged,omitempty"`
}

// Range returns the blocks of the partition.
func (p Partition) Range() block.Range { return block.Range{Start: p.Start, End: p.End} }

// RowsPerSecond returns how many rows a worker has read in a second; 0: unknown.
func (p Partition) RowsPerSecond() float64 {
	if p.Seconds <= 0 {
		return 0
	}
	return float64(p.Rows) / p.Seconds
}

// ID names the partition in tasks and in the state: "<start>.<generation>".
func (p Partition) ID() string { return fmt.Sprintf("%d.%d", p.Start, p.Generation) }

// Lane returns the lane of the partition's entries.
func (p Partition) Lane() string { return "p." + p.ID() }

// SinkState is what a sink does.
type SinkState string

const (
	// SinkRunning is a sink that applies entries, or waits for some.
	SinkRunning SinkState = "running"
	// SinkPaused is a sink that cannot continue for the time being.
	SinkPaused SinkState = "paused"
	// SinkStopped is a sink whose process was stopped.
	SinkStopped SinkState = "stopped"
	// SinkFailed is a sink that has stopped because of an error that only the user
	// can fix.
	SinkFailed SinkState = "failed"
)

// SinkReport is what a sink reports about itself. Coverage is read from the
// destination, so it holds only what is committed.
type SinkReport struct {
	Name     string    `json:"name"`
	Coverage block.Set `json:"coverage"`
	Live     LiveState `json:"live"`
	Rows     uint64    `json:"rows"` // written by the reporting process since it started
	State    SinkState `json:"state"`
	Reason   string    `json:"reason,omitempty"` // why it does not run
	// ByRequest says that it is paused because a person has asked for it: see [Pause].
	ByRequest bool `json:"by_request,omitempty"`
	// Rejoins says that it follows a [Rejoin], which one of an earlier version does not.
	Rejoins bool `json:"rejoins,omitempty"`

	// Pruned is the first block that was not pruned: those below are in Coverage, and none of
	// their rows is in the destination. 0: nothing was.
	Pruned block.Number `json:"pruned,omitempty"`

	// Indexing says that indexes of the destination are still to be built; nil: none. A
	// pipeline that ends waits for them.
	Indexing *Indexing `json:"indexing,omitempty"`

	Read    time.Time `json:"read,omitzero"` // when Coverage and Live were read from the destination
	Updated time.Time `json:"updated"`
}

// Indexing is how far a sink is with the indexes of its destination.
type Indexing struct {
	Progress string `json:"progress"`          // for people
	Unbuilt  int    `json:"unbuilt,omitempty"` // how many are missing; 0: that is not known
	Error    string `json:"error,omitempty"`   // why they could not be built; it is tried again
}

// liveJSON is a [LiveState] as reports have it.
type liveJSON struct {
	Started bool         `json:"started,omitempty"`
	Epoch   uint64       `json:"epoch,omitempty"`
	Seq     uint64       `json:"seq,omitempty"`
	Start   block.Number `json:"start,omitempty"`
	Cursor  block.Cursor `json:"cursor,omitzero"`
}

// MarshalJSON writes the report. Reading one needs no method: names are compared without
// regard to case.
func (r SinkReport) MarshalJSON() ([]byte, error) {
	type plain SinkReport
	return json.Marshal(struct {
		Name     string    `json:"name"`
		Coverage block.Set `json:"coverage"`
		Live     liveJSON  `json:"live"`
		plain
	}{r.Name, r.Coverage, liveJSON(r.Live), plain(r)})
}
