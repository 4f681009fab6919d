package state

import (
	"time"

	"github.com/ampipe/ampipe/pkg/block"
)

// LiveState is how far the live lane has been applied to a destination. The zero value
// means that it has not been started. It has no tags, because destinations may keep it as
// JSON by these names; a report has names of its own.
type LiveState struct {
	Started bool
	Epoch   uint64
	Seq     uint64       // the last live entry applied
	Start   block.Number // first block owned by the live lane
	Cursor  block.Cursor // the last watermark applied
}

// After returns the block after the cursor or, without a cursor, the live start: all
// live blocks below it have arrived.
func (s LiveState) After() block.Number {
	if s.Cursor.Network != "" {
		return s.Cursor.Number + 1
	}
	return s.Start
}

// LivePhase is the state of the live lane.
type LivePhase string

const (
	// LiveRunning is a lane that is being written, or is to be.
	LiveRunning LivePhase = "running"
	// LiveDone is a lane that has reached the pipeline's max_block.
	LiveDone LivePhase = "done"
	// LiveFailed is a lane that nobody can continue before the user has acted.
	LiveFailed LivePhase = "failed"
	// LiveLost is a lane whose end the log no longer has: the planner begins an epoch.
	LiveLost LivePhase = "lost"
)

// LivePosition is the copy of the live lane's position, written by the process that writes
// the lane, a moment later. It is used when the log no longer holds the end of the lane, and
// has the blocks that a reorg is compared with. Where the two differ, the log is right.
type LivePosition struct {
	Epoch   uint64         `json:"epoch"`
	Seq     uint64         `json:"seq"`              // of the watermark or invalidation that closed the lane last
	Next    block.Number   `json:"next"`             // first block that is not complete in the lane
	Points  []block.Cursor `json:"points,omitempty"` // complete blocks of the chain, ascending, recent ones dense
	Phase   LivePhase      `json:"phase"`
	Until   *block.Number  `json:"until,omitempty"`  // max_block that a lane that is done has reached
	Error   string         `json:"error,omitempty"`  // why it failed
	Reorgs  uint64         `json:"reorgs"`           // seen since the pipeline began
	Recent  []Reorg        `json:"recent,omitempty"` // the last of them, ascending by time
	Updated time.Time      `json:"updated"`
}
