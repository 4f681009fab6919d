package sink

import (
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/state"
)

// RejoinRequest is what a sink is asked to do.
type RejoinRequest = state.Rejoin

// Rejoin returns the change that takes a destination to another place of the live lane: it
// rolls back the blocks at or above r.Keep and sets the live state to r.To, in one step. It
// is skipped unless the live state is r.From, so that it can be repeated. No entry of a log
// becomes such a change.
func Rejoin(r RejoinRequest) Change {
	return Change{
		Header: entry.Header{Kind: entry.Invalidate, Epoch: r.To.Epoch, Network: r.To.Cursor.Network, Range: block.Closed(r.Keep, r.Keep)},
		Live:   true, Seq: r.To.Seq, After: r.To.Seq, Rejoin: &r,
	}
}
