package queue

import (
	"context"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
)

// LiveMark is how far a destination has come in the live lane.
type LiveMark struct {
	Started bool         `json:"started,omitempty"`
	Epoch   uint64       `json:"epoch,omitempty"`
	Seq     uint64       `json:"seq,omitempty"`   // the last live entry applied
	Start   block.Number `json:"start,omitempty"` // first block that the live lane owns there
	Cursor  block.Cursor `json:"cursor,omitzero"` // the last watermark applied
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

const keyLive = "live"

// LivePosition reads the position of the live lane, or returns [ErrNotFound].
func (s *State) LivePosition(ctx context.Context) (live LivePosition, rev uint64, err error) {
	return Get[LivePosition](ctx, s, keyLive)
}

// SaveLivePosition writes the position of the live lane. Only the holder of its task
// does, and the planner while there is none. rev is the revision that the position had
// when it was last read or written, 0 if there was none; if it has another by now, another
// process writes the lane and the error is [ErrConflict].
func (s *State) SaveLivePosition(ctx context.Context, live LivePosition, rev uint64) (newRev uint64, err error) {
	live.Updated = time.Now().UTC()
	if rev == 0 {
		return s.Create(ctx, keyLive, live)
	}
	return s.Update(ctx, keyLive, live, rev)
}
