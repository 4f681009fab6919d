package state

import (
	"time"

	"github.com/ampipe/ampipe/pkg/block"
)

// Reorg is one that the writer of the live lane has seen.
type Reorg struct {
	At     time.Time    `json:"at"`
	From   block.Number `json:"from"`           // the first block that has left the chain
	Blocks uint64       `json:"blocks"`         // that were taken back
	Rows   *uint64      `json:"rows,omitempty"` // of them in the log; nil: not known
}

// KeptReorgs is how many reorgs [LivePosition] remembers.
const KeptReorgs = 20
